"""Outputs of an earlier run are replaced, and that is said; a file of anything else is not."""

from collections.abc import Collection, Mapping
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from refseg.errors import UnwritableOutput, another_out

SOFTWARE = "Software"
"""Text of a PNG that holds its mark."""
_SEARCHED = 2**16  # bytes at both ends of a file


def check_earlier(marks: Mapping[Path, str]) -> list[Path]:
    """Checks that files to be written replace only those that the same command has written; returns the replaced ones.

    Args:
        marks: text by which each file is known, near its start or its end.

    Raises:
        UnwritableOutput: if a file is there without its mark, unless it is empty.
    """
    replaced = [file for file in marks if file.is_file() and file.stat().st_size]
    for file in replaced:
        if not _has(file, marks[file].encode()):
            raise UnwritableOutput(
                f"{file} is there already and is something else; choose {another_out()}, or remove it first"
            )
    return replaced


def png_mark(mark: str) -> PngInfo:
    """Returns the text of a PNG that holds its mark."""
    text = PngInfo()
    text.add_text(SOFTWARE, mark)
    return text


def named(file: Path, replaced: Collection[Path]) -> str:
    """Returns the line that names a written file.

    >>> named(Path("sheet.png"), [Path("sheet.png")])
    'sheet.png (replaced, of an earlier run)'
    """
    return f"{file} (replaced, of an earlier run)" if file in replaced else str(file)


def _has(file: Path, mark: bytes) -> bool:
    try:
        with file.open("rb") as content:
            start = content.read(_SEARCHED)
            content.seek(max(content.tell(), file.stat().st_size - _SEARCHED))
            return mark in start or mark in content.read(_SEARCHED)
    except OSError:  # nobody can say what it is
        return False
