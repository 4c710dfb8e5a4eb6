"""Bounding boxes of masks."""

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
