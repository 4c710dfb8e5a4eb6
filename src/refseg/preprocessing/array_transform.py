"""`Preprocessing` of an image and its masks as arrays, without torch: the same numbers to the last bit."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import Mask
from refseg.preprocessing.above import find_above
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.images import strips
from refseg.preprocessing.resampling import MAX_ROUNDING, MapTaps, resample_map
from refseg.preprocessing.transform import Preprocessing

RESIZES = ("keep", "square", "none")
"""Ways to resize that are computed here; letterboxes need torch."""
_GROUND = {"black": 0.0, "grey": 127.5}


def network_input(preprocessing: Preprocessing, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], Geometry]:
    """Computes `Preprocessing.__call__` for the resizes above: (3, h, w) of an image (H, W, 3)."""
    assert preprocessing.resize in RESIZES
    geometry = preprocessing.geometry((image.shape[0], image.shape[1]))
    mean, std = (np.array(value, np.float32)[:, None, None] for value in (preprocessing.mean, preprocessing.std))
    pixels = image if geometry.resized_hw == geometry.own_hw else resize_antialiased(image, geometry.resized_hw)
    normalised = (np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) - mean) / std
    if geometry.resized_hw == geometry.padded_hw:
        return normalised, geometry
    value = _GROUND.get(preprocessing.padding)
    ground = np.zeros_like(mean) if value is None else (np.float32(value) - mean) / std
    (height, width), (padded_height, padded_width) = geometry.resized_hw, geometry.padded_hw
    around = (0, 0), (0, padded_height - height), (0, padded_width - width)
    return np.pad(normalised - ground, around) + ground, geometry


def resize_antialiased(image: NDArray[np.uint8], size_hw: Size) -> NDArray[np.uint8]:
    """Resizes an image (H, W, 3) as torch does bytes: columns first, with weights of 16 bits, rounded after each axis.

    >>> resize_antialiased(np.array([[[0], [100], [200], [60]]], np.uint8), (1, 2)).ravel()
    array([ 71, 126], dtype=uint8)
    """
    for axis, size in ((1, size_hw[1]), (0, size_hw[0])):
        if image.shape[axis] != size:
            image = _resize_axis(image, axis, size)
    return image


def _resize_axis(image: NDArray[np.uint8], axis: int, size: int) -> NDArray[np.uint8]:
    pixels, weights = _antialiased(image.shape[axis], size)
    precision = 0
    while precision < 22 and int(0.5 + float(weights.max()) * (1 << (precision + 1))) < 1 << 15:
        precision += 1
    whole = np.floor(0.5 + weights * (1 << precision)).astype(np.int32)  # no weight is below 0
    shape = [1, 1, 1]
    shape[axis] = size
    total: NDArray[np.int32] = np.full([1, 1, 1], 1 << (precision - 1), np.int32)
    for tap in range(pixels.shape[1]):
        total = total + image.take(pixels[:, tap], axis) * whole[:, tap].reshape(shape)
    return np.clip(total >> precision, 0, 255).astype(np.uint8)


def _antialiased(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the pixels (size, k) that each place reads, and their weights, which are 0 for those too many."""
    scale = length / size
    support, inverse = (scale, 1 / scale) if scale >= 1 else (1.0, 1.0)
    centre = scale * (np.arange(size) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), length) - first
    taps = np.arange(int(count.max()))
    weights = np.maximum(1 - np.abs((taps + first[:, None] - centre[:, None] + 0.5) * inverse), 0)
    weights[taps >= count[:, None]] = 0
    weights /= weights.sum(1, keepdims=True)
    return np.minimum(first[:, None] + taps, length - 1), weights


@lru_cache(maxsize=64)
def map_taps(geometry: Geometry, grid_hw: Size) -> tuple[MapTaps, MapTaps]:
    """Returns the taps of the rows and columns of the image on a grid over the padded image, as `Geometry.taps`."""
    rows, columns = (_linear(geometry, axis, grid) for axis, grid in enumerate(grid_hw))
    return rows, columns


def to_image_size(logits: NDArray[np.float32], geometry: Geometry) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yields strips of rows of logits (h, w) at the image's own size."""
    height, width = geometry.own_hw
    grid = (logits.shape[0], logits.shape[1])
    if geometry.is_grid(grid):
        yield slice(0, height), logits
        return
    rows, columns = map_taps(geometry, grid)
    for some in strips(slice(0, height), width):
        yield some, resample_map(logits, rows.at(some), columns)


def mask_at_image_size(logits: NDArray[np.float32], geometry: Geometry) -> Mask:
    """Thresholds logits (h, w) at 0, at the image's own size, computed around positive ones only."""
    grid = (logits.shape[0], logits.shape[1])
    if geometry.is_grid(grid):
        return logits > 0
    mask = find_above(logits, [map_taps(geometry, grid)], threshold=0.0, reach=0.0)
    assert mask is not None  # without a tolerance and a largest share
    return mask


def crop_padding(logits: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """Resizes logits (h, w) of the padded image to its size, and crops them to the resized image."""
    height, width = geometry.resized_hw
    if logits.shape != geometry.padded_hw:
        size = geometry.padded_hw
        rows, columns = map_taps(Geometry(size, size, size), (logits.shape[0], logits.shape[1]))
        logits = resample_map(logits, rows, columns)
    return logits[:height, :width].copy()


def _linear(geometry: Geometry, axis: int, grid: int) -> MapTaps:
    reading = geometry.reading(axis, grid)
    places = reading.places(np.arange(geometry.own_hw[axis], dtype=np.float64))
    nearest = np.round(places)
    places = np.where(np.abs(places - nearest) < MAX_ROUNDING, nearest, places)
    first = np.floor(places)
    rest = places - first
    pixels = np.stack([first, first + 1]).astype(np.int64).clip(0, reading.count - 1) + reading.first
    return MapTaps(pixels, np.stack([1 - rest, rest]).astype(np.float32))
