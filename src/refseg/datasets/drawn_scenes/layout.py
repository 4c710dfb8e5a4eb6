"""Layouts of scenes: attributes, places, drawing order, exact visible masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, hypot

import numpy as np

from refseg.array_types import LabelImage
from refseg.datasets.drawn_scenes.objects import (
    COLOUR,
    HELD_OUT_PAIRS,
    HELD_OUT_TRIPLES,
    MATERIAL,
    RADII,
    SHAPE,
    SIZE_SHARES,
    VALUES,
    Attributes,
    DrawnObject,
    Plane,
    SeededRandom,
    rotation,
    signed_distance,
)


@dataclass(frozen=True)
class Tier:
    """Difficulty of scenes.

    Attributes:
        objects: least and largest number of objects.
        copies: share of objects that copy each attribute of an earlier one with probability 0.6.
        rotation_degrees: largest rotation to either side.
        visible_share: least share of an object that is not hidden.
        overlap: whether objects may cover one another; without, relations of closeness and depth are not asked.
        second_qualifier: share of sentences for which a second qualifier is tried first.
    """

    objects: tuple[int, int] = (3, 8)
    copies: float = 0.6
    rotation_degrees: int = 20
    visible_share: float = 0.4
    overlap: bool = True
    second_qualifier: float = 0.0


TIERS = {
    "easy": Tier(overlap=False),
    "base": Tier(),
    "hard": Tier(objects=(5, 12), copies=0.8, rotation_degrees=180, visible_share=0.3, second_qualifier=0.5),
}
UNIT = 128  # every length of the specification is for a canvas of this side
VISIBLE_PIXELS = 60
REACH = 1.2, 4  # a patch reaches that many radii and pixels from the centre: past the corners of every shape


@dataclass(frozen=True)
class Patch:
    """Square of pixels that an object can touch: its place on the canvas, coordinates, signed distances."""

    top: int
    left: int
    x: Plane
    y: Plane
    distance: Plane

    def on_canvas(self, side: int, shift_xy: tuple[int, int] = (0, 0)) -> tuple[tuple[slice, slice], tuple]:
        """Returns the overlapping slices of canvas and patch; `shift_xy` moves the patch by whole pixels."""
        top, left, size = self.top + shift_xy[1], self.left + shift_xy[0], len(self.distance)
        rows = slice(max(top, 0), max(min(top + size, side), 0))
        columns = slice(max(left, 0), max(min(left + size, side), 0))
        inner = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        return (rows, columns), inner


@dataclass(frozen=True)
class Layout:
    """A scene before its pixels: objects in drawing order (later ones in front) and their visible masks."""

    side: int
    objects: tuple[DrawnObject, ...]
    patches: tuple[Patch, ...]
    id_map: LabelImage  # (side, side), 0 = background, k = object k, counted from 1

    @property
    def unit(self) -> float:
        """Returns the pixels of this canvas per pixel of a 128x128 canvas."""
        return self.side / UNIT

    @cached_property
    def touching(self) -> tuple[int, ...]:
        """Returns, for each object, the set (bits) of those whose visible masks touch its own."""
        sets = [0] * len(self.objects)
        count = len(self.objects) + 1
        for a, b in (
            (self.id_map[:, :-1], self.id_map[:, 1:]),
            (self.id_map[:-1], self.id_map[1:]),
        ):
            meeting = np.bincount((a.astype(np.int64) * count + b).ravel(), minlength=count * count)
            for code in np.flatnonzero(meeting).tolist():
                i, j = divmod(code, count)
                if i != j and i and j:
                    sets[i - 1] |= 1 << (j - 1)
                    sets[j - 1] |= 1 << (i - 1)
        return tuple(sets)


def draw_layout(rng: SeededRandom, tier: Tier, side: int, part: str = "") -> Layout:
    """Draws a layout by the tier's rules; `part` "pairs" or "triples" adds such a held-out object."""
    while True:
        objects = _draw_objects(rng, tier, side, part)
        if objects is None:
            continue
        layout = rasterise(objects, side)
        whole = [np.count_nonzero(patch.distance <= 0) for patch in layout.patches]
        visible = np.bincount(layout.id_map.ravel(), minlength=len(objects) + 1)[1:]
        least = VISIBLE_PIXELS * layout.unit**2
        if all(v >= least and v >= tier.visible_share * w for v, w in zip(visible, whole, strict=True)):
            return layout


