"""Fonts for the text in pictures: Pillow's own, or one of this machine that has the letters."""

import warnings
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from PIL import ImageFont

SYSTEM = (
    *("NotoSans-Regular.ttf", "DejaVuSans.ttf", "FreeSans.ttf", "Arial Unicode.ttf", "arialuni.ttf", "segoeui.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-zenhei.ttc", "wqy-microhei.ttc"),
    *(
        "DroidSansFallbackFull.ttf",
        "PingFang.ttc",
        "Hiragino Sans GB.ttc",
        "AppleGothic.ttf",
        "msyh.ttc",
        "YuGothM.ttc",
    ),
    *("meiryo.ttc", "malgun.ttf", "NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf"),
    *("NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf", "unifont.ttf"),
)
"""Files of fonts that systems have, which Pillow looks for in their folders."""
_NO_LETTER = "\U0010ffff"  # of which all fonts draw what they draw of letters that they lack
_MAX_SHOWN = 8  # letters that a warning names


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont:
    """Returns a font with all letters of a text: Pillow's own if it has them, which Latin text is drawn with.

    Warns:
        UserWarning: if no font of this machine has them, once for each set of letters; they are then drawn as boxes.
    """
    file = _file_for(frozenset(letter for letter in text if not letter.isascii() and letter.isprintable()))
    return _open(file, size)


@cache
def _file_for(letters: frozenset[str]) -> str | None:
    """Returns the file of the first font that has all letters, else of that which has most; None is Pillow's own."""
    best, lacking = None, letters - _letters_of(None, letters)
    for file in _files() if lacking else ():
        still = letters - _letters_of(file, letters)
        if len(still) < len(lacking):
            best, lacking = file, still
        if not lacking:
            break
    if lacking:
        some = "".join(sorted(lacking)[:_MAX_SHOWN])
        warnings.warn(
            f"no font of this machine has the letters {some!r}, so pictures show boxes in their place; install one "
            "that has them, for example Noto Sans",
            stacklevel=4,
        )
    return best


def _letters_of(file: str | None, letters: frozenset[str]) -> frozenset[str]:
    """Returns those letters that a font has."""
    font = _open(file, 20)
    missing = _drawn(font, _NO_LETTER)
    return frozenset(letter for letter in letters if letter.isspace() or _drawn(font, letter) != missing)


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


@cache
def _files() -> tuple[str, ...]:
    return tuple(_found())


def _found() -> Iterator[str]:
    plots = find_spec("matplotlib")  # which brings DejaVu Sans, and is not imported
    if plots is not None and plots.origin:
        bundled = Path(plots.origin).with_name("mpl-data") / "fonts" / "ttf" / "DejaVuSans.ttf"
        if bundled.is_file():
            yield str(bundled)
    for name in SYSTEM:
        try:
            yield str(ImageFont.truetype(name, 20).path)
        except OSError:
            continue


@cache
def _open(file: str | None, size: float) -> ImageFont.FreeTypeFont:
    if file is None:
        return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))  # without FreeType it raises
    return ImageFont.truetype(file, size)
