"""Bounding boxes of masks."""

from collections.abc import Sequence

import numpy as np

from refseg.array_types import Mask, PixelBox


def mask_box(mask: Mask) -> PixelBox | None:
    """Returns left, top, right, bottom of a mask (H, W) in pixels, right and bottom exclusive; None if it is empty."""
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(0))
    return int(columns[0]), top, int(columns[-1]) + 1, bottom


def fill_box(box_xyxy: Sequence[float], size_hw: tuple[int, int], at_hw: tuple[int, int] | None = None) -> Mask:
    """Returns the mask (H, W) of a box: the pixels whose centres are in it, at least one within the image.

    Args:
        box_xyxy: left, top, right, bottom in pixels.
        size_hw: of its image.
        at_hw: of the mask, if it is another size.

    >>> fill_box((0.6, 0, 2, 1), (2, 3)).astype(int).tolist()
    [[0, 1, 0], [0, 0, 0]]
    """
    left, top, right, bottom = box_xyxy
    mask = np.zeros(at_hw or size_hw, np.bool_)
    spans = []
    for low, high, own, side in ((top, bottom, size_hw[0], mask.shape[0]), (left, right, size_hw[1], mask.shape[1])):
        scale = side / own if own else 1.0
        begin = min(max(round(low * scale), 0), max(side - 1, 0))
        spans.append(slice(begin, max(min(round(high * scale), side), begin + 1)))
    mask[spans[0], spans[1]] = True
    return mask
