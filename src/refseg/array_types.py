"""Types of arrays and of tuples of numbers: one meaning each."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""(H, W), True on the referent; (K, H, W) for several masks."""

RgbImage = NDArray[np.uint8]
"""(H, W, 3), red, green and blue."""

LabelImage = NDArray[np.uint8]
"""(H, W) or (T, H, W), 0 = background, k = object k."""

Polygon = NDArray[np.float64]
"""(2 n,), x and y of n >= 3 corners in pixels."""

PolygonList = list[float]
"""[x, y, x, y, ...] in pixels, as JSON holds a polygon."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; right and bottom lie just outside."""

PixelBox = tuple[int, int, int, int]
"""A box whose sides lie between pixels."""

RgbValues = tuple[float, float, float]
"""A number for each of red, green and blue."""
