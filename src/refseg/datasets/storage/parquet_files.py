"""Tables in Parquet: rows as dictionaries, and photographs that lie in a column, read where they are asked for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from refseg.datasets.storage.reading import error_context
from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.optional import import_optional

ROWS_AT_ONCE = 256
GROUPS_AT_ONCE = 2
"""Groups of rows whose photographs stay in memory: neighbours lie in one group, of about a hundred rows."""


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the rows of a table with their places, "FILE:GROUP:ROW".

    Raises:
        InvalidInput: if pyarrow is not installed, the file is damaged, or a column is missing.
        MissingFile: if the file is missing.
    """
    with _opened(path) as table:
        there = table.schema_arrow.names
        if lacking := [name for name in columns if name not in there]:
            raise InvalidInput(f"{path} has no column {', '.join(lacking)}; it has {', '.join(there)}")
        for group in range(table.num_row_groups):
            row = 0
            for batch in table.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=list(columns)):
                for entry in batch.to_pylist():
                    yield f"{path.name}:{group}:{row}", entry
                    row += 1


def read_photograph(path: Path, group: int, row: int, column: str) -> bytes:
    """Reads the file of a photograph, whose column holds {"bytes", "path"} as the `datasets` library writes it.

    Raises:
        InvalidInput: if it is not there, or the file is damaged.
        MissingFile: if the file is missing.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise MissingFile(f"{path} is missing ({error.strerror})") from error
    with error_context(f"{path}, row {row} of group {group}"):
        content = _group(path, changed, group, column)[row].as_py()["bytes"]
        if not isinstance(content, bytes):
            raise InvalidInput(f"column {column} holds no file")
        return content


@lru_cache(GROUPS_AT_ONCE)
def _group(path: Path, changed: int, group: int, column: str) -> Any:
    """Reads a column of a group of rows, without making Python objects of it."""
    with _opened(path) as table:
        return table.read_row_group(group, columns=[column]).column(column).combine_chunks()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    parquet = import_optional("pyarrow.parquet", f"{path} is Parquet, which pyarrow reads", "parquet")
    arrow = import_optional("pyarrow", f"{path} is Parquet, which pyarrow reads", "parquet")
    try:
        with parquet.ParquetFile(path) as table:
            yield table
    except InvalidInput:
        raise
    except FileNotFoundError as error:
        raise MissingFile(f"{path} is missing") from error
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise InvalidInput(f"{path} is damaged or not Parquet ({first_line(error)}); download it again") from error
