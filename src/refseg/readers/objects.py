"""Found objects: what a reader needs to know of an image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from refseg.array_types import Box, Mask


@dataclass(frozen=True, eq=False, kw_only=True)
class FoundObject:
    """One object in an image; only its box must be known.

    Attributes:
        box_xyxy: left, top, right, bottom in pixels.
        mask: (H, W) bool, if known.
        classes: probability of each class or phrase; {} if the finder does not name what it finds.
        score: the finder's probability that there is an object.
        words: probability of each attribute that was judged, for example {"striped": 1.0, "dotted": 0.0}.
        colours: for "whole", "upper", "lower", "head" the share of pixels of each named colour.
        depth: distance from the camera in any unit, if known; larger is farther away.
        layer: drawing order, larger in front; it tells front from behind only where masks touch.
        centre_xy: true centre, if it is not that of the box.
        size: true size, if it is not the root of the mask's or box's area.
    """

    box_xyxy: Box
    mask: Mask | None = None
    classes: Mapping[str, float] = field(default_factory=dict)
    score: float = 1.0
    words: Mapping[str, float] = field(default_factory=dict)
    colours: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    depth: float | None = None
    layer: int | None = None
    centre_xy: tuple[float, float] | None = None
    size: float | None = None


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """All that a finder found in an image.

    Attributes:
        objects: in any order.
        size_hw: height and width of the image in pixels; None if unknown, then places compare objects only.
        classes: names that the finder knows; None if it does not name what it finds.
        open_vocabulary: whether the classes are what was looked for, as `readers.searching` names it, and objects have
            only the classes that they were found as.
    """

    objects: tuple[FoundObject, ...]
    size_hw: tuple[int, int] | None = None
    classes: frozenset[str] | None = None
    open_vocabulary: bool = False

    @cached_property
    def geometry(self) -> "Geometry":
        """Places and sizes, computed once for all expressions."""
        return Geometry(self)


class Geometry:
    """Places and sizes of N objects as arrays (N,); lengths in parts of the image's width and height."""

    def __init__(self, found: FoundObjects):
        objects = found.objects
        boxes = np.array([thing.box_xyxy for thing in objects], np.float64).reshape(-1, 4)
        if found.size_hw is not None:
            height, width = (float(side) for side in found.size_hw)
        else:
            width, height = (max(float(boxes[:, k::2].max()), 1.0) if len(boxes) else 1.0 for k in (0, 1))
        self.count = len(objects)
        self.aspect = width / height
        self.left, self.right = boxes[:, 0] / width, boxes[:, 2] / width
        self.top, self.bottom = boxes[:, 1] / height, boxes[:, 3] / height
        self.width, self.height = self.right - self.left, self.bottom - self.top
        centres = [
            thing.centre_xy or ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            for thing, box in zip(objects, boxes.tolist(), strict=True)
        ]
        self.x = np.array([x for x, _ in centres]) / width
        self.y = np.array([y for _, y in centres]) / height
        areas = [thing.size**2 if thing.size is not None else np.nan for thing in objects]
        pixels = [float(np.count_nonzero(thing.mask)) if thing.mask is not None else np.nan for thing in objects]
        box_areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        area = np.where(np.isnan(areas), np.where(np.isnan(pixels), box_areas, pixels), areas)
        self.area = np.maximum(area, 1e-9) / (width * height)
        depths = [thing.depth for thing in objects]
        self.depth = None if None in depths or not depths else np.array(depths, np.float64)
        layers = [thing.layer for thing in objects]
        self.layer = None if None in layers or not layers else np.array(layers)
        self._masks = [thing.mask for thing in objects]

    def distances(self) -> np.ndarray:
        """Returns (N, N) distances of centres, in parts of the image's height."""
        return np.hypot((self.x[:, None] - self.x) * self.aspect, self.y[:, None] - self.y)

    def gaps(self) -> np.ndarray:
        """Returns (N, N) distances between boxes, 0 where they overlap, in parts of the image's height."""
        across = np.maximum(0, np.maximum(self.left[:, None], self.left) - np.minimum(self.right[:, None], self.right))
        down = np.maximum(0, np.maximum(self.top[:, None], self.top) - np.minimum(self.bottom[:, None], self.bottom))
        return np.hypot(across * self.aspect, down)

    def intersections(self) -> np.ndarray:
        """Returns (N, N) areas that boxes share, in parts of the image."""
        across = np.minimum(self.right[:, None], self.right) - np.maximum(self.left[:, None], self.left)
        down = np.minimum(self.bottom[:, None], self.bottom) - np.maximum(self.top[:, None], self.top)
        return np.maximum(across, 0) * np.maximum(down, 0)

    def touching(self) -> np.ndarray:
        """Returns (N, N) bool: whether two masks touch, or two boxes overlap where a mask is unknown."""
        touch = self.gaps() <= 0.01
        for i in range(self.count):
            for j in range(i):
                a, b = self._masks[i], self._masks[j]
                if touch[i, j] and a is not None and b is not None:
                    touch[i, j] = touch[j, i] = _masks_touch(a, b)
        np.fill_diagonal(touch, False)
        return touch


def _masks_touch(a: Mask, b: Mask) -> bool:
    """Whether two masks overlap or have neighbouring pixels."""
    return bool(
        (a & b).any()
        or (a[1:] & b[:-1]).any()
        or (a[:-1] & b[1:]).any()
        or (a[:, 1:] & b[:, :-1]).any()
        or (a[:, :-1] & b[:, 1:]).any()
    )
