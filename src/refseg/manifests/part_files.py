"""Part files: the lines of a piece, as lines of JSON or as Parquet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from refseg.manifests.rows import ABOUT
from refseg.optional import import_optional

LINES_AT_ONCE = 256  # of a Parquet file, in memory
_KNOWN = (
    *("expression", "found", "exists", "exists_threshold", "decided_by", "familiar", "size", "area", "box", "boxes"),
    *("rle", "instances", "warnings", "unknown_words", "files", "error"),
)
"""Fields of a result that have columns of their own; `more` holds the others as JSON."""


class WriteLine(Protocol):
    """Adds a line to a part file."""

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Adds it."""


@contextmanager
def writing_part(file: Path, parquet: bool, columns: Sequence[str] | None) -> Iterator[WriteLine]:
    """Yields a function that adds lines to a part file.

    Args:
        file: to be written.
        parquet: Whether it is Parquet.
        columns: of the manifest, the same in all rows; None if they may differ: then they are JSON in one column.
    """
    if parquet:
        with _ParquetPart(file, columns) as part:
            yield part.write
        return
    with file.open("w", encoding="utf-8") as lines:

        def write(line: Mapping[str, Any]) -> None:
            lines.write(json.dumps(line, allow_nan=False) + "\n")

        yield write


def check_parquet() -> None:
    """Raises InvalidInput if pyarrow is not installed."""
    import_optional("pyarrow", "part files in Parquet need pyarrow", "parquet")


def read_part(content: bytes, parquet: bool) -> Iterator[dict[str, Any]]:
    """Yields row and error of the lines of a part file."""
    if not parquet:
        yield from map(json.loads, content.splitlines())
        return
    parquet_of = import_optional("pyarrow.parquet", "part files in Parquet need pyarrow", "parquet")
    arrow = import_optional("pyarrow", "part files in Parquet need pyarrow", "parquet")
    table = parquet_of.read_table(arrow.BufferReader(content), columns=["row", "error"])
    yield from ({key: value for key, value in line.items() if value is not None} for line in table.to_pylist())


class _ParquetPart:
    """A Parquet file with the columns of the answers: results are lists of structs, masks are COCO's run lengths."""

    def __init__(self, file: Path, columns: Sequence[str] | None):
        arrow = import_optional("pyarrow", "part files in Parquet need pyarrow", "parquet")
        parquet = import_optional("pyarrow.parquet", "part files in Parquet need pyarrow", "parquet")
        self._arrow, self._columns = arrow, columns
        self._schema = _schema(arrow, columns)
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._waiting: list[dict[str, Any]] = []

    def __enter__(self) -> "_ParquetPart":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, line: Mapping[str, Any]) -> None:
        """Adds a line."""
        fields = ("row", "image", "shard", "error", *ABOUT)
        others = {name: value for name, value in line.items() if name not in (*fields, "results")}
        told: dict[str, Any] = {name: line.get(name) for name in fields}
        if self._columns is None:
            told["columns"] = json.dumps(others)
        else:
            told |= {name: _text(others.get(name)) for name in self._columns}
        told["results"] = [
            {**{name: result.get(name) for name in _KNOWN}, "more": _more(result)} for result in line["results"]
        ]
        self._waiting.append(told)
        if len(self._waiting) == LINES_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(self._arrow.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []


def _schema(arrow: Any, columns: Sequence[str] | None) -> Any:
    text, whole, real, truth = arrow.string(), arrow.int64(), arrow.float64(), arrow.bool_()
    numbers = arrow.list_(arrow.int32())
    rle = arrow.struct([("size", numbers), ("counts", text)])
    of_field = {
        **dict.fromkeys(_KNOWN, text),
        **{"found": truth, "familiar": truth, "exists": real, "exists_threshold": real, "area": whole},
        **{"size": numbers, "box": numbers, "boxes": arrow.list_(numbers), "rle": rle},
        "instances": arrow.list_(arrow.struct([("box", numbers), ("area", whole), ("rle", rle)])),
        **dict.fromkeys(("warnings", "unknown_words", "files"), arrow.list_(text)),
        "more": text,
    }
    return arrow.schema(
        [
            ("row", whole),
            ("image", text),
            ("shard", text),
            *((name, text) for name in (["columns"] if columns is None else columns)),
            ("results", arrow.list_(arrow.struct(list(of_field.items())))),
            ("error", text),
            *((name, {"threshold": real, "crf": truth}.get(name, text)) for name in ABOUT),
        ]
    )


def _more(result: Mapping[str, Any]) -> str | None:
    others = {name: value for name, value in result.items() if name not in _KNOWN}
    return json.dumps(others) if others else None


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
