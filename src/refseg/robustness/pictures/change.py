"""Change: how one picture is changed, and its masks and points along with it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import Mask, RgbImage

GREY = 128
"""Red, green and blue of what covers the picture or lies around it."""
REFERENCE = 224
"""Shorter side in pixels for which lengths of published severities hold."""

Point = tuple[float, float]


def scaled_length(length: float, size_hw: tuple[int, int]) -> float:
    """Returns a length for a shorter side of `REFERENCE` pixels in pixels of an image of this size.

    >>> scaled_length(2.0, (448, 600)), scaled_length(2.0, (112, 112))
    (4.0, 1.0)
    """
    return length * min(size_hw) / REFERENCE


def same_mask(mask: Mask) -> Mask:
    """Returns a mask as it is."""
    return mask


def same_point(x: float, y: float) -> Point:
    """Returns a point as it is."""
    return x, y


@dataclass(frozen=True)
class Change:
    """A change of pictures of one size; each of its functions gives the same result whenever it is called.

    Attributes:
        draw: changes the image (H, W, 3).
        warp: changes a mask (H, W) of the same image along.
        move: changes a point x, y along; the upper left corner of the image is (0, 0).
        moves: whether pixels move or are hidden, so that masks change.
        mirrors: whether left and right are swapped.
        keeps_places: whether each object stays in the same part of the image, in the same order from each side.
        hides: whether parts of the image are no longer seen.
    """

    draw: Callable[[RgbImage], RgbImage]
    warp: Callable[[Mask], Mask] = same_mask
    move: Callable[[float, float], Point] = same_point
    moves: bool = False
    mirrors: bool = False
    keeps_places: bool = True
    hides: bool = False


def to_bytes(pixels: NDArray[np.floating]) -> RgbImage:
    """Rounds colours of 0 to 1 to bytes; what lies outside is cut off."""
    rounded: RgbImage = np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    return rounded
