"""Manifests in lines of JSON."""

import hashlib
from collections.abc import Iterator
from typing import IO

from typing_extensions import override

from refseg.errors import InvalidInput, RefsegError
from refseg.inference.questions import json_row
from refseg.manifests.line_rows import LineRows
from refseg.manifests.manifest import Pieces
from refseg.manifests.places import open_place
from refseg.manifests.rows import Row, row_of

MAX_LINE = 2**26  # bytes


class JsonRows(LineRows):
    """A .jsonl with an object a line: image, expression or expressions, and what is carried along."""

    @override
    def cut(self, piece_size: int) -> Pieces:
        digest, positions, rows, position = hashlib.sha256(), list[int](), 0, 0
        with open_place(self.place) as file:
            for line in _lines(file, self.place):
                digest.update(line)
                if not line.isspace():
                    if rows % piece_size == 0:
                        positions.append(position)
                    rows += 1
                position += len(line)
        return Pieces(digest.hexdigest(), len(positions), rows, positions)

    @override
    def rows_from(self, position: int, number: int) -> Iterator[Row]:
        with open_place(self.place) as file:
            file.seek(position)
            for line in _lines(file, self.place):
                if line.isspace():
                    continue
                place = f"{self.place}: row {number}"
                try:
                    yield row_of(number, json_row(line, place), place, self.asked)
                except RefsegError as error:
                    yield Row(number, None, error=str(error))
                number += 1


def _lines(file: IO[bytes], place: str) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise InvalidInput(f"{place} has a line of more than {MAX_LINE:,} bytes; give an object a line")
        yield line
