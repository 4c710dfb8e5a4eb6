"""Coloured regions over an image."""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import Mask, RgbImage
from refseg.masks.boxes import mask_box
from refseg.preprocessing.images import strips

Colour = tuple[int, int, int]
"""Red, green and blue from 0 to 255."""

COLOURS: tuple[Colour, ...] = (
    (255, 64, 64),
    (64, 160, 255),
    (64, 208, 96),
    (255, 176, 32),
    (192, 96, 255),
    (0, 208, 208),
    (255, 96, 192),
)
_LOOKED_AT = 2**16  # pixels of a box whose mean colour is computed, about


def coloured(
    image: RgbImage, regions: Iterable[Mask], colours: Sequence[Colour] = COLOURS, opacity: float = 0.5
) -> RgbImage:
    """Returns a copy of an image (H, W, 3) with regions (H, W) tinted and outlined, each in the next colour."""
    pixels = image.copy()
    for k, region in enumerate(regions):
        _tint(pixels, region, colours[k % len(colours)], opacity)
    return pixels


def tinted(image: RgbImage, region: Mask, colour: Colour) -> RgbImage:
    """Returns a copy of an image (H, W, 3) with a region (H, W) tinted and outlined."""
    pixels = image.copy()
    _tint(pixels, region, colour)
    return pixels


def contrasting_colours(image: RgbImage, regions: Iterable[Mask]) -> list[Colour]:
    """Returns a colour of `COLOURS` for each region (H, W) whose tint is most unlike the region and what is around it.

    Colours are not used again before all are taken.
    """
    chosen: list[Colour] = []
    for region in regions:
        taken = chosen[len(chosen) // len(COLOURS) * len(COLOURS) :]
        free = [colour for colour in COLOURS if colour not in taken]
        means = _mean_colours(image, region)
        chosen.append(max(free, key=partial(_contrast, means=means)))
    return chosen


def contrasting_palette(image: RgbImage, regions: Iterable[Mask]) -> list[Colour]:
    """Returns all of `COLOURS`, first those that stand out from regions of a video's first frame, one for each."""
    return list(dict.fromkeys((*contrasting_colours(image, regions), *COLOURS)))


def _mean_colours(image: RgbImage, region: Mask) -> list[NDArray[np.float64]]:
    """Returns the mean colour of the region's pixels, and that of the others in its box, if there are any."""
    box = mask_box(region)
    if box is None:
        return []
    left, top, right, bottom = box
    step = max(1, round(((bottom - top) * (right - left) / _LOOKED_AT) ** 0.5))
    inside, part = region[top:bottom:step, left:right:step], image[top:bottom:step, left:right:step]
    return [part[some].mean(0) for some in (inside, ~inside) if some.any()]


def _contrast(colour: Colour, means: Sequence[NDArray[np.float64]]) -> float:
    """Returns the least difference of a region's tint and the mean colours of it and of what is around it."""
    if not means:
        return 0.0
    tint = (np.array(colour) + means[0]) / 2
    return min(_difference(tint, mean) for mean in means)


def _difference(colour: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Returns the distance of two RGB colours, weighted as eyes see it ("redmean")."""
    red = (colour[0] + other[0]) / 2 / 256
    return float(np.sqrt((np.array([2 + red, 4, 3 - red]) * (colour - other) ** 2).sum()))


def _tint(pixels: RgbImage, region: Mask, colour: Colour, opacity: float = 0.5) -> None:
    box = mask_box(region)
    if box is None:
        return
    left, top, right, bottom = box
    thickness = max(1, round(max(region.shape) / 250))
    region = region[top:bottom, left:right]
    inner = _eroded(region, thickness)
    part = pixels[top:bottom, left:right]
    for rows in strips(slice(0, bottom - top), right - left):
        inside, outline = inner[rows], region[rows] & ~inner[rows]
        before = part[rows][inside].astype(np.float32)
        part[rows][inside] = before + (np.array(colour, np.float32) - before) * np.float32(opacity)  # cut off below 1
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
