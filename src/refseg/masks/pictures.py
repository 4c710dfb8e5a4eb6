"""Pictures for the eye: enlarged by a whole factor, numbered objects, a banner on the image, text below, bytes."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from refseg.array_types import Mask, RgbImage
from refseg.masks.fonts import font_for
from refseg.masks.overlay import Colour

UNFAMILIAR = "no answer: unfamiliar to these weights"  # an image, or a frame of a video
SIDE = 640  # pixels up to which a small image is enlarged
JPEG_QUALITY = 92
PNG_LEVEL = 2  # of compression; a fifth of the time of the usual 6, for pictures that are a sixth larger
NARROWEST = 320  # pixels that a line of text has at least
BLACK, GREY, RED, WHITE = (0, 0, 0), (90, 90, 90), (176, 0, 32), (255, 255, 255)
_SMALLEST, _LARGEST = 14, 96  # pixels of letters
_MAX_LINES, _MAX_LETTERS = 4, 2000  # of a paragraph


@dataclass(frozen=True)
class Line:
    """A paragraph below a picture.

    Attributes:
        text: broken into lines between words; what is too long ends with "…".
        colour: of its letters.
        keys: colours of squares, each with a label, in the place of the text.
    """

    text: str = ""
    colour: Colour = BLACK
    keys: Sequence[tuple[Colour, str]] = ()


def whole_factor(size_hw: tuple[int, int], side: int) -> int:
    """Returns the largest whole factor by which an image stays within `side`, at least 1.

    >>> whole_factor((128, 96), 640), whole_factor((480, 640), 640), whole_factor((3000, 4000), 640)
    (5, 1, 1)
    """
    return max(1, side // max(size_hw))


def enlarged(image: RgbImage, factor: int) -> RgbImage:
    """Enlarges an image (H, W, 3) by a whole factor, smoothly."""
    if factor == 1:
        return image
    height, width = image.shape[:2]
    return np.asarray(Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC))


def enlarged_mask(mask: Mask, factor: int) -> Mask:
    """Enlarges a mask (H, W) by a whole factor; each pixel becomes a square."""
    return mask if factor == 1 else mask.repeat(factor, axis=0).repeat(factor, axis=1)


def reduced(image: RgbImage, side: int) -> RgbImage:
    """Reduces an image (H, W, 3) whose longer side is longer than `side` to it, smoothly.

    >>> reduced(np.zeros((300, 100, 3), np.uint8), 60).shape, reduced(np.zeros((20, 30, 3), np.uint8), 60).shape
    ((60, 20, 3), (20, 30, 3))
    """
    if max(image.shape[:2]) <= side:
        return image
    picture = Image.fromarray(image)
    picture.thumbnail((side, side))
    return np.asarray(picture)


def resized_mask(mask: Mask, size_hw: tuple[int, int]) -> Mask:
    """Returns a mask (H, W) at another size, each pixel that of the nearest one."""
    if mask.shape == size_hw:
        return mask
    return np.asarray(Image.fromarray(mask).resize(size_hw[::-1], Image.Resampling.NEAREST))


def greyed(image: RgbImage) -> RgbImage:
    """Returns an image (H, W, 3) without its colours."""
    return np.asarray(Image.fromarray(image).convert("L").convert("RGB"))


def numbered(image: Image.Image, tops: Iterable[tuple[int, int]], colours: Sequence[Colour]) -> Image.Image:
    """Returns a copy of an image with the numbers 1, 2, ... in boxes above points x, y, the tops of objects."""
    image = image.copy()
    draw, font = ImageDraw.Draw(image), _font(image.width, "")
    for k, (x, y) in enumerate(tops):
        x0, y0, x1, y1 = draw.textbbox((0, 0), str(k + 1), font=font)
        width, height = int(x1 - x0) + 8, int(y1 - y0) + 8
        left, top = max(0, min(x - width // 2, image.width - width)), max(0, y - height)
        draw.rectangle((left, top, left + width, top + height), fill=colours[k % len(colours)])
        draw.text((left + 4 - x0, top + 4 - y0), str(k + 1), fill=BLACK, font=font)
    return image


def with_banner(image: RgbImage, text: str) -> Image.Image:
    """Returns a copy of an image (H, W, 3) with a band of text across its top, of letters that fit its width."""
    picture = Image.fromarray(image)
    longest = max(text.split(), key=len)
    size = max(7, min(_LARGEST, picture.width // 24))
    while size > 7 and font_for(text, size).getlength(longest) > picture.width - size:
        size -= 1
    if picture.width < 16 * size:
        size = min(size, 10)
    font, draw = font_for(text, size), ImageDraw.Draw(picture)
    lines = wrapped(text, font.getlength, picture.width - size)
    draw.rectangle((0, 0, picture.width, round(size * (1.3 * len(lines) + 0.5))), fill=RED)
    for number, line in enumerate(lines):
        draw.text((size // 2, round(size * (0.2 + 1.3 * number))), line, fill=WHITE, font=font)
    return picture


def marked_unfamiliar(image: RgbImage) -> Image.Image:
    """Returns an image (H, W, 3) without its colours, with a band that says that there is no answer."""
    return with_banner(greyed(image), UNFAMILIAR)


def captioned(image: Image.Image, lines: Sequence[Line]) -> Image.Image:
    """Returns an image with paragraphs of text below it."""
    width = max(image.width, NARROWEST)
    font = _font(width, "".join(line.text[:_MAX_LETTERS] + "".join(label for _, label in line.keys) for line in lines))
    margin, step = int(font.size) // 2, round(font.size * 1.35)
    rows: list[Line] = []
    for line in lines:
        if line.keys:
            rows += _rows_of_keys(line.keys, font, width - 2 * margin)
        else:
            parts = wrapped(line.text[:_MAX_LETTERS], font.getlength, width - 2 * margin, _MAX_LINES)
            rows += [Line(part, line.colour) for part in parts]
    sheet = Image.new("RGB", (width, image.height + len(rows) * step + 2 * margin), WHITE)
    sheet.paste(image, ((width - image.width) // 2, 0))
    draw, y = ImageDraw.Draw(sheet), image.height + margin
    for row in rows:
        draw.text((margin, y), row.text, fill=row.colour, font=font)
        x = float(margin)
        for colour, label in row.keys:
            draw.rectangle((x, y + font.size * 0.2, x + font.size * 0.8, y + font.size), fill=colour)
            draw.text((x + font.size * 1.1, y), label, fill=BLACK, font=font)
            x += _key_width(label, font)
        y += step
    return sheet


def encode_picture(
    picture: Image.Image, kind: Literal["PNG", "JPEG"], quality: int = JPEG_QUALITY, subsampling: int = 0
) -> bytes:
    """Returns the bytes of a picture's file.

    Args:
        picture: that is encoded.
        kind: format of the file.
        quality: of a JPEG.
        subsampling: of a JPEG's colours, as Pillow counts it: 0 for none, -1 for the encoder's own choice.

    >>> encode_picture(Image.new("RGB", (2, 2)), "PNG")[1:4], encode_picture(Image.new("RGB", (2, 2)), "JPEG")[6:10]
    (b'PNG', b'JFIF')
    """
    file = io.BytesIO()
    jpeg = {"quality": quality, "subsampling": subsampling}
    picture.save(file, kind, **(jpeg if kind == "JPEG" else {"compress_level": PNG_LEVEL}))
    return file.getvalue()


def data_uri(content: bytes, media_type: str) -> str:
    """Returns a file as the address of itself, for pages that need no other file.

    >>> data_uri(b"<svg/>", "image/svg+xml")
    'data:image/svg+xml;base64,PHN2Zy8+'
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def wrapped(text: str, length: Callable[[str], float], width: float, most: int = 100) -> list[str]:
    """Breaks text into lines of a width, between words where it can; after the last that is allowed it ends with "…".

    >>> wrapped("the red star on the left", len, 9), wrapped("the red star on the left", len, 9, most=2)
    (['the red', 'star on', 'the left'], ['the red', 'star on…'])
    >>> wrapped("incomprehensible", len, 7)
    ['incompr', 'ehensib', 'le']
    """
    lines, words = [""], "".join(letter if letter.isprintable() else " " for letter in text).split()
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or length(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
        while length(lines[-1]) > width and len(lines[-1]) > 1 and len(lines) <= most:
            fits = _fitting(lines[-1], length, width)
            lines[-1:] = [lines[-1][:fits], lines[-1][fits:]]
        if len(lines) > most:
            last = lines[most - 1]
            while len(last) > 1 and length(f"{last}…") > width:
                last = last[:-1]
            return [*lines[: most - 1], f"{last}…"]
    return lines


def _fitting(word: str, length: Callable[[str], float], width: float) -> int:
    """Returns how many letters of a word are no wider than `width`, at least one."""
    low, high = 1, len(word) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(word[:middle]) <= width else (low, middle - 1)
    return low


def _rows_of_keys(keys: Sequence[tuple[Colour, str]], font: ImageFont.FreeTypeFont, width: float) -> list[Line]:
    rows: list[list[tuple[Colour, str]]] = [[]]
    for colour, label in keys:
        if rows[-1] and sum(_key_width(text, font) for _, text in (*rows[-1], (colour, label))) > width:
            rows.append([])
        rows[-1].append((colour, label))
    return [Line(keys=row) for row in rows]


def _key_width(label: str, font: ImageFont.FreeTypeFont) -> float:
    return float(font.size * 2 + font.getlength(label))


def _font(width: int, text: str) -> ImageFont.FreeTypeFont:
    return font_for(text, max(_SMALLEST, min(_LARGEST, width // 36)))
