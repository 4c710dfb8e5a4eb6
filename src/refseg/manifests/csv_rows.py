"""Manifests in comma-separated values, read as a stream."""

import csv
import hashlib
from collections.abc import Iterator
from typing import IO, Any

from typing_extensions import override

from refseg.counting import counted
from refseg.errors import InvalidInput, RefsegError, shown
from refseg.files.text import DELIMITERS, encoding_of
from refseg.manifests.line_rows import LineRows
from refseg.manifests.manifest import Pieces
from refseg.manifests.places import open_place
from refseg.manifests.rows import WAY_OUT, Row, check_columns, row_of, split_cell

MAX_LINE = 2**20  # bytes; a quote that is left open would make one line of the rest of the file
_MARK = b"\xef\xbb\xbf"


class CsvRows(LineRows):
    """A .csv with a head: image, expression or expressions (set apart by |), and what is carried along."""

    @override
    def cut(self, piece_size: int) -> Pieces:
        digest, positions, rows = hashlib.sha256(), list[int](), 0
        with open_place(self.place) as file:
            lines = _Lines(file, self.place, digest)
            self._head(lines)
            for position, values in _records(lines, self.place, self._delimiter):
                if values:
                    if rows % piece_size == 0:
                        positions.append(position)
                    rows += 1
        if not rows:
            raise InvalidInput(f"{self.place} has no row below its head; give one for each image")
        return Pieces(digest.hexdigest(), len(positions), rows, positions)

    @override
    def rows_from(self, position: int, number: int) -> Iterator[Row]:
        with open_place(self.place) as file:
            lines = _Lines(file, self.place)
            head = self._head(lines)
            if position:
                file.seek(position)
            for _, values in _records(lines, self.place, self._delimiter):
                if values:
                    yield self._row(number, head, values)
                    number += 1

    def _row(self, number: int, head: list[str], values: list[str]) -> Row:
        place = f"{self.place}: row {number}"
        try:
            if len(values) != len(head):
                raise InvalidInput(
                    f"{place} has {counted(len(values), 'column')}, the head has {len(head)}; put a text with commas "
                    'into quotes: "the cup, left"'
                )
            fields: dict[str, Any] = dict(zip(head, values, strict=True))
            if "expressions" in fields:
                fields["expressions"] = split_cell(fields["expressions"], place)
            return row_of(number, fields, place, self.asked)
        except RefsegError as error:
            return Row(number, None, error=str(error))

    def _head(self, lines: "_Lines") -> list[str]:
        """Reads the head, and takes notice of its columns."""
        first = next(lines, "")
        self._delimiter = max(DELIMITERS, key=first.count)
        try:
            head = [name.strip() for name in next(csv.reader([first], delimiter=self._delimiter), [])]
        except csv.Error:
            head = []
        if "image" not in head or not (self.asked or {"expression", "expressions"} & set(head)):
            named = shown(first.rstrip(), 60)
            raise InvalidInput(f"{self.place} has {named} for its head, which must name the columns; {WAY_OUT}")
        if len(set(head)) < len(head):
            raise InvalidInput(f"{self.place} has two columns of one name in {shown(first.rstrip(), 60)}; rename one")
        self.columns = [name for name in head if name not in ("image", "expression", "expressions")]
        check_columns(self.columns, self.place)
        return head


class _Lines:
    """The lines of a file as text, and how many bytes they were.

    Attributes:
        position: the byte behind the last line.
    """

    def __init__(self, file: IO[bytes], place: str, digest: Any = None):
        self._file, self._place, self._digest, self.position = file, place, digest, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE)
        if not line:
            raise StopIteration
        if len(line) == MAX_LINE:
            raise InvalidInput(f"{self._place} has a line of more than {MAX_LINE:,} bytes; is it a table?")
        if self._digest:
            self._digest.update(line)
        if not self.position and (encoding := encoding_of(line)) != "UTF-8":
            raise InvalidInput(f"{self._place} is {encoding}; save it as UTF-8")
        at_start = not self.position
        self.position += len(line)
        try:
            return (line.removeprefix(_MARK) if at_start else line).decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{self._place}: byte {self.position} is not UTF-8; save the file as UTF-8") from error


def _records(lines: _Lines, place: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the position and the values of each record."""
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        position = lines.position
        try:
            yield position, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InvalidInput(
                f"{place}: the record at byte {position} is not as the format says ({error}); is a quote left open?"
            ) from error