def _draw_objects(rng: SeededRandom, tier: Tier, side: int, part: str) -> list[DrawnObject] | None:
    count = tier.objects[0] + rng.below(tier.objects[1] - tier.objects[0] + 1)
    held_out_index = rng.below(count) if part in ("pairs", "triples") else -1
    unit = side / UNIT
    objects: list[DrawnObject] = []
    for index in range(count):
        earlier = [thing.attributes for thing in objects]
        attributes = draw_attributes(rng, tier, earlier, part if index == held_out_index else "")
        radius = rng.between(*RADII[attributes[2]]) * unit
        place = _find_place(rng, tier, objects, radius, side)
        if place is None:
            return None
        degrees = rng.below(2 * tier.rotation_degrees + 1) - tier.rotation_degrees
        objects.append(DrawnObject(attributes, *place, radius, degrees))
    return objects


def draw_attributes(rng: SeededRandom, tier: Tier, earlier: Sequence[Attributes], part: str = "") -> Attributes:
    """Draws the attributes of another object: a held-out composition if `part` says so, otherwise never one."""
    while True:
        values = [rng.weighted(SIZE_SHARES) if i == 2 else rng.below(len(names)) for i, names in enumerate(VALUES)]
        if earlier and rng.chance(tier.copies):
            model = rng.pick(earlier)
            values = [theirs if rng.chance(0.6) else own for own, theirs in zip(values, model, strict=True)]
        pair = (values[SHAPE], values[COLOUR]) in HELD_OUT_PAIRS
        triple = (values[SHAPE], values[COLOUR], values[MATERIAL]) in HELD_OUT_TRIPLES
        if (pair, triple) == (part == "pairs", part == "triples"):
            return (values[0], values[1], values[2], values[3])


def _find_place(
    rng: SeededRandom, tier: Tier, earlier: list[DrawnObject], radius: float, side: int
) -> tuple[float, float] | None:
    edge, gap = 0.8 * radius, 4 * side / UNIT
    for _ in range(30):
        x, y = rng.between(edge, side - 1 - edge), rng.between(edge, side - 1 - edge)
        for other in earlier:
            if tier.overlap:
                least = max(radius, other.radius) + 0.25 * min(radius, other.radius)
            else:
                least = radius + other.radius + gap
            if hypot(x - other.x, y - other.y) < least:
                break
        else:
            return x, y
    return None


def rasterise(objects: Sequence[DrawnObject], side: int) -> Layout:
    """Draws the masks of objects, at most 255, on a canvas of this side."""
    id_map = np.zeros((side, side), np.uint8)
    patches = []
    for number, thing in enumerate(objects, start=1):
        patch = _patch(thing)
        canvas, inner = patch.on_canvas(side)
        id_map[canvas][patch.distance[inner] <= 0] = number
        patches.append(patch)
    return Layout(side, tuple(objects), tuple(patches), id_map)


def _patch(thing: DrawnObject) -> Patch:
    reach = ceil(REACH[0] * thing.radius) + REACH[1]
    left, top = int(thing.x) - reach, int(thing.y) - reach
    offsets = np.arange(2 * reach + 2, dtype=np.float32)
    dx = (offsets + np.float32(left - thing.x))[None, :]
    dy = (offsets + np.float32(top - thing.y))[:, None]
    cosine, sine = (np.float32(v) for v in rotation(thing.rotation_degrees))
    x, y = dx * cosine + dy * sine, dy * cosine - dx * sine
    return Patch(top, left, x, y, signed_distance(thing, x, y))
