"""Where an image lies in the network's input."""

import math
from dataclasses import dataclass

from torch import Tensor

from refseg.preprocessing.resampling import NOISE, Taps, linear

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Geometry:
    """Where an image went: its own size, its size for the network, and that with padding.

    Attributes:
        offset_hw: rows and columns of padding before an image that lies in the middle of it; None: the padding is at
            the right and bottom.
        scale: of an image that was warped there at one go, whose resized size and offset are rounded: pixel i of n is
            at scale * i + (padded - scale * n) / 2. None: it was resized, half-pixel.
    """

    own_hw: Size
    resized_hw: Size
    padded_hw: Size
    offset_hw: Size | None = None
    scale: float | None = None

    def placed(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """For rows and for columns (slope, start): pixel i of the image's own is at slope * i + start of the padded."""
        if self.scale is not None:
            starts = [(padded - self.scale * own) / 2 for own, padded in zip(self.own_hw, self.padded_hw, strict=True)]
            return (self.scale, starts[0]), (self.scale, starts[1])
        (row, column), (top, left) = self._slopes(), self.offset_hw or (0, 0)
        return (row, top + row / 2 - 0.5), (column, left + column / 2 - 0.5)

    def taps(self, places: tuple[Tensor, Tensor], grid_hw: Size) -> tuple[Taps, Taps]:
        """What rows and columns of the image's own read, linearly, of a grid over the padded one; of no padding."""
        rows, columns = (
            self._taps(axis, place, grid) for axis, (place, grid) in enumerate(zip(places, grid_hw, strict=True))
        )
        return rows, columns

    def _slopes(self) -> tuple[float, float]:
        return self.resized_hw[0] / self.own_hw[0], self.resized_hw[1] / self.own_hw[1]

    def _taps(self, axis: int, places: Tensor, grid: int) -> Taps:
        slope, start = self.placed()[axis]
        side = self.padded_hw[axis]
        cell, begin = side / grid, (self.offset_hw or (0, 0))[axis]
        end = begin + self.resized_hw[axis]
        if self.scale is not None:  # the pixels that it lies between
            end = min(math.ceil(start + slope * (self.own_hw[axis] - 1)) + 1, side)
            begin = max(math.floor(start), 0)  # a start of 0 may come out a little below
        first, last = math.floor(begin / cell + NOISE), math.ceil(end / cell - NOISE) - 1
        taps = linear((slope * places.double() + start + 0.5) / cell - 0.5 - first, last - first + 1)
        return Taps(taps.pixels + first, taps.weight)
