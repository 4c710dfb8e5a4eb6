"""Shards: a split of a data set in a few large files, for disks that are slow with many small ones.

NAME-000000.tar, ...   as WebDataset lays them out: KEY.jpg (or what the photograph was) and KEY.json beside each other,
                       {"image": ..., "size": [h, w], "coco": ..., "objects": [...], "expressions": [...]}

The annotations go into an index with the place of every photograph in its shard, and photographs are read from there in
any order. So a shard must lie where it can be read in the middle: on a local disk or a mounted one, not behind a URL.

Source     yours; `refseg data shard` makes them from any data set of files, docs/scaling.md#shards.
Licence    that of the data set.
Splits     those of the data set that were asked for.
"""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from refseg.counting import counted
from refseg.datasets.storage.annotation_masks import draw
from refseg.datasets.storage.index import BOX_ONLY, CROWD, MISSING, NONE, IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset, IndexedSample
from refseg.datasets.storage.reading import error_context, list_files
from refseg.errors import InvalidInput, MissingFile, RefsegError, first_line
from refseg.files.names import file_name
from refseg.masks.rle import parse_rle
from refseg.preprocessing.images import open_image

STATES = {"": NONE, "crowd": CROWD, "box": BOX_ONLY, "missing": MISSING}


class Shards(IndexedDataset):
    """Shards that `write_shards` wrote.

    Args:
        split: as the data set called it; "all" takes everything.
        root: the folder of the shards.
        settings: those of `IndexedDataset`.
    """

    name = "shards"
    folder = "shards"
    image_folders = (".",)

    def sources(self) -> list[Path]:
        """Returns the shards, in their order.

        Raises:
            MissingFile: if there is none.
            InvalidInput: if one is a link that leads out of the folder.
        """
        if not (found := list_files(self.root, ".tar")):
            raise MissingFile(f"{self.root} holds no shard (*.tar); refseg data shard makes them")
        return found

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index; photographs are only located."""
        refs: dict[str, int] = {}
        for shard in self.sources():
            with error_context(str(shard)):
                try:
                    _read(builder, shard, refs)
                except RefsegError:
                    raise
                except (tarfile.TarError, EOFError, OSError) as error:
                    reason = first_line(error)
                    raise InvalidInput(f"cannot be read as a tar file ({reason}); is it damaged or cut off?") from error

    def find_image(self, file: str) -> Path:
        """Returns the shard that holds the photograph at a place."""
        return self.root / file_name(file.rsplit(":", 2)[0], "shard")

    def open_image(self, file: str) -> Image.Image:
        """Opens the photograph at a place, without decoding it."""
        return open_image(self.open_file(file), f"{self.find_image(file)} at byte {file.rsplit(':', 2)[1]}")

    def open_file(self, file: str) -> BinaryIO:
        """Returns the bytes of the photograph at a place."""
        _, offset, size = file.rsplit(":", 2)
        with _BoundedFile(self.find_image(file)) as opened:
            opened.seek(int(offset))
            return io.BytesIO(opened.read(int(size)))


def write_shards(
    dataset: IndexedDataset, name: str, folder: Path, shard_bytes: int, progress: Callable[[], None] = lambda: None
) -> int:
    """Writes all images of a data set with their expressions; photographs stay as they are, byte by byte.

    Args:
        dataset: whose split is written, in its order.
        name: first part of the shards' names.
        folder: where to.
        shard_bytes: from which size on another shard is begun.
        progress: called after each image.

    Returns:
        The number of shards.

    Raises:
        MissingFile, InvalidInput: if a photograph is missing, or is none.
    """
    if isinstance(dataset, Shards):
        raise InvalidInput("these are shards already; copy their files")
    archive, number = None, 0
    try:
        for place, sample in enumerate(dataset):
            if archive is None or archive.offset >= shard_bytes:
                if archive is not None:
                    archive.close()
                archive = tarfile.open(folder / f"{name}-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT)
                number += 1
            about = json.dumps(_about(dataset, sample)).encode()
            for ending, content in (_photograph(dataset, sample), (".json", about)):
                member = tarfile.TarInfo(f"{place:09d}{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            progress()
    finally:
        if archive is not None:
            archive.close()
    return number


def _photograph(dataset: IndexedDataset, sample: IndexedSample) -> tuple[str, bytes]:
    """Reads extension and content of a photograph's file unchanged; other files are not packed."""
    name, path = sample.file, sample.image_path
    try:
        with dataset.open_file(name) as file:
            content = file.read()
        with open_image(io.BytesIO(content), str(path)) as image:
            ending = f".{image.format}".lower()
    except RefsegError:
        raise
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise InvalidInput(
            f"{path} cannot be packed ({first_line(error)}); is it no photograph, or damaged?"
        ) from error
    suffix = PurePosixPath(name).suffix  # that of a photograph in a table is none
    usual = re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) and suffix.lower() != ".json"
    return suffix if usual else ending, content


