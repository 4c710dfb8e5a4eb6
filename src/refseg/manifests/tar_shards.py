"""Tar files in WebDataset's layout as a manifest: KEY.jpg, beside it KEY.json or KEY.txt with expressions.

A shard is a piece. It is read once from its beginning to its end, nothing is unpacked to a disk, and what is no
ordinary file of a bounded size is refused.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import PurePosixPath
from typing import IO, Any

from typing_extensions import override

from refseg.counting import counted
from refseg.errors import InvalidInput, RefsegError, first_line, shown
from refseg.inference.questions import IMAGE_ENDINGS, json_row
from refseg.manifests.manifest import Manifest, Pieces
from refseg.manifests.places import MAX_IMAGE_BYTES, ImageRoot, find_files, open_place, stamp_of
from refseg.manifests.rows import Row, as_expressions, plain_columns

MAX_TEXT_BYTES = 2**26
TEXTS = (".json", ".txt")


class TarShards(Manifest):
    """The images of tar files; rows are numbered in each shard, and their columns are `shard` and what KEY.json says.

    Args:
        place: a tar file, or several: shards/{000..099}.tar, shards/*.tar, s3://bucket/{000..099}.tar.
        asked: expressions about images that have none.
    """

    def __init__(self, place: str, asked: Sequence[str]):
        super().__init__(place, asked, ImageRoot(None))
        self._shards = find_files(place, ".tar")

    @override
    def cut(self, piece_size: int) -> Pieces:
        digest = hashlib.sha256(json.dumps([[shard, stamp_of(shard)[0]] for shard in self._shards]).encode())
        return Pieces(digest.hexdigest(), len(self._shards), None)

    @override
    def read(self, pieces: Pieces, number: int, piece_size: int) -> Iterator[Row]:
        return self._rows(self._shards[number])

    @override
    def first_rows(self) -> Iterator[Row]:
        for shard in self._shards:
            yield from self._rows(shard)

    @override
    def changed(self) -> Any:
        return len(self._shards)

    def _rows(self, shard: str) -> Iterator[Row]:
        number = 0
        try:
            for key, members in _samples(shard):
                yield self._row(number, shard, key, members)
                number += 1
        except InvalidInput as error:  # what was read before it is answered
            yield Row(number, None, columns={"shard": shard}, error=str(error))

    def _row(self, number: int, shard: str, key: str, members: dict[str, bytes | str]) -> Row:
        columns: dict[str, Any] = {"shard": shard}
        image = next((ending for ending in members if ending.lower() in IMAGE_ENDINGS), None)
        name = f"{key}{image or ''}"
        try:
            fault = next((content for content in members.values() if isinstance(content, str)), None)
            if fault:
                raise InvalidInput(f"{shard}: {fault}")
            if image is None:
                raise InvalidInput(
                    f"{shard}: sample {shown(key, 60)} holds no image ({', '.join(members) or 'nothing'})"
                )
            expressions, about = self._expressions(f"{shard}: {shown(key, 60)}", members)
            content = members[image]
            assert isinstance(content, bytes)
            return Row(number, name, expressions, {**columns, **about}, content)
        except RefsegError as error:
            return Row(number, name, columns=columns, error=str(error))

    def _expressions(self, place: str, members: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Returns the expressions about an image, and what is carried along."""
        about: dict[str, Any] = {}
        given: Any = None
        if ".json" in members:
            fields = json_row(members[".json"], place)
            about = {"json": plain_columns(fields)}
            given = fields.get("expressions", fields.get("expression"))
            if isinstance(given, list):  # refseg data shard writes more about each
                given = [one.get("sent") if isinstance(one, dict) else one for one in given]
        if not given and ".txt" in members:
            try:
                given = [line.strip() for line in members[".txt"].decode("utf-8-sig").splitlines() if line.strip()]
            except UnicodeDecodeError as error:
                raise InvalidInput(f"{place}.txt is not UTF-8; save it as UTF-8") from error
        expressions = as_expressions(given, place) if given else self.asked
        if not expressions:
            raise InvalidInput(
                f"{place} has no expression; put expressions into KEY.json or KEY.txt, or name them in the command"
            )
        return expressions, about


def _samples(shard: str) -> Iterator[tuple[str, dict[str, bytes | str]]]:
    """Yields key and members of each sample, by their endings; a member that is refused is a text that says why."""
    with open_place(shard, "the shards") as file, closing(_Bounded(file, shard)) as bounded:
        opened: Any = bounded
        try:
            with tarfile.open(fileobj=opened, mode="r:") as archive:
                growing: Any = archive
                key, members = None, dict[str, bytes | str]()
                while (member := archive.next()) is not None:
                    growing.members = []  # which would grow with the shard
                    if member.isdir():
                        continue
                    new, ending = _split(member.name)
                    if new != key:
                        if key is not None:
                            yield key, members
                        key, members = new, {}
                    content = _content(archive, member, ending)
                    if content is not None:
                        members[ending] = content
                if key is None:
                    raise InvalidInput(f"{shard} holds no file; give shards with images")
                yield key, members
                bounded.seek(archive.offset)  # tarfile takes a damaged header for the end
                if bounded.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise EOFError("there is no mark of its end")
        except RefsegError:
            raise
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise InvalidInput(
                f"{shard} cannot be read as a tar file ({first_line(error)}); is it damaged, cut off or compressed?"
            ) from error


def _content(archive: Any, member: tarfile.TarInfo, ending: str) -> bytes | str | None:
    """Returns the content of an image or text, a message if it is refused, None if it is of no use."""
    is_image = ending.lower() in IMAGE_ENDINGS
    if not is_image and ending not in TEXTS:
        return None
    if not member.isreg() or member.issparse():
        return f"{shown(member.name, 60)} is no ordinary file, as images and texts are"
    most = MAX_IMAGE_BYTES if is_image else MAX_TEXT_BYTES
    if member.size > most:
        return f"{shown(member.name, 60)} has {counted(member.size, 'byte')}; at most {most:,} are read"
    opened = archive.extractfile(member)
    assert opened is not None  # of an ordinary file
    content: bytes = opened.read()
    if len(content) < member.size:
        raise EOFError(f"{member.name} is cut off")
    return content


def _split(name: str) -> tuple[str, str]:
    """Returns key and ending as WebDataset takes a name apart.

    >>> _split("./a/00012.seg.png")
    ('a/00012', '.seg.png')
    """
    path = PurePosixPath(name)
    stem, dot, ending = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, f"{dot}{ending}"


class _Bounded:
    """An open file that is read a bounded number of bytes at a time, whatever a header says."""

    def __init__(self, file: IO[bytes], name: str):
        self._file, self.name = file, name

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_IMAGE_BYTES:
            raise tarfile.ReadError(f"a header asks for {counted(size, 'byte')}")
        return self._file.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        """Leaves the file to its owner."""
