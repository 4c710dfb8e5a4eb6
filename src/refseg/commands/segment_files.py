"""Formats and names of the files of `refseg segment`."""

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Format(StrEnum):
    """Formats of the files that are written for each expression."""

    MASK = "mask"
    OVERLAY = "overlay"
    RLE = "rle"
    POLYGONS = "polygons"
    JSON = "json"
    ALL = "all"


_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters; bytes that are no text


def file_stems(image: Path, expressions: list[str]) -> list[str]:
    """Different names for the files of each expression.

    >>> file_stems(Path("in/desk.png"), ["The mug!", "the mug", "both chairs"])
    ['desk.the-mug', 'desk.the-mug-2', 'desk.both-chairs']
    """
    stems: list[str] = []
    for expression in expressions:
        slug = re.sub(r"\W+", "-", expression.lower()).strip("-") or "expression"
        base = stem = f"{file_stem(image)}.{cut(slug, 80)}"
        number = 2
        while stem in stems:
            stem, number = f"{base}-{number}", number + 1
        stems.append(stem)
    return stems


def file_stem(path: Path) -> str:
    """Returns how the names of files about an image or video begin, in letters that any file system takes."""
    return cut(_UNPRINTABLE.sub("_", path.stem), 100)


def cut(text: str, size: int) -> str:
    """At most so many bytes: file systems allow 255 in a name."""
    return text.encode()[:size].decode(errors="ignore").rstrip("-")
