"""Programs of expressions: each, evaluated on a scene, gives the set of its referents.

Sets of objects are bits of an int: bit k stands for the object drawn k-th (its id is k + 1). A program returns a set,
0 when nothing matches, or None when the scene leaves the answer open (a place too near its threshold, two candidates
for a singular); such a scene is never shown with that expression.
"""

from dataclasses import dataclass
from functools import cached_property
from math import hypot
from typing import Literal

from refseg.datasets.drawn_scenes.layout import Layout
from refseg.datasets.drawn_scenes.objects import COLOUR, MATERIAL, SHAPE, VALUES

Objects = int | None
Direction = Literal["left", "right", "top", "bottom"]
Region = Literal["left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right"]

MARGIN = 7.0  # pixels of a 128x128 canvas that a place must keep from its threshold or from the runner-up
SIZE_MARGIN = 1.18  # least ratio of two radii that are compared
CORRIDOR = 20.0  # half-width of the strip in which something stands "between"


class World:
    """A scene as programs query it."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self.count = len(layout.objects)
        self.all = (1 << self.count) - 1
        self.x = [thing.x for thing in layout.objects]
        self.y = [thing.y for thing in layout.objects]
        self.radius = [thing.radius for thing in layout.objects]
        self.margin = MARGIN * layout.unit
        self.middle = (layout.side - 1) / 2
        self.having = [[0] * len(names) for names in VALUES]  # [attribute][value] -> the set that has it
        for k, thing in enumerate(layout.objects):
            for attribute, value in enumerate(thing.attributes):
                self.having[attribute][value] |= 1 << k

    @cached_property
    def touching(self) -> tuple[int, ...]:
        """Returns, for each object, the set whose visible masks touch its own."""
        return self.layout.touching

    def distance(self, j: int, k: int) -> float:
        """Returns the distance between two centres in pixels."""
        return hypot(self.x[j] - self.x[k], self.y[j] - self.y[k])


def members(objects: int) -> list[int]:
    """Returns the indices of the objects in a set (bits)."""
    return [k for k in range(objects.bit_length()) if objects >> k & 1]


def single(objects: Objects) -> Objects:
    """Returns the set if it has at most one member, None (open) otherwise."""
    return None if objects is None or objects & (objects - 1) else objects


def _along(world: World, direction: str) -> list[float]:
    """Returns the coordinate that is smallest at that side of the image."""
    line = world.x if direction in ("left", "right") else world.y
    return line if direction in ("left", "top") else [-value for value in line]


def _in_region(world: World, objects: int, region: Region) -> Objects:
    """Returns the members in a half or quarter of the image; open if one of them stands on its border."""
    for side in region.split():
        line = _along(world, side)
        border = world.middle if side in ("left", "top") else -world.middle
        if any(abs(line[k] - border) < world.margin for k in members(objects)):
            return None
        objects = sum(1 << k for k in members(objects) if line[k] < border)
    return objects


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun phrase: attributes by index or None, one attribute it must not have, a region it must stand in."""

    shape: int | None = None
    colour: int | None = None
    size: int | None = None
    material: int | None = None
    without: tuple[int, int] | None = None
    region: Region | None = None

    @property
    def attributes(self) -> tuple[int | None, int | None, int | None, int | None]:
        """Attributes in the order of ATTRIBUTES."""
        return self.shape, self.colour, self.size, self.material

    def named(self, world: World) -> int:
        """Returns the objects with its attributes, exclusion and region aside."""
        found = world.all
        for attribute, value in enumerate(self.attributes):
            if value is not None:
                found &= world.having[attribute][value]
        return found

    def evaluate(self, world: World) -> Objects:
        """Returns all objects that the noun phrase describes."""
        found = self.named(world)
        if self.without is not None:
            found &= ~world.having[self.without[0]][self.without[1]]
        return found if self.region is None else _in_region(world, found, self.region)


@dataclass(frozen=True, slots=True)
class The:
    """Program of "the X": exactly one."""

    noun: Noun

    def evaluate(self, world: World) -> Objects:
        """Returns the one object that the noun describes."""
        return single(self.noun.evaluate(world))


@dataclass(frozen=True, slots=True)
class All:
    """Program of "all X"; with `count`, "both X" or "the three X", valid for that number only."""

    noun: Noun
    count: int | None = None

    def evaluate(self, world: World) -> Objects:
        """Returns all objects that the noun describes; open if their number is not the stated one."""
        found = self.noun.evaluate(world)
        return None if found and self.count is not None and found.bit_count() != self.count else found


@dataclass(frozen=True, slots=True)
class Nth:
    """The n-th X from a side of the image: a superlative ("leftmost") or counted ("first from the left")."""

    noun: Noun
    direction: Direction
    n: int = 1
    counted: bool = False

    def evaluate(self, world: World) -> Objects:
        """Returns the n-th by true centre; open if a neighbour in the order is less than the margin away."""
        found = self.noun.evaluate(world)
        if not found:
            return found
        line = _along(world, self.direction)
        order = sorted((line[k], k) for k in members(found))
        if len(order) < self.n:
            return 0
        here, winner = order[self.n - 1]
        neighbours = order[max(self.n - 2, 0) : self.n - 1] + order[self.n : self.n + 1]
        return None if any(abs(place - here) < world.margin for place, _ in neighbours) else 1 << winner


