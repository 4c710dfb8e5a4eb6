"""Rows of a manifest: an image, the expressions about it, and whatever else is carried along."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refseg.errors import InvalidInput, shown

ABOUT = ("weights", "sha256", "threshold", "crf", "version")
"""Fields of a line that say what answered."""
LINE_FIELDS = ("row", "shard", "results", "error", *ABOUT)
"""Fields of a line beside image and the columns of the manifest, which must not have these names."""
SEPARATOR = "|"  # of the expressions in a cell of a .csv
WAY_OUT = (
    "a row has image and expression, or image and expressions, a list; or name expressions in the command, "
    "which are asked about every image"
)


@dataclass(frozen=True)
class Row:
    """A row of a manifest.

    Attributes:
        number: its place in the manifest, from 0; in a tar file that of its sample there.
        image: the name of the image, as the manifest says it.
        expressions: what is asked about it.
        columns: what is carried along.
        content: the image file itself where the manifest holds it.
        error: why the row cannot be asked; "" if it can.
    """

    number: int
    image: str | None
    expressions: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    error: str = ""


def row_of(number: int, fields: Mapping[str, Any], place: str, asked: Sequence[str]) -> Row:
    """Makes a row of the fields of a table.

    Args:
        number: its place in the manifest.
        fields: image, expression or expressions, and further columns.
        place: name of the row in errors.
        asked: expressions about images whose row has none.

    Raises:
        InvalidInput: if it has no image, no expressions, or a column with the name of a field of the answers.
    """
    columns = {name: value for name, value in fields.items() if name not in ("image", "expression", "expressions")}
    check_columns(columns, place)
    image, content = _image(fields.get("image"), number)
    if image is None:
        raise InvalidInput(f"{place} has no image (it has {', '.join(fields) or 'nothing'}); {WAY_OUT}")
    given = fields.get("expressions", fields.get("expression"))
    expressions = tuple(asked) if given in (None, "", []) else as_expressions(given, place)
    if not expressions:
        raise InvalidInput(f"{place} has no expression; {WAY_OUT}")
    return Row(number, image, expressions, plain_columns(columns), content)


def check_columns(columns: Iterable[str], place: str) -> None:
    """Raises InvalidInput if a column has the name of a field of the answers."""
    if taken := sorted(set(columns).intersection(LINE_FIELDS)):
        raise InvalidInput(f"{place}: column {taken[0]} has the name of a field of the answers; rename it")


def as_expressions(given: Any, place: str) -> tuple[str, ...]:
    """Returns the expressions of a row: a text, or a list of texts.

    Raises:
        InvalidInput: if it is neither.
    """
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) and one.strip() for one in given):
        raise InvalidInput(f"{place} has {shown(given, 60)} for expressions; give a text, or a list of texts")
    return tuple(given)


def split_cell(cell: str, place: str) -> list[str]:
    """Returns the expressions in a cell of a .csv, which `|` sets apart.

    >>> split_cell("the cup | the pen", "row 0")
    ['the cup', 'the pen']
    """
    if cell.lstrip().startswith("["):
        raise InvalidInput(
            f"{place} has {shown(cell, 60)} for expressions; in a .csv {SEPARATOR} sets them apart: the cup{SEPARATOR}"
            "the pen; lists stand in a .jsonl"
        )
    return [one.strip() for one in cell.split(SEPARATOR) if one.strip()]


def plain_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Returns columns ready for JSON: dates as text, bytes in base 64, what is no number as nothing."""
    return {str(name): _plain(value) for name, value in columns.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain_columns(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _image(value: Any, number: int) -> tuple[str | None, bytes | None]:
    """Returns name and content: of a path, of the bytes of a file, or of both as {"path": ..., "bytes": ...}."""
    content: Any = None
    if isinstance(value, Mapping):
        content, value = value.get("bytes"), value.get("path")
    elif isinstance(value, bytes):
        content, value = value, None
    content = content if isinstance(content, bytes) else None
    if isinstance(value, str) and value:
        return value, content
    return (None, None) if content is None else (f"row {number}", content)
