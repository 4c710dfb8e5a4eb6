"""Separable interpolation of maps at given places between their pixels.

Each grid of the releases (aligned corners, half-pixel, quantised) is a list of places, which a protocol gives by one
formula. Places are pixel numbers: 0 is the centre of the first pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refseg.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

CUBIC = -0.75  # the slope of PyTorch's and OpenCV's cubic
MAX_ROUNDING = 1e-9  # pixels; a place this close to a pixel is rounded to it
Beyond = Literal["border", "zeros"]


class Taps(NamedTuple):
    """Pixels and weights of n interpolated places along an axis.

    Attributes:
        pixels: (n, k) int64.
        weight: (n, k) float64, of each pixel.
    """

    pixels: Tensor
    weight: Tensor


def linear(places: Tensor, size: int, beyond: Beyond = "border") -> Taps:
    """Returns taps of linear interpolation between `size` pixels at places (n,)."""
    nearest = places.double().round()
    places = torch.where((places - nearest).abs() < MAX_ROUNDING, nearest, places.double())
    first = places.floor()
    rest = places - first
    return _within(torch.stack([first, first + 1], 1), torch.stack([1 - rest, rest], 1), size, beyond)


def cubic(places: Tensor, size: int, beyond: Beyond = "border") -> Taps:
    """Returns taps of cubic interpolation between `size` pixels at places (n,)."""
    pixels = places.double().floor()[:, None] + torch.arange(-1, 3)
    d = (places.double()[:, None] - pixels).abs()
    near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
    far = ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC
    return _within(pixels, torch.where(d <= 1, near, far), size, beyond)


def interpolation(size: int, cells: int, mode: Literal["bilinear", "bicubic"], align_corners: bool) -> Taps:
    """Returns the taps of `torch.nn.functional.interpolate` along an axis, whose places are in float32.

    Args:
        size: number of places.
        cells: number of pixels that are interpolated.
        mode: of `interpolate`.
        align_corners: of `interpolate`.
    """
    places = torch.arange(size, dtype=torch.float32)
    if align_corners:
        places *= torch.tensor(cells - 1.0) / max(size - 1, 1)
    else:
        places = (places + 0.5) * (torch.tensor(float(cells)) / size) - 0.5
    return cubic(places, cells) if mode == "bicubic" else linear(places.clamp(min=0), cells)


def resample(maps: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Interpolates floating-point maps (..., h, w) at m rows and n columns to (..., m, n)."""
    return _along(_along(maps, columns, -1), rows, -2)  # rows last, since whole rows are copied


class MapTaps(NamedTuple):
    """`Taps` for NumPy, tap by tap: pixels (k, n) int64, weight (k, n) float32."""

    pixels: NDArray[np.int64]
    weight: NDArray[np.float32]

    @classmethod
    def of(cls, taps: Taps) -> MapTaps:
        """Converts `Taps`."""
        pixels, weight = taps.pixels.T.contiguous().numpy(), taps.weight.T.float().contiguous().numpy()
        read: Any = weight.any(1)  # a cubic of whole pixels reads one of four
        read[0] |= not read.any()
        return cls(pixels[read], weight[read])

    def at(self, places: slice) -> MapTaps:
        """Returns the taps of some places."""
        return MapTaps(self.pixels[:, places], self.weight[:, places])


def resample_map(values: NDArray[np.float32], rows: MapTaps, columns: MapTaps) -> NDArray[np.float32]:
    """Computes `resample` of one map (h, w): the same values, in a third of the time for small maps."""
    first, last = rows.pixels.min(), rows.pixels.max()
    read = _along_map(values[first : last + 1], columns.pixels, columns.weight, 1)
    return _along_map(read, rows.pixels - first, rows.weight[..., None], 0)


def _within(pixels: Tensor, weight: Tensor, size: int, beyond: Beyond) -> Taps:
    index = pixels.long().clamp(0, size - 1)
    if beyond == "zeros":
        weight = torch.where(index == pixels, weight, 0.0)
    return Taps(index, weight)


def _along(maps: Tensor, taps: Taps, axis: int) -> Tensor:
    shape = (-1, 1) if axis == -2 else (-1,)
    pixels, weight = taps.pixels.to(maps.device), taps.weight.to(maps)
    read = maps.index_select(axis, pixels[:, 0]).mul_(weight[:, 0].view(shape))
    for tap in range(1, pixels.shape[1]):
        read += maps.index_select(axis, pixels[:, tap]).mul_(weight[:, tap].view(shape))
    return read


def _along_map(
    values: NDArray[np.float32], pixels: NDArray[np.int64], weight: NDArray[np.float32], axis: int
) -> NDArray[np.float32]:
    read = values.take(pixels[0], axis, mode="clip")  # the other modes check bounds, which costs time
    read *= weight[0]
    for tap in range(1, len(pixels)):
        more = values.take(pixels[tap], axis, mode="clip")
        more *= weight[tap]
        read += more
    return read
