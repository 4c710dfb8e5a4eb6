"""Thresholding of interpolated maps, which are computed only around what may be above the threshold.

Masks are small against their images, so most of what a full interpolation computes is background. Where rounding could
decide, at values that are nearly the threshold, the caller's own full computation does: the masks are equal to its.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import Mask
from refseg.lazy import LazyModule
from refseg.preprocessing.images import strips
from refseg.preprocessing.resampling import MapTaps, Taps, resample_map

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

Step = tuple[MapTaps, MapTaps]
"""Taps of rows and columns of one interpolation."""

ROUNDING = 4e-6  # of the largest value, at least of 1: more than two interpolations in float32 differ by
LARGEST_SHARE = 0.4  # of the pixels; beyond, a full computation by torch is faster


def to_steps(interpolations: Iterable[tuple[Taps, Taps]]) -> list[Step]:
    """Converts the taps of rows and columns of interpolations."""
    return [(MapTaps.of(rows), MapTaps.of(columns)) for rows, columns in interpolations]


def threshold_maps(
    maps: Tensor, steps: Sequence[Step], threshold: float, reach: float, in_full: Callable[[Tensor], Tensor]
) -> Tensor:
    """Returns where interpolated maps are above a threshold, exactly as a full computation says.

    Args:
        maps: (N, h, w) floating point.
        steps: interpolations, one after the other, as `in_full` does them but for rounding.
        threshold: of the interpolated values.
        reach: value above which one of the cells that a pixel is interpolated from is, if the pixel is above the
            threshold.
        in_full: function of maps (N, h, w) that computes (N, H, W) bool.
    """
    if maps.device.type != "cpu" or not len(maps) or not steps:
        return in_full(maps)
    masks = []
    for k, grid in enumerate(maps.detach().float().numpy()):
        tolerance = ROUNDING * max(1.0, float(np.abs(grid).max()))
        mask = find_above(grid, steps, threshold, reach - tolerance, tolerance, LARGEST_SHARE)
        masks.append(in_full(maps[k : k + 1])[0] if mask is None else torch.from_numpy(mask))
    return torch.stack(masks)


def find_above(
    grid: NDArray[np.float32],
    steps: Sequence[Step],
    threshold: float,
    reach: float,
    tolerance: float = 0.0,
    largest_share: float = 1.0,
) -> Mask | None:
    """Returns where an interpolated map is above a threshold, (H, W).

    Args:
        grid: (h, w).
        steps: interpolations, at least one.
        threshold: of the interpolated values.
        reach: as of `threshold_maps`.
        tolerance: distance from the threshold within which rounding could decide.
        largest_share: share of the pixels that are computed, at most.

    Returns:
        None if a value is within the tolerance, or more would have to be computed.
    """
    sides = [taps.pixels.shape[1] for taps in steps[-1]]
    mask = np.zeros(sides, np.bool_)
    cells: Mask = np.greater(grid, reach)
    reached = [_extent(cells.any(1)), _extent(cells.any(0))]
    for step in steps:
        reached = [_places(taps, some) for taps, some in zip(step, reached, strict=True)]
    rows, columns = reached
    if rows.start == rows.stop or columns.start == columns.stop:
        return mask
    if (rows.stop - rows.start) * (columns.stop - columns.start) > largest_share * mask.size:
        return None
    for some in strips(rows, columns.stop - columns.start):
        values = _interpolate(grid, steps, some, columns)
        part = np.greater(values, np.float32(threshold + tolerance), out=mask[some, columns])
        if tolerance and np.count_nonzero(values > np.float32(threshold - tolerance)) != np.count_nonzero(part):
            return None
    return mask


def _interpolate(grid: NDArray[np.float32], steps: Sequence[Step], rows: slice, columns: slice) -> NDArray[np.float32]:
    """Computes some rows and columns of the last interpolation."""
    if not steps:
        return grid[rows, columns]
    down, across = steps[-1][0].at(rows), steps[-1][1].at(columns)
    top, left = int(down.pixels.min()), int(across.pixels.min())
    before = _interpolate(
        grid, steps[:-1], slice(top, int(down.pixels.max()) + 1), slice(left, int(across.pixels.max()) + 1)
    )
    return resample_map(before, MapTaps(down.pixels - top, down.weight), MapTaps(across.pixels - left, across.weight))


def _extent(found: Any) -> slice:
    """Returns the slice from the first to the last True."""
    numbers = np.flatnonzero(found)
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else slice(0, 0)


def _places(taps: MapTaps, pixels: slice) -> slice:
    """Returns the slice from the first to the last place that reads one of these pixels."""
    if pixels.start == pixels.stop:
        return slice(0, 0)
    first, last = taps.pixels[0], taps.pixels[-1]  # both are ascending
    start, stop = int(last.searchsorted(pixels.start)), int(first.searchsorted(pixels.stop - 1, side="right"))
    return slice(start, max(start, stop))
