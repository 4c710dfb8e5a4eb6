"""Geometry: size and place of an image in the network's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from refseg.preprocessing.resampling import MAX_ROUNDING, Taps, linear

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]  # height, width
Numbers = TypeVar("Numbers", "Tensor", "NDArray[np.float64]")  # an array, or a tensor


@dataclass(frozen=True)
class Reading:
    """How pixels of an image read the cells of a grid along an axis.

    Attributes:
        slope, start: as of `Geometry.placed`.
        cell: pixels of the padded image for each cell.
        first: the first cell that is no padding.
        count: number of cells that are none.
    """

    slope: float
    start: float
    cell: float
    first: int
    count: int

    def places(self, pixels: Numbers) -> Numbers:
        """Returns where pixels of the image lie among the cells, 0 being the centre of the first."""
        places: Numbers = (self.slope * pixels + self.start + 0.5) / self.cell - 0.5 - self.first
        return places


@dataclass(frozen=True)
class Geometry:
    """Size of an image, after resizing and after padding, and its place in the padding.

    Attributes:
        own_hw: height and width of the image.
        resized_hw: height and width after resizing.
        padded_hw: height and width with padding.
        offset_hw: rows and columns of padding before a centred image; None if the padding is at the right and bottom.
        scale: scale of an image that was placed by one warp, whose resized size and offset are rounded: pixel i of n
            is at scale * i + (padded - scale * n) / 2. None if it was resized with half-pixel centres.
    """

    own_hw: Size
    resized_hw: Size
    padded_hw: Size
    offset_hw: Size | None = None
    scale: float | None = None

    def is_grid(self, grid_hw: Size) -> bool:
        """Whether a grid over the padded image has exactly the pixels of the image."""
        return self.own_hw == self.resized_hw == self.padded_hw == grid_hw and self.scale in (None, 1.0)

    def placed(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Returns (slope, start) of rows and of columns: pixel i of the image is at slope * i + start when padded."""
        if self.scale is not None:
            starts = [(padded - self.scale * own) / 2 for own, padded in zip(self.own_hw, self.padded_hw, strict=True)]
            return (self.scale, starts[0]), (self.scale, starts[1])
        (row, column), (top, left) = self._slopes(), self.offset_hw or (0, 0)
        return (row, top + row / 2 - 0.5), (column, left + column / 2 - 0.5)

    def taps(self, places: tuple[Tensor, Tensor], grid_hw: Size) -> tuple[Taps, Taps]:
        """Returns linear taps of rows and columns of the image on a grid over the padded image, without its padding."""
        rows, columns = (
            self._taps(axis, place, grid) for axis, (place, grid) in enumerate(zip(places, grid_hw, strict=True))
        )
        return rows, columns

    def _slopes(self) -> tuple[float, float]:
        return self.resized_hw[0] / self.own_hw[0], self.resized_hw[1] / self.own_hw[1]

    def _taps(self, axis: int, places: Tensor, grid: int) -> Taps:
        reading = self.reading(axis, grid)
        taps = linear(reading.places(places.double()), reading.count)
        return Taps(taps.pixels + reading.first, taps.weight)

    def reading(self, axis: int, grid: int) -> Reading:
        """Returns how rows (axis 0) or columns (1) of the image read a grid over the padded image."""
        slope, start = self.placed()[axis]
        side = self.padded_hw[axis]
        cell, begin = side / grid, (self.offset_hw or (0, 0))[axis]
        end = begin + self.resized_hw[axis]
        if self.scale is not None:  # the pixels around it
            end = min(math.ceil(start + slope * (self.own_hw[axis] - 1)) + 1, side)
            begin = max(math.floor(start), 0)  # rounding may put a start of 0 below 0
        first, last = math.floor(begin / cell + MAX_ROUNDING), math.ceil(end / cell - MAX_ROUNDING) - 1
        return Reading(slope, start, cell, first, last - first + 1)
