"""Named colours of pixels, in CIE L*a*b* (D65): lightness L, chroma C = |(a, b)|, hue h = angle of (a, b) in degrees.

| name | L | C | h |
|---|---|---|---|
| black | < 27 | < 12, or < 20 where L < 15 | any |
| white | >= 80 | < 12 | any |
| grey | between | < 12 | any |
| red | < 62 | >= 12 | 0 to 45, and 345 to 360 |
| pink | >= 62 | >= 12 | 320 to 45 |
| brown | < 50 | < 60 | 45 to 80 |
| beige | >= 50 | < 40 | 45 to 95 |
| orange | >= 50 (or C >= 60) | >= 40 | 45 to 78 |
| yellow | >= 50 | >= 40 | 78 to 108 |
| green | any | >= 12 | 108 to 180 (80 to 108 where L < 50) |
| cyan | >= 45 | >= 12 | 180 to 235 |
| blue | any | >= 12 | 235 to 308 (180 to 235 where L < 45) |
| purple | any | >= 12 | 308 to 345 |

People disagree at the borders, so a pixel near the border of a name counts half for its neighbour (`NEIGHBOURS`).
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import Box, Mask, RgbImage
from refseg.masks.boxes import mask_box

NAMES = (
    "black", "white", "grey", "red", "pink", "brown", "beige", "orange", "yellow", "green", "cyan", "blue", "purple"
)  # fmt: skip
NEIGHBOURS: dict[str, tuple[str, ...]] = {
    "white": ("grey", "beige"),
    "black": ("grey",),
    "grey": ("white", "black"),
    "red": ("pink", "brown"),
    "pink": ("red", "purple"),
    "brown": ("beige", "orange"),
    "beige": ("brown", "white"),
    "orange": ("brown", "yellow"),
    "yellow": ("beige", "orange"),
    "cyan": ("blue", "green"),
    "blue": ("cyan", "purple"),
    "purple": ("blue", "pink"),
    "green": ("cyan",),
}
NEIGHBOUR_SHARE = 0.35
TYPICAL_LIGHTNESS = {
    "black": 13.0, "white": 90.0, "grey": 53.0, "red": 38.0, "pink": 74.0, "brown": 33.0, "beige": 68.0, "orange": 65.0,
    "yellow": 78.0, "green": 45.0, "cyan": 65.0, "blue": 38.0, "purple": 42.0,
}  # fmt: skip
"""Lightness of each name, in the middle of its range."""
REGIONS = {"whole": (0.0, 1.0), "head": (0.0, 0.18), "upper": (0.15, 0.6), "lower": (0.5, 1.0)}
"""Parts of an upright object's height, from its top: hats and hair, shirts, trousers and shoes."""
MOST_PIXELS = 4096  # of an object, evenly spaced

_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_SRGB = np.arange(256) / 255.0
_LINEAR = np.where(_SRGB <= 0.04045, _SRGB / 12.92, ((_SRGB + 0.055) / 1.055) ** 2.4)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns L*, a*, b* (N, 3) of sRGB pixels (N, 3).

    >>> lab(np.array([[0, 128, 0], [255, 0, 0]], np.uint8)).round().tolist()
    [[46.0, -52.0, 50.0], [53.0, 80.0, 67.0]]
    """
    xyz = _LINEAR[rgb.reshape(-1, 3)] @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def name_pixels(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Returns indices into NAMES (N,) of pixels (N, 3).

    >>> pixels = np.array([[200, 30, 30], [20, 20, 20], [240, 200, 50], [30, 60, 160]], np.uint8)
    >>> [NAMES[k] for k in name_pixels(pixels)]
    ['red', 'black', 'yellow', 'blue']
    """
    lightness, a, b = lab(rgb).T
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    light = lightness >= 50
    rules = (
        ("black", (lightness < 27) & (chroma < 12) | (lightness < 15) & (chroma < 20)),
        ("white", (lightness >= 80) & (chroma < 12)),
        ("grey", chroma < 12),
        ("pink", (lightness >= 62) & ((hue < 45) | (hue >= 320))),
        ("red", (hue < 45) | (hue >= 345)),
        ("orange", (hue < 78) & (chroma >= 40) & (light | (chroma >= 60))),
        ("beige", (hue < 95) & light & (chroma < 40)),
        ("brown", hue < 80),
        ("yellow", (hue < 108) & light),
        ("green", hue < 180),
        ("cyan", (hue < 235) & (lightness >= 45)),
        ("blue", hue < 308),
        ("purple", hue >= 0),
    )
    return np.select([where for _, where in rules], [NAMES.index(name) for name, _ in rules])


def shares(rgb: NDArray[np.uint8]) -> dict[str, float]:
    """Returns the share of pixels (N, 3) that have each name; {} without pixels."""
    pixels = rgb.reshape(-1, 3)
    if not len(pixels):
        return {}
    counts = np.bincount(name_pixels(pixels), minlength=len(NAMES)) / len(pixels)
    return dict(zip(NAMES, counts.tolist(), strict=True))


def object_colours(
    image: RgbImage, box_xyxy: Box, mask: Mask | None = None, regions: Iterable[str] = REGIONS
) -> dict[str, dict[str, float]]:
    """Returns, for each region, the shares of named colours among an object's pixels.

    Args:
        image: (H, W, 3).
        box_xyxy: in pixels; without a mask the ellipse in it stands for the object.
        mask: (H, W) bool.
        regions: some of REGIONS.
    """
    height, width = image.shape[:2]
    if mask is not None:
        box = mask_box(mask)
        if box is None:
            return {}
        left, top, right, bottom = box
        inside = mask[top:bottom, left:right]
    else:
        left, top = (max(0, int(value)) for value in box_xyxy[:2])
        right, bottom = min(width, int(np.ceil(box_xyxy[2]))), min(height, int(np.ceil(box_xyxy[3])))
        if right <= left or bottom <= top:
            return {}
        y, x = (np.linspace(-1, 1, n) for n in (bottom - top, right - left))
        inside = x[None, :] ** 2 + y[:, None] ** 2 <= 1
    pixels = image[top:bottom, left:right]
    rows = bottom - top
    found = {}
    for region in regions:
        begin, end = REGIONS[region]
        part = slice(int(begin * rows), max(int(begin * rows) + 1, round(end * rows)))
        some = np.flatnonzero(inside[part])
        down, across = np.divmod(some[:: max(1, len(some) // MOST_PIXELS)], inside.shape[1])
        found[region] = shares(pixels[part][down, across])
    return found


def lightness(colours: Mapping[str, Mapping[str, float]], region: str = "whole") -> float | None:
    """Returns the mean lightness of a region, 0 to 100, from its named colours; None if they are unknown.

    >>> lightness({"whole": {"black": 0.5, "white": 0.5}})
    51.5
    """
    table = colours.get(region)
    if not table:
        return None
    return sum(share * TYPICAL_LIGHTNESS[name] for name, share in table.items()) / max(sum(table.values()), 1e-9)


def share_of(colours: Mapping[str, Mapping[str, float]], name: str, region: str) -> float | None:
    """Returns the share of a region's pixels that have a named colour or, at a discount, its neighbour's.

    None if the object's colours are unknown.

    >>> share_of({"whole": {"blue": 0.5, "cyan": 0.2}}, "blue", "upper")
    0.57
    """
    table = colours.get(region) or colours.get("whole")
    if not table:
        return None
    near = sum(table.get(other, 0.0) for other in NEIGHBOURS.get(name, ()))
    return table.get(name, 0.0) + NEIGHBOUR_SHARE * near
