"""Formats and names of the files of `refseg segment`."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from refseg.errors import shown

if TYPE_CHECKING:
    from refseg.inference.results import Result


class Format(StrEnum):
    """Formats of the files that are written for each expression."""

    MASK = "mask"
    OVERLAY = "overlay"
    RLE = "rle"
    POLYGONS = "polygons"
    JSON = "json"
    ALL = "all"
    NONE = "none"


ENDINGS = {
    Format.MASK: "mask.png",
    Format.OVERLAY: "overlay.png",
    Format.RLE: "rle.json",
    Format.POLYGONS: "polygons.json",
    Format.JSON: "json",
}
"""Endings of the files about an image."""
JPEG_OVERLAY = "overlay.jpg"  # of an image that is a JPEG itself: as a PNG it would be many times larger
ALL_ENDINGS = (*ENDINGS.values(), JPEG_OVERLAY)
MAX_NAMED = 3  # expressions of a warning
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters; bytes that are no text


def file_stems(image: Path, expressions: list[str]) -> list[str]:
    """Different names for the files of each expression.

    >>> file_stems(Path("in/desk.png"), ["The mug!", "the mug", "both chairs"])
    ['desk.the-mug', 'desk.the-mug-2', 'desk.both-chairs']
    """
    stems: list[str] = []
    for expression in expressions:
        base = stem = stem_of(image, expression)
        number = 2
        while stem in stems:
            stem, number = f"{base}-{number}", number + 1
        stems.append(stem)
    return stems


def ending_of(kind: Format, image: Path) -> str:
    """Returns how the name of a file about an image ends.

    >>> ending_of(Format.OVERLAY, Path("desk.JPG")), ending_of(Format.MASK, Path("desk.jpg"))
    ('overlay.jpg', 'mask.png')
    """
    is_jpeg = image.suffix.lower() in (".jpg", ".jpeg", ".jfif")
    return JPEG_OVERLAY if kind is Format.OVERLAY and is_jpeg else ENDINGS[kind]


def stem_of(image: Path, expression: str) -> str:
    """Returns how the names of files about an expression begin, unless others begin so."""
    slug = re.sub(r"\W+", "-", expression.lower()).strip("-") or "expression"
    return f"{file_stem(image)}.{cut(slug, 80)}"


def file_stem(path: Path) -> str:
    """Returns how the names of files about an image or video begin, in letters that any file system takes."""
    return cut(_UNPRINTABLE.sub("_", path.stem), 100)


def cut(text: str, size: int) -> str:
    """At most so many bytes: file systems allow 255 in a name."""
    return text.encode()[:size].decode(errors="ignore").rstrip("-")


class FileStems:
    """The stems of the files of many answers, one an answer, also where file systems ignore case.

    >>> stems = FileStems()
    >>> for folder in "ab":
    ...     stems.take(next(stems.free(Path(folder, "x.jpg"), "the cup")))
    >>> next(stems.free(Path("c/X.png"), "The cup!"))
    'X.the-cup-3'
    """

    def __init__(self) -> None:
        self._taken, self._numbers = set[str](), dict[str, int]()

    def free(self, image: Path, expression: str) -> Iterator[str]:
        """Yields stems that no other answer has, the best one first."""
        base = stem_of(image, expression)
        number = self._numbers.get(_folded(base), 1)
        while True:
            stem = base if number == 1 else f"{base}-{number}"
            self._numbers[_folded(base)] = number
            if _folded(stem) not in self._taken:
                yield stem
            number += 1

    def take(self, stem: str) -> None:
        """Notes that an answer has a stem."""
        self._taken.add(_folded(stem))


def _folded(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()


def list_warnings(answers: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """Returns the warnings of expressions, each once.

    >>> list_warnings([("the cat", ["the image is dark"]), ("the big", ["the image is dark", "it names nothing"])])
    ['the image is dark', "'the big': it names nothing"]
    """
    asked, warnings = list(answers), dict[str, list[str]]()
    for expression, some in asked:
        for warning in some:
            warnings.setdefault(warning, []).append(expression)
    return [name_expressions(*one, {expression for expression, _ in asked}) for one in warnings.items()]


def name_expressions(warning: str, having: Iterable[str], asked: Collection[str]) -> str:
    """Returns a warning behind the expressions that have it, unless all have it or it names its own."""
    having = list(dict.fromkeys(having))
    if len(having) == len(asked) or any(repr(expression) in warning for expression in having):
        return warning
    named = [shown(expression, 40) for expression in having[:MAX_NAMED]]
    more = len(having) - len(named)
    return f"{', '.join(named)}{f' and {more:,} more' if more else ''}: {warning}"


def write(result: "Result", kind: Format, path: Path) -> None:
    """Writes one form of a result; a mask is a PNG of 0 and 255, an overlay the picture with what was asked."""
    if kind in (Format.MASK, Format.OVERLAY):
        from PIL import Image

        from refseg.commands.sources import jpeg_comment, png_text
        from refseg.masks.pictures import PNG_LEVEL

        mask = kind is Format.MASK
        image = Image.fromarray(result.mask.astype("uint8") * 255) if mask else result.picture()
        if path.suffix == ".jpg":
            image.save(path, quality=92, subsampling=0, comment=jpeg_comment(result.source))
        else:
            image.save(path, pnginfo=png_text(result.source), compress_level=PNG_LEVEL)
    else:
        content = {Format.RLE: result.rle, Format.POLYGONS: result.polygons, Format.JSON: result.to_dict}[kind]()
        path.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
