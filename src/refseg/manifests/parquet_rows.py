"""Manifests in Parquet; pyarrow reads them (pip install 'refseg[parquet]'), a few rows at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from typing_extensions import override

from refseg.errors import InvalidInput, RefsegError, first_line
from refseg.manifests.manifest import Manifest, Pieces
from refseg.manifests.places import ImageRoot, open_place, stamp_of
from refseg.manifests.rows import WAY_OUT, Row, check_columns, row_of
from refseg.optional import import_optional

ROWS_AT_ONCE = 64  # which may hold images


class ParquetRows(Manifest):
    """A Parquet file: image (a path, the bytes of a file, or both as {"path", "bytes"}), expression or expressions."""

    def __init__(self, place: str, asked: Sequence[str], root: ImageRoot):
        super().__init__(place, asked, root)
        parquet = import_optional("pyarrow.parquet", f"{place} needs pyarrow", "parquet")
        try:
            self._file = parquet.ParquetFile(open_place(place))
        except RefsegError:
            raise
        except Exception as error:  # pyarrow's errors have several bases
            raise InvalidInput(f"{place} is not Parquet ({first_line(error)}); give another file") from error
        names = self._file.schema_arrow.names
        if "image" not in names or not (asked or {"expression", "expressions"} & set(names)):
            raise InvalidInput(f"{place} has the columns {', '.join(names) or 'none'}; {WAY_OUT}")
        self.columns = [name for name in names if name not in ("image", "expression", "expressions")]
        check_columns(self.columns, place)
        self._next = 0  # the row that the open iterator gives next
        self._open: Iterator[dict[str, Any]] = iter(())

    @override
    def cut(self, piece_size: int) -> Pieces:
        about = self._file.metadata
        told = f"{about.to_dict()} {stamp_of(self.place)[0]}"  # statistics of all columns among it
        rows = about.num_rows
        if not rows:
            raise InvalidInput(f"{self.place} has no row; give one for each image")
        return Pieces(hashlib.sha256(told.encode()).hexdigest(), -(-rows // piece_size), rows)

    @override
    def read(self, pieces: Pieces, number: int, piece_size: int) -> Iterator[Row]:
        start = number * piece_size
        if start < self._next:
            self._next, self._open = 0, iter(())
        self._next, skipped = self._begin(start)
        for _ in islice(self._open, skipped):
            self._next += 1
        for fields in islice(self._open, piece_size):
            self._next += 1
            yield self._row(self._next - 1, fields)

    @override
    def first_rows(self) -> Iterator[Row]:
        rows = self._rows(range(self._file.metadata.num_row_groups))
        return (self._row(number, fields) for number, fields in enumerate(rows))

    @override
    def changed(self) -> Any:
        return stamp_of(self.place)

    def _begin(self, start: int) -> tuple[int, int]:
        """Goes on with the open iterator, or opens the row group of a row; returns the next row, and rows to skip."""
        first, groups = 0, self._file.metadata.num_row_groups
        for group in range(groups):
            count = self._file.metadata.row_group(group).num_rows
            if start < first + count:
                if not first <= self._next <= start or not self._next:
                    self._open = self._rows(range(group, groups))
                    return first, start - first
                break
            first += count
        return self._next, start - self._next

    def _rows(self, groups: range) -> Iterator[dict[str, Any]]:
        try:
            for batch in self._file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=list(groups)):
                yield from batch.to_pylist()
        except Exception as error:
            raise InvalidInput(f"{self.place} cannot be read ({first_line(error)}); is it damaged?") from error

    def _row(self, number: int, fields: dict[str, Any]) -> Row:
        try:
            return row_of(number, fields, f"{self.place}: row {number}", self.asked)
        except RefsegError as error:
            return Row(number, None, error=str(error))
