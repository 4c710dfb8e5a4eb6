"""Manifests in one file of lines; a piece is found by the byte at which it begins."""

from abc import abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import Any

from typing_extensions import override

from refseg.manifests.manifest import Manifest, Pieces
from refseg.manifests.places import stamp_of
from refseg.manifests.rows import Row


class LineRows(Manifest):
    """A manifest whose `cut` notes the byte at which each piece begins."""

    @override
    def read(self, pieces: Pieces, number: int, piece_size: int) -> Iterator[Row]:
        return islice(self.rows_from(pieces.positions[number], number * piece_size), piece_size)

    @override
    def first_rows(self) -> Iterator[Row]:
        return self.rows_from(0, 0)

    @override
    def changed(self) -> Any:
        return stamp_of(self.place)

    @abstractmethod
    def rows_from(self, position: int, number: int) -> Iterator[Row]:
        """Yields the rows from a byte on, where row `number` begins; from 0 on all of them."""