@dataclass(frozen=True, slots=True)
class BySize:
    """The largest or the smallest X, by true radius."""

    noun: Noun
    largest: bool

    def evaluate(self, world: World) -> Objects:
        """Returns the extreme one; open if the runner-up is within the size margin."""
        found = self.noun.evaluate(world)
        if not found:
            return found
        order = sorted(((world.radius[k], k) for k in members(found)), reverse=self.largest)
        if len(order) > 1:
            first, second = order[0][0], order[1][0]
            if max(first, second) < SIZE_MARGIN * min(first, second):
                return None
        return 1 << order[0][1]


Anchor = The | Nth
KINDS = (
    "left",
    "right",
    "above",
    "below",
    "nearest",
    "farthest",
    "front",
    "behind",
    "overlapping",
    "same_colour",
    "same_pattern",
    "same_shape",
    "between",
)
SAME = {"same_colour": COLOUR, "same_pattern": MATERIAL, "same_shape": SHAPE}


@dataclass(frozen=True, slots=True)
class Related:
    """The X that stands in a relation of KINDS to an anchor (to two, for "between")."""

    noun: Noun
    kind: str
    anchor: Anchor
    second_anchor: Anchor | None = None

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The one anchor, or both."""
        return (self.anchor,) if self.second_anchor is None else (self.anchor, self.second_anchor)

    def evaluate(self, world: World) -> Objects:
        """Returns the one candidate for which the relation holds; nothing if an anchor does not exist."""
        places = [anchor.evaluate(world) for anchor in self.anchors]
        found = self.noun.evaluate(world)
        if None in (*places, found):
            return None
        if 0 in places:
            return 0
        ids = [place.bit_length() - 1 for place in places if place]
        for k in ids:
            found &= ~(1 << k)  # type: ignore[operator]
        return single(self._holds(world, found, ids)) if found else 0

    def _holds(self, world: World, found: int, anchors: list[int]) -> Objects:
        a, kind = anchors[0], self.kind
        if kind in ("left", "right", "above", "below"):
            line = _along(world, {"above": "top", "below": "bottom"}.get(kind, kind))
            if any(abs(line[k] - line[a]) < world.margin for k in members(found)):
                return None
            return sum(1 << k for k in members(found) if line[k] < line[a])
        if kind in ("nearest", "farthest"):
            order = sorted(((world.distance(k, a), k) for k in members(found)), reverse=kind == "farthest")
            if len(order) > 1 and abs(order[1][0] - order[0][0]) < world.margin:
                return None
            return 1 << order[0][1]
        if kind == "overlapping":
            return found & world.touching[a]
        if kind == "front":
            return found & world.touching[a] & -(1 << a)
        if kind == "behind":
            return found & world.touching[a] & ((1 << a) - 1)
        if kind == "between":
            return _between(world, found, *anchors)
        attribute = SAME[kind]
        return found & world.having[attribute][world.layout.objects[a].attributes[attribute]]


def _between(world: World, found: int, a: int, b: int) -> Objects:
    """Returns the members in the strip from a to b; open at its long sides and near its ends."""
    length = world.distance(a, b)
    if length < 1e-6:
        return None
    ux, uy = (world.x[b] - world.x[a]) / length, (world.y[b] - world.y[a]) / length
    half_width = CORRIDOR * world.layout.unit
    inside = 0
    for k in members(found):
        dx, dy = world.x[k] - world.x[a], world.y[k] - world.y[a]
        along, across = dx * ux + dy * uy, abs(dx * uy - dy * ux)
        within = min(along, length - along, half_width - across)  # how far from the nearest rim, negative outside
        if abs(within) < world.margin:
            return None
        if within > 0:
            inside |= 1 << k
    return inside


Program = The | All | Nth | BySize | Related
STEPS = ("named", "anchors named", "described", "anchors")
"""Sets of objects that a program goes through before its answer, see `evaluate_steps`."""


def evaluate_steps(program: Program, world: World) -> tuple[int, int, int, int]:
    """Returns the sets of STEPS, for a program whose answer the scene makes certain.

    Returns:
        the objects with the attributes of the noun phrase, those with the attributes of the anchors; the objects that
        the whole noun phrase describes, exclusion and region included, and the anchors.
    """
    anchors_named = anchors = 0
    for anchor in program.anchors if isinstance(program, Related) else ():
        anchors_named |= anchor.noun.named(world)
        anchors |= anchor.evaluate(world) or 0
    return program.noun.named(world), anchors_named, program.noun.evaluate(world) or 0, anchors


def uses_held_out_role(program: Program) -> bool:
    """Whether a word is used in a role that only split held_out shows (part "roles")."""
    noun = program.noun
    if noun.without == (MATERIAL, 2):  # "dotted" under negation
        return True
    if isinstance(program, Nth) and program.direction == "bottom" and program.n == 2:
        return True
    if isinstance(program, BySize) or (isinstance(program, Nth) and program.counted):
        return noun.colour == 5  # orange in ordinals
    if isinstance(program, Related):
        anchors = [anchor.noun for anchor in program.anchors]
        return any(anchor.shape == 7 for anchor in anchors) or (  # heart as an anchor
            len(anchors) == 2 and all(anchor.material == 1 for anchor in anchors)  # between two striped anchors
        )
    return False
