"""Pictures of a gallery: an image without colours, on which the mask alone has one."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from refseg.array_types import Mask, RgbImage
from refseg.masks.fonts import font_for
from refseg.masks.overlay import Colour, tinted
from refseg.masks.pictures import BLACK, WHITE, greyed

WHITE_SHARE = 0.5  # in what is outside of a mask
NOTHING_TEXT = "nothing"


def scale_image(image: RgbImage, side: int) -> RgbImage:
    """Returns an image (H, W, 3) whose longer side has `side` pixels."""
    return np.asarray(Image.fromarray(image).resize(_compute_size(image, side), Image.Resampling.LANCZOS))


def draw_mask(image: RgbImage, mask: Mask, colour: Colour) -> RgbImage:
    """Returns a scaled image (h, w, 3) with a mask (H, W) as the only colour; without any it says "nothing"."""
    height, width = image.shape[:2]
    faded = np.round(greyed(image) * (1 - WHITE_SHARE) + 255 * WHITE_SHARE).astype(np.uint8)
    if not mask.any():
        return _write_nothing(faded)
    region = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
    small = np.asarray(region)
    return tinted(faded, small if small.any() else _keep_pixels(mask, (width, height)), colour)


def _write_nothing(image: RgbImage) -> RgbImage:
    picture = Image.fromarray(image)
    draw, font = ImageDraw.Draw(picture), font_for(NOTHING_TEXT, max(11, picture.width // 13))
    centre: Any = (picture.width / 2, picture.height / 2)
    left, top, right, bottom = draw.textbbox(centre, NOTHING_TEXT, font=font, anchor="mm")
    pad = int(font.size) // 2
    draw.rounded_rectangle((left - pad, top - pad, right + pad, bottom + pad), pad, fill=WHITE, outline=BLACK)
    draw.text(centre, NOTHING_TEXT, fill=BLACK, font=font, anchor="mm")
    return np.asarray(picture)


def _keep_pixels(mask: Mask, size: tuple[int, int]) -> Mask:
    """Returns a smaller mask that keeps each pixel of one that would vanish."""
    small = np.zeros((size[1], size[0]), np.bool_)
    rows, columns = np.nonzero(mask)
    small[rows * size[1] // mask.shape[0], columns * size[0] // mask.shape[1]] = True
    return small


def _compute_size(image: RgbImage, side: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    factor = side / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))