def _about(dataset: IndexedDataset, sample: IndexedSample) -> dict[str, Any]:
    index = dataset.index
    named = [target for expression in sample.expressions for target in expression.targets]
    places = {target: place for place, target in enumerate(dict.fromkeys(named))}
    expressions = [
        {
            "id": expression.id,
            "raw": index.text("expression_raw", number),
            "sent": index.text("expression_sent", number),
            "targets": [places[target] for target in expression.targets],
            "ref": f"{dataset.prefix}{index['expression_ref'][number]}",
            "split": index.word("split", number),
            "type": expression.type,
            "kind": expression.kind,
        }
        for number, expression in zip(sample.numbers.tolist(), sample.expressions, strict=True)
    ]
    return {
        "image": sample.image_id,
        "size": sample.size_hw,
        "coco": -1 if sample.coco_id is None else sample.coco_id,
        "objects": [_object(dataset, target, sample.size_hw) for target in places],
        "expressions": expressions,
    }


def _object(dataset: IndexedDataset, number: int, size_hw: tuple[int, int]) -> dict[str, Any]:
    """Returns an object with its mask at the photograph's size."""
    index = dataset.index
    state, box = int(index["object_state"][number]), index["object_box"][number]
    about: dict[str, Any] = {"id": index.text("object_id", number), "state": {v: k for k, v in STATES.items()}[state]}
    if not np.isnan(box).any():
        about["box"] = box.tolist()
    if state in (NONE, CROWD):
        pieces = dataset.pieces(number) if state == NONE or dataset.crowds else []
        mask = draw(pieces, size_hw, dataset.covered_twice)
        rle = coco.encode(np.asfortranarray(mask, np.uint8))
        about["mask"] = {"size": rle["size"], "counts": rle["counts"].decode()}
    return about


def _add(builder: IndexBuilder, about: dict[str, Any], place: str, refs: dict[str, int]) -> None:
    height, width = about["size"]
    image = builder.image(about["image"], place, (height, width), about["coco"])
    objects = [
        builder.object(
            image,
            each["id"],
            [parse_rle(each["mask"])] if "mask" in each else [],
            tuple(each["box"]) if "box" in each else None,
            STATES[each["state"]],
        )
        for each in about["objects"]
    ]
    for each in about["expressions"]:
        if any(not 0 <= target < len(objects) for target in each["targets"]):
            raise InvalidInput(f"targets are numbers of its {counted(len(objects), 'object')}, from 0")
        builder.expression(
            image,
            each["id"],
            each["raw"],
            each["sent"],
            [objects[target] for target in each["targets"]],
            refs.setdefault(each["ref"], len(refs)),
            each["split"],
            each["type"],
            each["kind"],
        )


def _read(builder: IndexBuilder, shard: Path, refs: dict[str, int]) -> None:
    with _BoundedFile(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        photograph, begin = None, -1
        for member in archive:
            with error_context(repr(member.name)):
                if member.offset <= begin or member.offset_data + member.size > file.size:
                    raise InvalidInput("it reaches out of the tar file; is that damaged or cut off?")
                begin = member.offset
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise InvalidInput("it is no ordinary file, as photographs and annotations are")
                key, ending = os.path.splitext(member.name)
                if ending != ".json":
                    photograph = key, f"{shard.name}:{member.offset_data}:{member.size}"
                    continue
                if photograph is None or photograph[0] != key:
                    raise InvalidInput("its photograph does not stand before it")
                content = archive.extractfile(member)
                assert content is not None  # of an ordinary file
                _add(builder, json.load(content), photograph[1], refs)


class _BoundedFile(io.FileIO):
    """A file from which never more bytes are requested than it has, whatever a header in it says.

    Attributes:
        size: in bytes.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        self.size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        """Reads up to `size` bytes, or all that are left."""
        left = max(0, self.size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left)) or b""
