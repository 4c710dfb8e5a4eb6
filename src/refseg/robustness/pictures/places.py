"""Changes that move or hide pixels: crop, padding, mirror, rotation, occlusion; masks go along."""

import math

import numpy as np
from PIL import Image

from refseg.array_types import Mask, RgbImage
from refseg.robustness.pictures.change import GREY, Change, Point

Size = tuple[int, int]

CUT = (0.04, 0.08, 0.12, 0.16, 0.2)  # of the height or width, at each side
ADDED = (0.1, 0.2, 0.3, 0.4, 0.5)  # of the height or width, at each side
DEGREES = (3.0, 6.0, 10.0, 15.0, 20.0)
COVERED = (0.05, 0.1, 0.15, 0.2, 0.3)  # of the picture
SQUARE = 0.125  # side of a square that covers, of the shorter side of the picture


def crop(size_hw: Size, severity: int, seed: int) -> Change:
    """Cuts off all four sides alike; the middle stays the middle."""
    top, left = (round(size * CUT[severity - 1]) for size in size_hw)
    kept = slice(top, size_hw[0] - top), slice(left, size_hw[1] - left)
    return Change(
        draw=lambda image: image[kept].copy(),
        warp=lambda mask: mask[kept].copy(),
        move=lambda x, y: (x - left, y - top),
        moves=True,
        keeps_places=False,
        hides=True,
    )


def padding(size_hw: Size, severity: int, seed: int) -> Change:
    """Puts grey around the picture, at all four sides alike."""
    top, left = (round(size * ADDED[severity - 1]) for size in size_hw)
    around = (top, top), (left, left)
    return Change(
        draw=lambda image: np.pad(image, (*around, (0, 0)), constant_values=GREY),
        warp=lambda mask: np.pad(mask, around),
        move=lambda x, y: (x + left, y + top),
        moves=True,
    )


def mirror(size_hw: Size, severity: int, seed: int) -> Change:
    """Mirrors the picture, and swaps left and right in the sentences."""
    width = size_hw[1]
    return Change(
        draw=lambda image: np.ascontiguousarray(image[:, ::-1]),
        warp=lambda mask: np.ascontiguousarray(mask[:, ::-1]),
        move=lambda x, y: (width - x, y),
        moves=True,
        mirrors=True,
    )


def rotation(size_hw: Size, severity: int, seed: int) -> Change:
    """Turns the picture about its middle, to either side; it grows, so that nothing is cut off, and grey fills up."""
    angle = math.radians(DEGREES[severity - 1] * (1 if seed % 2 else -1))
    cosine, sine = math.cos(angle), math.sin(angle)
    height, width = size_hw
    new_width = math.ceil(width * abs(cosine) + height * abs(sine) - 1e-9)
    new_height = math.ceil(height * abs(cosine) + width * abs(sine) - 1e-9)

    def move(x: float, y: float) -> Point:
        dx, dy = x - width / 2, y - height / 2
        return new_width / 2 + cosine * dx - sine * dy, new_height / 2 + sine * dx + cosine * dy

    # from a point of the new picture to that of the old one
    back = (
        cosine,
        sine,
        width / 2 - cosine * new_width / 2 - sine * new_height / 2,
        -sine,
        cosine,
        height / 2 + sine * new_width / 2 - cosine * new_height / 2,
    )
    size = new_width, new_height

    def draw(image: RgbImage) -> RgbImage:
        turned = Image.fromarray(image).transform(
            size, Image.Transform.AFFINE, back, Image.Resampling.BICUBIC, fillcolor=(GREY, GREY, GREY)
        )
        return np.array(turned)

    def warp(mask: Mask) -> Mask:
        turned = Image.fromarray(mask.astype(np.uint8)).transform(
            size, Image.Transform.AFFINE, back, Image.Resampling.NEAREST
        )
        return np.array(turned) > 0

    return Change(draw, warp, move, moves=True, keeps_places=False)


def occlusion(size_hw: Size, severity: int, seed: int) -> Change:
    """Covers a share of the picture with grey squares; what is covered is in no mask."""
    height, width = size_hw
    side = max(1, round(SQUARE * min(size_hw)))
    covered = np.zeros(size_hw, np.bool_)
    rng = np.random.default_rng(seed)
    while np.count_nonzero(covered) < COVERED[severity - 1] * covered.size:
        top, left = int(rng.integers(1 - side, height)), int(rng.integers(1 - side, width))
        covered[max(top, 0) : top + side, max(left, 0) : left + side] = True

    def draw(image: RgbImage) -> RgbImage:
        drawn = image.copy()
        drawn[covered] = GREY
        return drawn

    return Change(draw, warp=lambda mask: mask & ~covered, moves=True, hides=True)
