"""Annotations of a data set as flat arrays in one file, which all processes map without a copy.

The file is made once, in the folder .refseg beside the annotations (in the user's cache folder where they cannot be
written), and made again when a source changes. It appears whole, so two processes that make it at once are both right.

A file that came with a data set is not believed: it is known by the inodes of the sources and by when these changed,
which a copy cannot keep. A file that was damaged since is known by a checksum.
"""

import hashlib
import json
import os
import zlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite, prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import Box
from refseg.datasets.storage.annotation_masks import MaskFile, Piece
from refseg.datasets.storage.ids import repeated
from refseg.errors import InvalidInput, MissingFile, RefsegError, UnwritableOutput, shown
from refseg.files.atomic import all_or_nothing, remove_leftovers
from refseg.files.cache import cache_folder
from refseg.masks.rle import Rle, check_size

VERSION = 4
"""Raised with every change of the arrays or of what is read into them."""

FOLDER = ".refseg"
NONE, CROWD, BOX_ONLY, MISSING = range(4)
"""State of an object: ordinary, a crowd, without a mask, named by an expression but not annotated in its image."""
_POLYGON, _RLE, _FILE, _INVERTED_FILE = range(4)

_COLUMNS = {  # array type codes
    "image_hw": "i",  # (images, 2), 0 = not known
    "image_coco": "q",  # its id in COCO, -1 = not known
    "object_image": "i",
    "object_state": "B",
    "object_box": "d",  # (objects, 4) left, top, right, bottom; NaN = not known
    "object_pieces": "q",  # (objects + 1), where the pieces of each begin
    "piece_kind": "B",
    "piece_start": "q",  # into points or bytes
    "piece_stop": "q",
    "piece_hw": "i",  # (pieces, 2) of run lengths
    "points": "d",
    "bytes": "B",
    "expression_image": "i",
    "expression_ref": "i",  # number of its ref, the region or regions that several sentences name
    "expression_split": "H",
    "expression_type": "H",
    "expression_kind": "H",
    "expression_targets": "q",  # (expressions + 1), where the targets of each begin
    "targets": "i",  # numbers of objects
}
_SHAPES = {"image_hw": 2, "object_box": 4, "piece_hw": 2}
_BLOBS = ("image_id", "image_file", "object_id", "expression_id", "expression_raw", "expression_sent", "repeated_id")
_NAMES = ("split", "type", "kind")
MAX_NAMES = 2**16
"""Different splits, types or kinds in a data set."""
_LONGEST_NAME = 200  # bytes; disks take 255


