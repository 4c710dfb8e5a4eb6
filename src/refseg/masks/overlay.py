"""Coloured regions over an image."""

from collections.abc import Iterable

import numpy as np

from refseg.array_types import Mask, RgbImage
from refseg.masks.boxes import mask_box
from refseg.preprocessing.images import strips

COLOURS = ((255, 64, 64), (64, 160, 255), (64, 208, 96), (255, 176, 32), (192, 96, 255), (0, 208, 208), (255, 96, 192))


def coloured(image: RgbImage, regions: Iterable[Mask]) -> RgbImage:
    """Returns a copy of an image (H, W, 3) with regions (H, W) tinted and outlined, each in the next colour."""
    pixels = image.copy()
    for k, region in enumerate(regions):
        _tint(pixels, region, COLOURS[k % len(COLOURS)])
    return pixels


def tinted(image: RgbImage, region: Mask, colour: tuple[int, int, int]) -> RgbImage:
    """Returns a copy of an image (H, W, 3) with a region (H, W) tinted and outlined."""
    pixels = image.copy()
    _tint(pixels, region, colour)
    return pixels


def _tint(pixels: RgbImage, region: Mask, colour: tuple[int, int, int]) -> None:
    box = mask_box(region)
    if box is None:
        return
    left, top, right, bottom = box
    thickness = max(1, round(max(region.shape) / 400))
    region = region[top:bottom, left:right]
    inner = _eroded(region, thickness)
    part = pixels[top:bottom, left:right]
    for rows in strips(slice(0, bottom - top), right - left):
        inside, outline = inner[rows], region[rows] & ~inner[rows]
        part[rows][inside] = (part[rows][inside].astype(np.uint16) + np.array(colour, np.uint16)) // 2
        part[rows][outline] = colour


def _eroded(region: Mask, thickness: int) -> Mask:
    """Erodes a region (H, W) by `thickness` rows and columns."""
    inner = np.pad(region, thickness)
    for across in (False, True):
        inner, covered = inner.T if across else inner, 1
        while covered < 2 * thickness + 1:  # pixels that each pixel covers, doubled in each step
            step = min(covered, 2 * thickness + 1 - covered)
            inner, covered = inner[:-step] & inner[step:], covered + step
    return inner.T
