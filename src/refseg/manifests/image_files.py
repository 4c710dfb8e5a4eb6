"""Image files as a manifest: a folder, or a glob; they are listed once, so that all workers see the same rows."""

import glob
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from typing_extensions import override

from refseg.errors import InvalidInput, MissingFile, RefsegError, another_out
from refseg.inference.questions import IMAGE_ENDINGS, find_images
from refseg.manifests.json_rows import JsonRows
from refseg.manifests.manifest import Manifest, Pieces
from refseg.manifests.places import ImageRoot, file_system, is_url
from refseg.manifests.rows import Row
from refseg.manifests.store import Store
from refseg.video.folder import natural_sort_key

LISTING = "images.jsonl"
"""File beside the answers with the images that were there when a run began."""


class ImageFiles(Manifest):
    """The images of a folder, without those of folders in it, or those that a glob finds.

    Args:
        place: the folder, or a pattern with *, ? or [ (** is any number of folders).
        asked: expressions about each image.
        store: keeps the listing, beside the answers.
    """

    def __init__(self, place: str, asked: Sequence[str], store: Store):
        folder = place if os.path.isdir(place) or is_url(place) else fixed_part(place)
        super().__init__(place, asked, ImageRoot(folder, place))
        if not asked:
            raise InvalidInput(f"what to find in {place} is not said; name expressions in the command: 'the cup'")
        self.columns = []
        if os.path.isdir(store.place) and os.path.isdir(place) and os.path.samefile(store.place, place):
            raise InvalidInput(f"{place} holds the photographs; give {another_out()} for the answers")
        self._folder, self._store = folder, store
        self._found: list[str] | None = None  # until the listing is written

    @override
    def cut(self, piece_size: int) -> Pieces:
        if not self._store.has(LISTING):
            with self._store.writing(LISTING, first=True) as file, file.open("w", encoding="utf-8") as lines:
                for name in self._names():
                    lines.write(json.dumps({"image": name}) + "\n")
        self._found = None
        return self._listed().cut(piece_size)

    @override
    def read(self, pieces: Pieces, number: int, piece_size: int) -> Iterator[Row]:
        return self._listed().read(pieces, number, piece_size)

    @override
    def first_rows(self) -> Iterator[Row]:
        if self._store.has(LISTING):
            yield from self._listed().first_rows()
        else:
            yield from (Row(number, name, self.asked) for number, name in enumerate(self._names()))

    def _listed(self) -> JsonRows:
        return JsonRows(self._store.place_of(LISTING), self.asked, self.root)

    def _names(self) -> list[str]:
        """Returns the names of the images as seen from the folder, in natural order."""
        if self._found is None:
            self._found = list(self._find())
        return self._found

    def _find(self) -> Iterator[str]:
        if not is_url(self.place):
            try:
                yield from (os.path.relpath(path, self._folder) for path in find_images(self.place))
            except RefsegError as error:
                if os.path.isdir(self.place) and any(Path(self.place).glob("*.tar")):
                    shards = os.path.join(self.place, "*.tar")
                    raise InvalidInput(f"{self.place} holds tar files; give them as '{shards}'") from error
                raise
            return
        system, folder = file_system(self.place)
        try:
            files = system.ls(folder, detail=False)
        except FileNotFoundError as error:
            raise MissingFile(f"{self.place} is missing; check its path") from error
        names = [PurePosixPath(file).name for file in files]
        images = [name for name in names if name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")]
        if not images:
            raise InvalidInput(f"{self.place} holds no images ({', '.join(IMAGE_ENDINGS[:4])}, ...)")
        yield from sorted(images, key=natural_sort_key)


def fixed_part(pattern: str) -> str:
    """Returns the folder of a pattern, in which nothing varies.

    >>> fixed_part("photos/2026/**/*.jpg"), fixed_part("*.jpg")
    ('photos/2026', '.')
    """
    parts = Path(pattern).parts
    varying = next((k for k, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(Path(*parts[:varying]))