class IndexBuilder:
    """Collects images, objects and expressions in the order of the sources."""

    def __init__(self) -> None:
        self._columns: dict[str, array[Any]] = {name: array(code) for name, code in _COLUMNS.items()}
        self._texts = {name: bytearray() for name in _BLOBS}
        self._ends = {name: array("q", [0]) for name in _BLOBS}
        self._names: dict[str, dict[str, int]] = {name: {} for name in _NAMES}
        self._columns["object_pieces"].append(0)
        self._columns["expression_targets"].append(0)

    def image(self, id: str, file: str, size_hw: tuple[int, int] = (0, 0), coco_id: int = -1) -> int:
        """Adds an image; returns its number.

        Args:
            id: unique within the data set.
            file: name within a folder of images, or a whole path.
            size_hw: (0, 0) where the annotations do not say it.
            coco_id: its number in COCO, by which data sets are kept apart.

        Raises:
            InvalidInput: if no image of that size is read.
        """
        columns = self._columns
        check_size(size_hw)
        columns["image_hw"].extend(size_hw)
        columns["image_coco"].append(coco_id)
        self._text("image_id", id)
        return self._text("image_file", file)

    def object(
        self, image: int, id: str, pieces: Sequence[Piece] = (), box: Box | None = None, state: int = NONE
    ) -> int:
        """Adds an object of an image; returns its number.

        Args:
            image: its image's number.
            id: as the sources call it.
            pieces: its mask.
            box: left, top, right, bottom in pixels, where the annotations say it.
            state: NONE, CROWD, BOX_ONLY or MISSING.

        Raises:
            InvalidInput: if the box has not four finite numbers.
        """
        columns = self._columns
        if box is not None and (len(box) != 4 or not all(map(isfinite, box))):
            raise InvalidInput("a box is left, top, right, bottom, four finite numbers")
        for piece in pieces:
            self._piece(piece)
        columns["object_image"].append(image)
        columns["object_state"].append(state)
        columns["object_box"].extend(box or (float("nan"),) * 4)
        columns["object_pieces"].append(len(columns["piece_kind"]))
        return self._text("object_id", id)

    def expression(
        self,
        image: int,
        id: str,
        raw: str,
        sent: str | None = None,
        targets: Sequence[int] = (),
        ref: int = 0,
        split: str = "",
        type: str = "",
        kind: str = "",
    ) -> int:
        """Adds an expression; returns its number.

        Args:
            image: its image's number.
            id: unique within the data set.
            raw: the sentence as typed.
            sent: the sentence cleaned, where the sources have that.
            targets: numbers of the objects that it names.
            ref: number of the region or regions that it names together with other expressions.
            split: as the sources call it.
            type: as the sources call it.
            kind: as the sources call it.

        Raises:
            InvalidInput: if there are more than `MAX_NAMES` different splits, types or kinds.
        """
        columns = self._columns
        columns["expression_image"].append(image)
        columns["expression_ref"].append(ref)
        for name, value in (("split", split), ("type", type), ("kind", kind)):
            columns[f"expression_{name}"].append(self.name(name, value))
        columns["targets"].extend(targets)
        columns["expression_targets"].append(len(columns["targets"]))
        self._text("expression_raw", raw)
        self._text("expression_sent", raw if sent is None else sent)
        return self._text("expression_id", id)

    def name(self, of: str, value: str) -> int:
        """Returns the number of a split, type or kind, which need not occur; errors as of `expression`."""
        names, word = self._names[of], _text_of(value or "")
        if len(names) == MAX_NAMES and word not in names:
            raise InvalidInput(f"{of} {shown(word)} is one too many; at most {MAX_NAMES:,} are read")
        return names.setdefault(word, len(names))

    def repeated(self, what: str, ids: Iterable[str]) -> None:
        """Records the ids that occur more than once, as "annotation 7", for `refseg data check`."""
        for id in repeated(ids):
            self._text("repeated_id", f"{what} {id}")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns the flat arrays, by name."""
        found = {name: np.frombuffer(column, column.typecode) for name, column in self._columns.items()}
        found |= {name: array.reshape(-1, _SHAPES[name]) for name, array in found.items() if name in _SHAPES}
        for name in _BLOBS:
            found[name] = np.frombuffer(self._texts[name], np.uint8)
            found[f"{name}_ends"] = np.frombuffer(self._ends[name], np.int64)
        return found

    @property
    def names(self) -> dict[str, list[str]]:
        """Names of splits, types and kinds by their number."""
        return {name: list(values) for name, values in self._names.items()}

    def _piece(self, piece: Piece) -> None:
        columns = self._columns
        target = "points" if isinstance(piece, np.ndarray) else "bytes"
        start, size = len(columns[target]), (0, 0)
        if isinstance(piece, np.ndarray):
            kind = _POLYGON
            columns["points"].frombytes(piece.tobytes())
        elif isinstance(piece, Rle):
            kind, size = _RLE, piece.size_hw
            columns["bytes"].frombytes(piece.counts)
        else:
            kind = _INVERTED_FILE if piece.inverted else _FILE
            columns["bytes"].frombytes(piece.path.encode())
        columns["piece_kind"].append(kind)
        columns["piece_start"].append(start)
        columns["piece_stop"].append(len(columns[target]))
        columns["piece_hw"].extend(size)

    def _text(self, name: str, text: str) -> int:
        self._texts[name] += _text_of(text).encode()
        self._ends[name].append(len(self._texts[name]))
        return len(self._ends[name]) - 2


def _text_of(value: str) -> str:
    """Returns a text that can be encoded; lone surrogates become question marks."""
    return value.encode(errors="replace").decode()


class Index:
    """Memory-mapped arrays of a data set, by name: `index["targets"]`.

    Attributes:
        names: words of splits, types and kinds by their number.
    """

    def __init__(self, file: Path, fingerprint: str, check: bool = True):
        """Maps the file.

        Args:
            file: made by `open_index`.
            fingerprint: of the sources.
            check: whether the checksum is compared, for which the whole file is read.

        Raises:
            ValueError, OSError: if the file is not there, is damaged, or was made from other sources.
        """
        from safetensors import SafetensorError, safe_open

        if not os.path.isfile(file):  # to open a pipe would wait for ever
            raise FileNotFoundError(f"{file} is missing")
        self._file, self._fingerprint = file, fingerprint
        try:
            with safe_open(file, framework="numpy") as opened:  # checks the head of the file
                metadata = opened.metadata() or {}
            if metadata.get("fingerprint") != fingerprint:
                raise ValueError(f"{file} was made from other sources")
            self._arrays = _map_arrays(Path(file))
        except SafetensorError as error:
            raise ValueError(f"{file} is damaged ({error})") from error
        if self._arrays.keys() != {*_COLUMNS, *_BLOBS, *(f"{name}_ends" for name in _BLOBS)}:
            raise ValueError(f"{file} is damaged (it holds other arrays)")
        if check and metadata.get("checksum") != _checksum(self._arrays, metadata["names"]):
            raise ValueError(f"{file} is damaged (its checksum is another)")
        for mapped in self._arrays.values():
            mapped.flags.writeable = False
        self.names: dict[str, list[str]] = json.loads(metadata["names"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._file, self._fingerprint)  # a worker maps the file, too

    def __len__(self) -> int:
        """Number of expressions."""
        return len(self["expression_image"])

    def text(self, name: str, number: int) -> str:
        """Returns text `number` of image_id, image_file, object_id, expression_id, expression_raw, expression_sent."""
        start, stop = self[f"{name}_ends"][number : number + 2]
        return self[name][start:stop].tobytes().decode()

    @property
    def repeated(self) -> list[str]:
        """Ids that the sources give to several things, such as "annotation 7"."""
        return [self.text("repeated_id", number) for number in range(len(self["repeated_id_ends"]) - 1)]

    def word(self, name: Literal["split", "type", "kind"], number: int) -> str:
        """Returns the split, type or kind of expression `number`."""
        return self.names[name][self[f"expression_{name}"][number]]

    def targets(self, number: int) -> tuple[int, ...]:
        """Returns the numbers of the objects that expression `number` names."""
        start, stop = self["expression_targets"][number : number + 2]
        return tuple(self["targets"][start:stop].tolist())

    def pieces(self, number: int) -> list[Piece]:
        """Returns the pieces of the mask of object `number`."""
        first, last = self["object_pieces"][number : number + 2]
        pieces: list[Piece] = []
        for piece in range(first, last):
            start, stop, kind = self["piece_start"][piece], self["piece_stop"][piece], self["piece_kind"][piece]
            if kind == _POLYGON:
                pieces.append(self["points"][start:stop])
                continue
            content = self["bytes"][start:stop].tobytes()
            height, width = self["piece_hw"][piece].tolist()
            rle = kind == _RLE
            pieces.append(Rle(content, (height, width)) if rle else MaskFile(content.decode(), kind == _INVERTED_FILE))
        return pieces


def open_index(name: str, sources: Sequence[Path], read: Callable[[IndexBuilder], None]) -> Index:
    """Opens the index of these files; builds it where there is none, it is damaged, or a file has changed.

    Args:
        name: what it is called on disk, unique among those of the sources' folder.
        sources: the files that are read; the index lies beside the first.
        read: fills a builder from them.

    Raises:
        MissingFile, InvalidInput: if a source is missing or cannot be read.
        UnwritableOutput: if the index can be written neither beside them nor in the user's cache folder.
    """
    fingerprint = _fingerprint(sources)
    beside = sources[0].absolute().parent
    folders = [beside / FOLDER, *_in_cache(beside)]
    if len(name.encode()) > _LONGEST_NAME:
        name = f"{name[:60]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    places = [folder / f"{name}.safetensors" for folder in folders]
    if (beside / FOLDER).is_symlink():  # which may have come with the data and lead anywhere
        places = places[1:]
    for file in places:
        remove_leftovers(file.parent)
        try:
            return Index(file, fingerprint)
        except (ValueError, OSError, KeyError):
            continue
    builder = _build(name, read)
    if not beside.stat().st_mode & 0o222:  # marked as not to be written, which does not stop an administrator
        places = [file for file in places if file.parent != beside / FOLDER]
    for file in places:
        try:
            _write(builder, file, fingerprint)
        except UnwritableOutput:
            continue
        return Index(file, fingerprint)
    raise UnwritableOutput(
        f"neither {beside / FOLDER} nor {folders[-1]} can be written, where the index of {name} belongs; "
        "set REFSEG_CACHE to a folder that can"
    )


def _in_cache(folder: Path) -> list[Path]:
    """Returns the place of a folder's index in the user's cache folder, if the user has one."""
    try:
        return [cache_folder() / "datasets" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]]
    except UnwritableOutput:
        return []


def _build(name: str, read: Callable[[IndexBuilder], None]) -> IndexBuilder:
    from rich.console import Console
    from rich.text import Text

    builder = IndexBuilder()
    with Console(stderr=True).status(Text(f"indexing {name} (once)")):  # silent where nobody watches
        try:
            read(builder)
        except RefsegError:
            raise
        except OSError as error:
            raise InvalidInput(f"{error.filename or name} cannot be read ({error.strerror or error})") from error
    return builder


def _write(builder: IndexBuilder, file: Path, fingerprint: str) -> None:
    from safetensors.numpy import save_file

    arrays, names = builder.arrays(), json.dumps(builder.names)
    metadata = {"fingerprint": fingerprint, "names": names, "checksum": _checksum(arrays, names)}
    with all_or_nothing(file.parent) as folder:
        save_file(arrays, folder / file.name, metadata=metadata)
        (folder / file.name).chmod(0o644)  # others that share the data read it, too


def _checksum(arrays: Mapping[str, NDArray[Any]], names: str) -> str:
    found = zlib.crc32(names.encode())
    for name, values in sorted(arrays.items()):
        found = zlib.crc32(f"{name} {values.dtype} {values.shape}".encode(), found)
        found = zlib.crc32(values.data, found)
    return f"{found:08x}"


def _fingerprint(sources: Sequence[Path]) -> str:
    found: list[Any] = [VERSION]
    for source in sources:
        try:
            state = source.stat()
        except OSError as error:
            raise MissingFile(f"{source} is missing ({error.strerror})") from error
        found.append([source.name, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino])
    return json.dumps(found)


_TYPES = {"U8": "u1", "U16": "<u2", "I32": "<i4", "I64": "<i8", "F64": "<f8"}  # of the columns, in safetensors


def _map_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Maps the arrays of a safetensors file whose head is checked; safetensors itself would copy them into memory.

    Raises:
        ValueError: if an array is of another type than an index has.
    """
    mapped = np.memmap(file, np.uint8, mode="r")
    begin = 8 + int.from_bytes(mapped[:8].tobytes(), "little")
    head = json.loads(mapped[8:begin].tobytes())
    head.pop("__metadata__", None)
    if unknown := {entry["dtype"] for entry in head.values()} - _TYPES.keys():
        raise ValueError(f"{file} is damaged (it holds {', '.join(sorted(unknown))})")
    return {
        name: np.frombuffer(
            mapped, _TYPES[entry["dtype"]], prod(entry["shape"]), begin + entry["data_offsets"][0]
        ).reshape(entry["shape"])
        for name, entry in head.items()
    }


def _reopen(file: Path, fingerprint: str) -> Index:
    try:
        return Index(file, fingerprint, check=False)  # whoever opened it first has checked it
    except (ValueError, OSError, KeyError) as error:
        raise InvalidInput(f"{file} has changed while it was in use; start again") from error
