"""Every number that is printed before a noun agrees with it: "1 answer"."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import refseg

PACKAGE = Path(refseg.__file__).parent
NUMBER = re.compile(r"len\(|count|number|total|size|shown|images|steps|expressions")
NO_NOUNS = "is", "has", "holds", "takes", "refers", "others", "times"
CONSTANT = re.compile(r"\{([A-Z_]+\}|[a-z_.]*max_\w+|size_hw)")


def uncounted(file: Path) -> Iterator[str]:
    """The f-strings of a file that print a whole number, and a noun in the plural after it."""
    for string in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(string, ast.JoinedStr):
            continue
        for value, text in zip(string.values, string.values[1:], strict=False):
            if not (isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant)):
                continue
            spec = ast.unparse(value.format_spec)[2:-1] if value.format_spec else ""
            number, noun = ast.unparse(value.value), re.match(r" ([a-z]{3,}s)\b", str(text.value))
            if noun and noun[1] not in NO_NOUNS and (spec == "," or not spec and NUMBER.search(number)):
                yield f"{file.relative_to(PACKAGE)}:{string.lineno}: {{{number}}} {noun[1]}"


def test_numbers_are_counted_with_their_nouns():
    found = [line for file in PACKAGE.rglob("*.py") for line in uncounted(file)]
    assert [line for line in found if not CONSTANT.search(line)] == []
