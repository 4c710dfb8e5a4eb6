"""The contract of manifests: what is asked, cut into pieces of rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from refseg.errors import InvalidInput, RefsegError
from refseg.manifests.places import ImageRoot
from refseg.manifests.rows import Row

LOOKED_AT = 100  # rows


@dataclass(frozen=True)
class Pieces:
    """The pieces of a manifest.

    Attributes:
        digest: tells the manifest from others.
        count: number of pieces.
        rows: number of rows; None if only reading all of them would tell.
        positions: where each piece begins, if the manifest needs it.
    """

    digest: str
    count: int
    rows: int | None
    positions: Sequence[int] = field(default_factory=list)


class Manifest(ABC):
    """Images and expressions, each row with a number, in pieces that hold the same rows on every machine.

    Attributes:
        place: path, pattern or URL.
        asked: expressions about images whose row has none.
        root: the folder of its images.
        columns: names of the columns of all rows; None if rows may differ.
    """

    def __init__(self, place: str, asked: Sequence[str], root: ImageRoot):
        self.place, self.asked, self.root = place, tuple(asked), root
        self.columns: list[str] | None = None

    @abstractmethod
    def cut(self, piece_size: int) -> Pieces:
        """Reads the manifest once, and returns its pieces of so many rows.

        Raises:
            MissingFile, InvalidInput: if it cannot be read, or has no row.
        """

    @abstractmethod
    def read(self, pieces: Pieces, number: int, piece_size: int) -> Iterator[Row]:
        """Yields the rows of a piece, read as they are asked for; those that are damaged have an error."""

    def changed(self) -> Any:
        """Returns what tells cheaply whether the manifest has changed."""
        return None

    def check(self) -> None:
        """Checks that the manifest has rows, one of the first of which can be asked.

        Raises:
            MissingFile, InvalidInput: if not, with what is wrong with the first one.
        """
        first = list(islice(self.first_rows(), 1))
        if not first:
            raise InvalidInput(f"{self.place} has no row; give one for each image")
        if first[0].error and all(row.error for row in islice(self.first_rows(), LOOKED_AT)):
            raise InvalidInput(first[0].error)

    def check_images(self) -> None:
        """Checks that one of the first images is there: a disk that is not mounted must not make a million errors.

        Raises:
            MissingFile, InvalidInput: if not, with what is wrong with the first one.
        """
        first: RefsegError | None = None
        for row in islice(self.first_rows(), LOOKED_AT):
            if row.content is not None:
                return
            if row.image is not None:
                try:
                    self.root.check(row.image)
                    return
                except RefsegError as error:
                    first = first or error
        if first:
            raise first

    @abstractmethod
    def first_rows(self) -> Iterator[Row]:
        """Yields the rows from the first one on."""
