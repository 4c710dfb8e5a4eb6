"""Pictures of a gallery: an image without colours, on which the mask alone has one."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from refseg.array_types import Mask, RgbImage
from refseg.masks.fonts import font_for
from refseg.masks.overlay import Colour, tinted
from refseg.masks.pictures import BLACK, WHITE, greyed

FADED = 0.5  # share of white in what is outside of a mask
NOTHING = "nothing"


def scaled(image: RgbImage, side: int) -> RgbImage:
    """Returns an image (H, W, 3) whose longer side has `side` pixels."""
    return np.asarray(Image.fromarray(image).resize(_size(image, side), Image.Resampling.LANCZOS))


def marked(image: RgbImage, mask: Mask, colour: Colour) -> RgbImage:
    """Returns a scaled image (h, w, 3) with a mask (H, W) as the only colour; without any it says "nothing"."""
    height, width = image.shape[:2]
    faded = np.round(greyed(image) * (1 - FADED) + 255 * FADED).astype(np.uint8)
    if not mask.any():
        return _with_word(faded)
    region = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
    return tinted(faded, np.asarray(region) if np.asarray(region).any() else _kept(mask, (width, height)), colour)


def _with_word(image: RgbImage) -> RgbImage:
    picture = Image.fromarray(image)
    draw, font = ImageDraw.Draw(picture), font_for(NOTHING, max(11, picture.width // 13))
    centre: Any = (picture.width / 2, picture.height / 2)
    left, top, right, bottom = draw.textbbox(centre, NOTHING, font=font, anchor="mm")
    pad = int(font.size) // 2
    draw.rounded_rectangle((left - pad, top - pad, right + pad, bottom + pad), pad, fill=WHITE, outline=BLACK)
    draw.text(centre, NOTHING, fill=BLACK, font=font, anchor="mm")
    return np.asarray(picture)


def _kept(mask: Mask, size: tuple[int, int]) -> Mask:
    """Returns a smaller mask that keeps each pixel of one that would vanish."""
    small = np.zeros((size[1], size[0]), np.bool_)
    rows, columns = np.nonzero(mask)
    small[rows * size[1] // mask.shape[0], columns * size[0] // mask.shape[1]] = True
    return small


def _size(image: RgbImage, side: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    factor = side / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))
