"""Programs of read expressions: what a sentence asks for, part by part, before anything is known about the image.

They differ from the programs of drawn scenes, which are certain and know indices of attributes only; the directions are
the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from refseg.datasets.drawn_scenes.programs import Direction

__all__ = [
    "AttributeColour",
    "Direction",
    "Noun",
    "Number",
    "Order",
    "Place",
    "Query",
    "Relation",
    "Superlative",
]

Axis = Literal["left", "right", "top", "bottom", "front", "back", "large", "small"]
"""A side from which objects are counted: of the image, towards or away from the camera, or by size."""


@dataclass(frozen=True, slots=True)
class Noun:
    """The noun of a phrase.

    Attributes:
        written: as written, without correction.
        classes: names of classes that it may mean, of COCO's 80 and of drawn shapes; () if it is in no list.
        plural: whether it names several objects.
        anything: whether it names no kind ("thing", "object", "one").
    """

    written: str
    classes: tuple[str, ...] = ()
    plural: bool = False
    anything: bool = False

    @property
    def name(self) -> str:
        """The class if there is exactly one, otherwise the noun as written."""
        return self.classes[0] if len(self.classes) == 1 else self.written


@dataclass(frozen=True, slots=True)
class AttributeColour:
    """A colour, and the part that has it: "shirt", "clothes"; "" for the whole object."""

    name: str
    part: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.part}".strip()


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the image.

    Attributes:
        sides: of "left", "right", "top", "bottom", "middle", "front", "back", "corner", "edge"; two for a corner.
        far: whether it is stressed ("far left", "very top").
        half: whether a half of the image is named ("in the left half").
        adjective: whether it stands before the noun ("left mug"), and so compares mugs rather than names a region.
        clock: hour on the dial of a clock laid over the image, otherwise None.
    """

    sides: tuple[str, ...]
    far: bool = False
    half: bool = False
    adjective: bool = False
    clock: int | None = None

    def __str__(self) -> str:
        if self.clock is not None:
            return f"at {self.clock} o'clock"
        return ("far " if self.far else "") + " ".join(self.sides) + (" half" if self.half else "")


@dataclass(frozen=True, slots=True)
class Order:
    """The n-th from a side, counted from 1; -1 is the last, -2 the last but one."""

    n: int
    side: Axis | None = None

    def __str__(self) -> str:
        place = {-1: "last", -2: "last but one"}.get(self.n, f"number {self.n}")
        return place + (f" from {self.side}" if self.side else "")


@dataclass(frozen=True, slots=True)
class Superlative:
    """The extreme of a quality: large, small, tall, short, thin, light, dark, left, right, top, bottom, front, back."""

    quality: str

    def __str__(self) -> str:
        return f"most {self.quality}"


@dataclass(frozen=True, slots=True)
class Number:
    """How many objects are asked for: a count, or all (count None); `exact` if the sentence says the count."""

    count: int | None

    def __str__(self) -> str:
        return "all" if self.count is None else f"{self.count} of them"


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation to other objects.

    Attributes:
        kind: of "left", "right", "above", "below", "near", "nearest", "farthest", "between", "front", "behind",
            "covering", "hidden", "touching", "on", "in", "with", "same colour", "same pattern", "same shape".
        anchors: what it relates to; two for "between two different things".
        verb: the word that says it, where that is not a preposition ("holding").
    """

    kind: str
    anchors: tuple["Query", ...]
    verb: str = ""

    def __str__(self) -> str:
        return f"{self.verb or self.kind} ({'; '.join(map(str, self.anchors))})"


@dataclass(frozen=True, slots=True)
class Query:
    """A read expression.

    Attributes:
        noun: its noun; None if it has none ("far left").
        colours: colours and the parts that have them.
        sizes: "small", "medium", "large", as attributes.
        attributes: other attributes in a closed list: patterns ("striped").
        others: what only a scorer of regions can judge: verbs, clothes, materials, parts.
        exclusions: each describes what must not be; the same form as a query.
        places: in the image.
        orders: countings.
        superlatives: extremes.
        relations: to other objects.
        number: how many, None for one.
        union: further queries, joined by "and".
        not_understood: words that nothing was made of.
    """

    noun: Noun | None = None
    colours: tuple[AttributeColour, ...] = ()
    sizes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    exclusions: tuple["Query", ...] = ()
    places: tuple[Place, ...] = ()
    orders: tuple[Order, ...] = ()
    superlatives: tuple[Superlative, ...] = ()
    relations: tuple[Relation, ...] = ()
    number: Number | None = None
    union: tuple["Query", ...] = ()
    not_understood: tuple[str, ...] = ()

    def parts(self) -> Iterator[tuple[str, str]]:
        """Yields name and text of each part that the sentence has, in the order of reading."""
        if self.noun is not None:
            known = "/".join(self.noun.classes)
            meaning = f" ({known})" if known and known != self.noun.written else ""
            yield "noun", self.noun.written + meaning
        if self.number is not None:
            yield "number", str(self.number)
        for name, values in (
            ("colour", self.colours),
            ("size", self.sizes),
            ("attribute", self.attributes),
            ("other", self.others),
            ("place", self.places),
            ("order", self.orders),
            ("superlative", self.superlatives),
            ("relation", self.relations),
            ("not", self.exclusions),
            ("and", self.union),
            ("not understood", self.not_understood),
        ):
            yield from ((name, str(value)) for value in values)

    @property
    def names_nothing(self) -> bool:
        """Whether it says nothing of any thing ("the", "33")."""
        return all(name == "not understood" for name, _ in self.parts())

    def __str__(self) -> str:
        return ", ".join(text if name == "noun" else f"{name}: {text}" for name, text in self.parts()) or "anything"

    def walk(self) -> Iterator["Query"]:
        """Yields this query and all queries in it."""
        yield self
        inner = [anchor for relation in self.relations for anchor in relation.anchors]
        for query in (*inner, *self.exclusions, *self.union):
            yield from query.walk()
