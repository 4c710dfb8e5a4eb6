"""Outlines of masks as polygons."""

import numpy as np

from refseg.array_types import Mask, PolygonList


def polygons(mask: Mask) -> list[PolygonList]:
    """Returns the exact outlines [x, y, x, y, ...] of a mask (H, W), one polygon per connected part.

    Corners lie on the corners of pixels: the pixel in row i and column j covers x from j to j + 1, y from i to i + 1.
    A hole is joined to the outline around it by a cut of zero width: with even-odd filling, as COCO's, it stays empty.
    Pixels that touch only at a corner belong to different parts.

    >>> polygons(np.array([[True, True], [False, True]]))
    [[0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 1.0, 2.0, 1.0, 1.0, 0.0, 1.0]]
    """
    corners = _Corners(mask)
    rings = corners.rings()
    following = np.empty(len(corners.x), dtype=np.int64)
    for ring in rings:
        following[ring] = ring[1:] + ring[:1]
    points = list(zip(corners.x.tolist(), corners.y.tolist(), strict=True))
    next_point = following.tolist()

    is_outer = [bool(mask[points[ring[0]][1], points[ring[0]][0]]) for ring in rings]
    holes = [ring for ring, outer in zip(rings, is_outer, strict=True) if not outer]
    for ring, (top, start) in zip(holes, corners.edges_above([ring[0] for ring in holes], mask), strict=True):
        x, y = points[ring[0]]
        end = start ^ 1
        before = start if following[start] == end else end
        # before -> cut -> around the hole -> its first corner again -> cut back -> the successor of `before`
        cut, again, back = len(points), len(points) + 1, len(points) + 2
        points += [(x, top), (x, y), (x, top)]
        next_point += [ring[0], back, next_point[before]]
        next_point[before], next_point[ring[-1]] = cut, again
    return [_walk(ring[0], next_point, points) for ring, outer in zip(rings, is_outer, strict=True) if outer]


def _walk(first: int, next_point: list[int], points: list[tuple[int, int]]) -> PolygonList:
    polygon: PolygonList = []
    point = first
    while True:
        polygon += map(float, points[point])
        point = next_point[point]
        if point == first:
            return polygon


class _Corners:
    """Corners of a mask's outlines, ordered by row, then column.

    Along a row, outlines alternate between start and end of a horizontal edge, so that corners 2k and 2k + 1 are
    joined; likewise along a column. Where two pixels touch at a corner only, there are two corners, one for each.
    """

    def __init__(self, mask: Mask):
        self.width = mask.shape[1]
        pixels = np.pad(mask, 1)
        top_left, top_right, bottom_left, bottom_right = (
            pixels[:-1, :-1],
            pixels[:-1, 1:],
            pixels[1:, :-1],
            pixels[1:, 1:],
        )
        right = top_right != bottom_right  # an edge goes from this point to the right
        down = bottom_left != bottom_right
        left, up = top_left != bottom_left, top_left != top_right
        single, double = (right != left) & (up != down), right & left & up & down
        y, x = np.nonzero(single | double)
        twice = double[y, x]
        y, x = np.repeat(y, 1 + twice), np.repeat(x, 1 + twice)
        is_double = double[y, x]
        second = np.zeros(
            len(x), dtype=bool
        )  # the second of the two corners at one point, that of the edge to the right
        second[1:] = is_double[1:] & (x[1:] == x[:-1]) & (y[1:] == y[:-1])
        self.x, self.y = x, y
        self.to_right = np.where(is_double, second, right[y, x])
        to_down = np.where(is_double, second == top_left[y, x], down[y, x])
        by_column = np.lexsort((to_down, y, x))
        self.along_column = np.empty(len(x), dtype=np.int64)
        self.along_column[by_column] = by_column[np.arange(len(x)) ^ 1]

    def rings(self) -> list[list[int]]:
        """Returns the closed outlines, each from its top left corner to the right."""
        along_column = self.along_column.tolist()
        seen = bytearray(len(along_column))
        rings = []
        for first in range(len(along_column)):
            if seen[first]:
                continue
            ring, corner = [], first
            while not seen[corner]:
                other = corner ^ 1
                seen[corner] = seen[other] = 1
                ring += [corner, other]
                corner = along_column[other]
            rings.append(ring)
        return rings

    def edges_above(self, of: list[int], mask: Mask) -> list[tuple[int, int]]:
        """Returns, for top left corners of holes, the row of the next horizontal edge above and its left corner."""
        x, y = self.x[of], self.y[of]
        top = np.zeros(len(of), dtype=np.int64)
        by_column = np.argsort(x)
        for here in np.split(by_column, np.flatnonzero(np.diff(x[by_column])) + 1) if of else ():
            below_off = np.concatenate([[0], np.flatnonzero(~mask[:, x[here[0]]]) + 1])
            top[here] = below_off[np.searchsorted(below_off, y[here], side="right") - 1]
        stride = 2 * (self.width + 1)  # row, column and side of a corner as one number, in the order of the corners
        keys = self.y * stride + 2 * self.x + self.to_right
        start = np.searchsorted(keys, top * stride + 2 * x + 1, side="right") - 1
        return list(zip(top.tolist(), start.tolist(), strict=True))
