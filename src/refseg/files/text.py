"""Reading of text files in several encodings, and of comma-separated values."""

import codecs
import csv
import io
import shlex
from collections.abc import Iterator
from pathlib import Path

from refseg.errors import InvalidInput, MissingFile

DELIMITERS = ",;\t"  # of tables; the first one where a line has as many of others
MARKS = {  # the longer ones first: UTF-32's begins as UTF-16's does
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte-order marks and their encodings."""


def _way_out(path: Path) -> str:
    old, new = shlex.quote(str(path)), shlex.quote(f"utf8_{path.name}")
    return f'save it as UTF-8 (in Excel "CSV UTF-8"; elsewhere iconv -f WINDOWS-1252 -t UTF-8 {old} > {new})'


def read_text(path: Path) -> str:
    """Reads a text file: UTF-8 with or without a byte-order mark, or UTF-16 or UTF-32 with one.

    Other encodings, which cannot be distinguished without a mark, are refused.

    Raises:
        MissingFile, InvalidInput: if it is missing, cannot be read or is of another encoding; with the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFile(f"{path} is missing") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror})") from error
    encoding = encoding_of(content)
    try:
        text = content.decode("utf-8-sig" if encoding == "UTF-8" else encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}: line {line} is not {encoding}; {_way_out(path)}") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InvalidInput(f"{path}: line {line} has a zero byte, as UTF-16 without a mark has; {_way_out(path)}")
    return text


def encoding_of(start: bytes) -> str:
    """Returns the encoding of a text file by the byte-order mark in its first bytes; UTF-8 without one."""
    return next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), "UTF-8")


def read_table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the non-empty rows of a table, each with its line number.

    Values are set apart by commas, or by semicolons or tabs where the first line has more of them, as spreadsheets of
    many countries write them.

    Raises:
        MissingFile, InvalidInput: as of `read_text`, and if a row is not as the format says.
    """
    text = read_text(path)
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count))
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            place = f"{path}: line {rows.line_num}"
            raise InvalidInput(f"{place} is not as the format says ({error}); is a quote left open before?") from error
        if row is None:
            return
        if row:
            yield rows.line_num, row
