"""Execution: a program evaluated on found objects.

Each part of a program gives every object a filter, the log probability that the part holds of it, or a preference, in
log odds against the other objects. Filters say which objects there are and whether there are any; preferences choose
among them, so that the leftmost of three dogs need not stand at the very left of the image.

Strengths of preferences are set by hand on sentences of RefCOCO val.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refseg.readers.colours import lightness, share_of
from refseg.readers.nouns import PERSON, classes_of, singular
from refseg.readers.objects import FoundObject, FoundObjects
from refseg.readers.priors import box_preference
from refseg.readers.program import AttributeColour, Noun, Order, Place, Query, Relation, Superlative
from refseg.readers.searching import name_to_search
from refseg.readers.words import HEAD_PARTS, LOWER_CLOTHES

Scores = NDArray[np.float64]
RegionScorer = Callable[[str, Sequence[FoundObject]], Sequence[float]]
"""Takes a phrase and N objects, returns N log odds that the phrase is true of each."""
Outcome = Literal["found", "nothing matches", "unknown noun", "no thing named"]

LEAST = 1e-4  # probability of what should be impossible
PLACE = 7.0  # log odds between the two extremes of an axis
SMALL, SMALL_AREA = 0.7, 0.02  # log odds for each factor e below a part of the image: nobody means what is tiny
FIRST = 5.0  # log odds of being the very first, where a superlative asks for it
TOLERANCE = 0.045  # by which one thing may pass the middle of the image
NEAR_BORDER = 0.01  # softness of a border, in parts of the image
LARGE, CENTRAL, CENTRAL_THING, CUT_OFF = 1.1, 0.35, 0.1, 0.8  # log odds of what is meant where no place is said
COLOURED = 0.25  # of LARGE, where a colour tells people apart
LARGE_RELATED = {"near": -0.8, "left": -0.8, "right": -0.8, "behind": -0.8, "front": -0.8, "with": 0.8}
WEAK = 0.4  # of a cue that stands with an anchor that cannot be found
ACROSS = ((("left",), ("right",)), (("front",), ("back",), ("top",), ("bottom",)))  # places across down, and along
ROW = 0.3  # of the way between the extremes, from where on an object stands in the front row
NO_COLOURS = "the colours of the objects are unknown"
NAMES_NOTHING = "the expression names no thing"
EXISTS = 0.5  # probability from which on there is a referent

_SIDES = {"left": ("x", 1.0), "right": ("x", -1.0), "top": ("y", 1.0), "bottom": ("y", -1.0)}


@dataclass(frozen=True, eq=False)
class Step:
    """Scores that one part of a program gave.

    Attributes:
        part: name of the part, as in `Query.parts`.
        text: the part.
        scores: (N,), log probabilities of a filter or log odds of a preference.
        filters: whether it is a filter.
        anchor: text of the anchor that the step belongs to, "" for the referent itself.
    """

    part: str
    text: str
    scores: Scores
    filters: bool
    anchor: str = ""


@dataclass(frozen=True, eq=False)
class Answer:
    """The objects that a program refers to.

    Attributes:
        query: the program.
        outcome: "unknown noun" if the finder cannot know the thing, which is not the same as "nothing matches".
            Of an expression that names no thing ("the") nothing is chosen.
        chosen: indices of the objects, in the order of `probabilities`.
        best: index of the single most probable object whatever `exists` says; None without objects.
        probabilities: (N,), that each object is referred to.
        exists: probability that the expression refers to anything.
        steps: what each part scored.
        remarks: one line each: what could not be taken into account.
    """

    query: Query
    outcome: Outcome
    chosen: tuple[int, ...]
    best: int | None
    probabilities: Scores
    exists: float
    steps: tuple[Step, ...]
    remarks: tuple[str, ...]


def execute(query: Query, found: FoundObjects, score_regions: RegionScorer | None = None) -> Answer:
    """Evaluates a program on found objects.

    Args:
        query: from `read`.
        found: the objects of an image.
        score_regions: judges what geometry and colours cannot: verbs, clothes, materials; without it they are remarks.

    >>> from refseg.readers.parse import read
    >>> boxes = (10, 50, 30, 70), (40, 50, 60, 70), (70, 50, 90, 70)
    >>> dogs = tuple(FoundObject(box_xyxy=box, classes={"dog": 0.9}) for box in boxes)
    >>> found = FoundObjects(dogs, (100, 100), frozenset({"dog", "cat"}))
    >>> [execute(read(f"the {text}"), found).chosen for text in ("second dog from the left", "dogs", "cat")]
    [(1,), (0, 1, 2), ()]
    >>> execute(read("the window"), found).outcome
    'unknown noun'
    """
    return _Executor(found, score_regions).answer(query)


class _Executor:
    def __init__(self, found: FoundObjects, score_regions: RegionScorer | None):
        self.found = found
        self.geometry = found.geometry
        self.count = len(found.objects)
        self.score_regions = score_regions
        self.named = found.classes is not None
        self.steps: list[Step] = []
        self.remarks: list[str] = []

    # Answers ----------------------------------------------------------------------------------------------------------

    def answer(self, query: Query) -> Answer:
        parts = [query, *query.union]
        unknown = [part.noun.written for part in parts if part.noun is not None and not self.knows(part.noun)]
        self.remarks += [unknown_noun(noun) for noun in unknown]
        probabilities = np.zeros(self.count)
        chosen: set[int] = set()
        exists = 0.0
        best = None
        for k, part in enumerate(parts):
            if part.noun is not None and not self.knows(part.noun):
                continue
            filters, preferences = self.evaluate(part, "")
            p, there = self.referents(part, filters, preferences)
            if self.count and (best is None or k == 0):
                best = int(np.argmax(filters + preferences))
            probabilities = np.maximum(probabilities, p)
            exists = max(exists, there)
            if there >= EXISTS and not query.names_nothing:
                chosen.update(self.members(part, p, filters + preferences))
        outcome: Outcome = "found" if chosen else "unknown noun" if len(unknown) == len(parts) else "nothing matches"
        if query.names_nothing:
            outcome, exists = "no thing named", 0.0
            self.remarks.append(NAMES_NOTHING)
        if query.not_understood:
            self.remarks.append("not understood: " + ", ".join(query.not_understood))
        return Answer(
            query, outcome, tuple(sorted(chosen)), best, probabilities, exists, tuple(self.steps), tuple(self.remarks)
        )

    def referents(self, query: Query, filters: Scores, preferences: Scores) -> tuple[Scores, float]:
        """Returns the probability of each object to be referred to, and that there is any."""
        if not self.count:
            return np.zeros(0), 0.0
        p = np.exp(filters)
        if _several(query):
            return p, float(1 - np.prod(1 - p))
        there = float(p.max())
        return _softmax(filters + preferences) * there, there

    def members(self, query: Query, p: Scores, scores: Scores) -> list[int]:
        """Returns the indices of the referents."""
        if not _several(query):
            return [int(np.argmax(p))]
        inside = np.flatnonzero(p >= 0.5)
        count = _count(query)
        if count and len(inside) > count:
            return inside[np.argsort(-scores[inside], kind="stable")[:count]].tolist()
        return inside.tolist()

    def knows(self, noun: Noun) -> bool:
        """Whether the finder has a name for the noun."""
        classes = self.found.classes
        return classes is None or noun.anything or any(name in classes for name in self._names(noun))

    def _named(self, noun: Noun) -> str:
        return name_to_search(noun) if self.found.open_vocabulary else noun.name

    def _names(self, noun: Noun) -> tuple[str, ...]:
        if self.found.open_vocabulary:
            return (name_to_search(noun),)
        return (*noun.classes, noun.written, singular(noun.written))

    # Parts ------------------------------------------------------------------------------------------------------------

    def note(self, part: str, text: object, scores: Scores, filters: bool, anchor: str) -> Scores:
        self.steps.append(Step(part, str(text), scores, filters, anchor))
        return scores

    def evaluate(self, query: Query, anchor: str, default: bool = True) -> tuple[Scores, Scores]:
        """Returns filters and preferences (N,) of a program."""
        n = self.count
        filters, preferences = np.zeros(n), np.zeros(n)
        if not n:
            return filters, preferences
        several = _several(query)
        filters += self.note("score", "found", _log([thing.score for thing in self.found.objects]) * 0.5, True, anchor)
        if query.noun is not None and not query.noun.anything:
            if self.named and self.knows(query.noun):
                filters += self.note("noun", self._named(query.noun), self._class(query.noun), True, anchor)
            preferences += self._kind_preference(query.noun, anchor)
        for colour in query.colours:
            f, p = self._colour(colour)
            filters += self.note("colour", colour, f, True, anchor)
            preferences += p
        for name in (*query.attributes, *query.sizes):
            judged = self._judged(name)
            if judged is not None:
                filters += self.note("attribute", name, _log(judged), True, anchor)
            elif name in query.attributes:
                preferences += self._region(name, anchor)
        for phrase in query.others:
            preferences += self._region(phrase, anchor)
        for exclusion in query.exclusions:
            filters += self.note("not", exclusion, self._excluded(exclusion), True, anchor)
        for place in query.places:
            if several or self._is_region(place):
                filters += self.note("place", place, self._in_place(place, several), True, anchor)
        for relation in query.relations:  # last: the nearest of what all else leaves
            f, p = self._relation(relation, query, filters)
            filters += self.note("relation", relation, f, True, anchor)
            preferences += p
        weights = np.exp(filters - filters.max())
        members = weights >= 0.5
        if not several or _count(query):
            sides = {side for place in query.places for side in place.sides}
            counted = bool(query.orders or query.superlatives) or any(place.far for place in query.places)
            for place in query.places:
                if not (self._is_region(place) and (counted or place.half)):
                    how_far = self._place(place, members, sides)
                    preferences += self.note("place", f"{place}, how far", how_far, False, anchor)
        for name in query.sizes:
            if self._judged(name) is None:
                preferences += self.note("size", name, 0.6 * self._extreme(name, members), False, anchor)
        for superlative in query.superlatives:
            if superlative.quality in ("light", "dark") and self.lightness is None:
                self._remark(f"{str(superlative)!r} was not taken into account: {NO_COLOURS}")
                continue
            preferences += self.note("superlative", superlative, self._superlative(superlative, members), False, anchor)
        for order in query.orders:
            f, p = self._order(order, members if self.named else self._row(query, order, members))
            filters += f
            preferences += self.note("order", order, p, False, anchor)
        if self.named and not several and not query.orders:
            preferences -= SMALL * np.clip(np.log(SMALL_AREA / self.geometry.area), 0.0, 4.0)
        if default and not several:
            preferences += self.note("default", "free, central, large", self._salience(query, members), False, anchor)
        return filters, preferences

    def _class(self, noun: Noun) -> Scores:
        names = self._names(noun)
        return _log(
            [max((thing.classes.get(name, 0.0) for name in names), default=0.0) for thing in self.found.objects]
        )

    def _kind_preference(self, noun: Noun, anchor: str) -> Scores:
        boxes = box_preference(noun, self.geometry, self.named)
        return self.note("noun", f"{noun.written}, by its box", boxes, False, anchor)

    def _judged(self, word: str) -> list[float] | None:
        """Returns the probability of an attribute for each object, None if it was not judged."""
        values = [thing.words.get(word) for thing in self.found.objects]
        return None if None in values else [value for value in values if value is not None]

    def _remark(self, remark: str) -> None:
        if remark not in self.remarks:
            self.remarks.append(remark)

    @cached_property
    def lightness(self) -> Scores | None:
        """Lightness of each object (N,); None if the colours of one are unknown."""
        values = [lightness(thing.colours) for thing in self.found.objects]
        return None if None in values else np.array(values, np.float64)

    def _region(self, phrase: str, anchor: str) -> Scores:
        if self.score_regions is None:
            self._remark(f"{phrase!r} was not taken into account: place, size and colours do not tell it")
            return np.zeros(self.count)
        return self.note(
            "other", phrase, np.asarray(self.score_regions(phrase, self.found.objects), np.float64), False, anchor
        )

    def _colour(self, colour: AttributeColour) -> tuple[Scores, Scores]:
        judged = self._judged(colour.name) if not colour.part else None
        if judged is not None:
            return _log(judged), np.zeros(self.count)
        part = colour.part
        people = [
            any(PERSON in classes_of(name) and p >= 0.5 for name, p in thing.classes.items())
            for thing in self.found.objects
        ]
        region = "head" if part in HEAD_PARTS else "lower" if part in LOWER_CLOTHES else "upper" if part else ""
        shares = [
            share_of(thing.colours, colour.name, region or ("upper" if person else "whole"))
            for thing, person in zip(self.found.objects, people, strict=True)
        ]
        if None in shares:
            if not self.remarks or "colours" not in self.remarks[-1]:
                self._remark(f"{str(colour)!r} was not taken into account: {NO_COLOURS}")
            return np.zeros(self.count), np.zeros(self.count)
        share = np.array(shares, np.float64)
        return _log(0.2 + 0.8 * _sigmoid((share - 0.08) / 0.03)), 8.0 * share

    # Places -----------------------------------------------------------------------------------------------------------

    def _scaled(self, values: Scores, members: NDArray[np.bool_]) -> Scores:
        """Returns values from 0 to 1 between the least and the largest of the members."""
        if not members.any():
            return np.zeros(self.count)
        low, high = values[members].min(), values[members].max()
        return np.clip((values - low) / (high - low), 0, 1) if high > low + 1e-9 else np.full(self.count, 0.5)

    def _is_region(self, place: Place) -> bool:
        """Whether a place is a region of the image, which may be empty."""
        return self.named and place.clock is None and not place.far and (not place.adjective or len(place.sides) > 1)

    def _in_place(self, place: Place, several: bool = True) -> Scores:
        """Returns the log probability of lying in a half or quarter of the image.

        One thing "on the left" may stand a little right of the middle, left of the others; all things may not.
        """
        border = 0.5 if several or place.half or len(place.sides) > 1 else 0.5 + TOLERANCE
        total = np.zeros(self.count)
        for side in place.sides:
            if side in _SIDES:
                axis, sign = _SIDES[side]
                value = getattr(self.geometry, axis)
                beyond = border - (value if sign > 0 else 1 - value)
                total += np.log(_sigmoid(beyond / NEAR_BORDER) + LEAST)
        return np.minimum(total, 0.0)

    def _axis(self, side: str) -> Scores:
        """Returns what grows towards a side of the image, the camera, or a size."""
        g = self.geometry
        match side:
            case "left":
                return -g.x
            case "right":
                return g.x
            case "top":
                return -g.y - (0.0 if self.named else 0.5 * g.bottom)
            case "bottom":
                return g.y
            case "front" | "back":
                nearness = -g.depth if g.depth is not None else g.bottom + 0.5 * np.sqrt(g.area) + 0.25 * g.y
                return nearness if side == "front" else -nearness
            case "large" | "wide":
                return np.sqrt(g.area)
            case "small" | "thin":
                return -np.sqrt(g.area)
            case "medium":
                ranks = np.argsort(np.argsort(g.area)).astype(np.float64)
                return -abs(ranks - (self.count - 1) / 2)
            case "tall":
                return g.height
            case "short":
                return -g.height
            case "light" | "dark" if self.lightness is not None:
                return self.lightness if side == "light" else -self.lightness
        return np.zeros(self.count)

    def _extreme(self, side: str, members: NDArray[np.bool_], only_first: bool = False) -> Scores:
        values = self._axis(side)
        first = FIRST * (values >= values[members].max(initial=-np.inf)) if self.named and only_first else 0.0
        return PLACE * self._scaled(values, members) + first

    def _place(self, place: Place, members: NDArray[np.bool_], sides: Set[str] = frozenset()) -> Scores:
        """Returns log odds of a place; `sides` are all that the phrase names: the middle of the left is half-way up."""
        g = self.geometry
        if place.clock is not None:
            angle = np.deg2rad(30.0 * place.clock)
            dx, dy = g.x - g.x[members].mean(), g.y - g.y[members].mean()
            return PLACE * self._scaled(dx * np.sin(angle) - dy * np.cos(angle), members)
        total = np.zeros(self.count)
        for side in place.sides:
            if side == "middle" and {"left", "right"} & {*sides, *place.sides}:
                total += 0.4 * PLACE * self._scaled(-abs(g.y - 0.5), members)  # half-way up
            elif side == "middle":
                total += self._middle(members, place)
            elif side in ("corner", "edge"):
                total += 0.5 * PLACE * self._scaled(np.maximum(abs(g.x - 0.5), abs(g.y - 0.5)), members)
            else:
                total += self._extreme(side, members, only_first=place.far and len(place.sides) == 1)
        return total

    def _middle(self, members: NDArray[np.bool_], place: Place) -> Scores:
        """Returns what grows towards the middle of the image and, as much, of the members."""
        g = self.geometry
        inner = -0.6 * abs(g.x - 0.5) - 0.5 * abs(self._scaled(g.x, members) - 0.5) - 0.3 * abs(g.y - 0.5)
        if self.named and members.sum() > 2:  # all of the kind are known: count along the line that they form
            line = max((g.x * g.aspect, g.y), key=lambda values: float(np.ptp(values[members])))
            ranks = np.searchsorted(np.sort(line[members]), line)
            inner = 0.3 * inner - abs(ranks - (members.sum() - 1) / 2) / members.sum()
        return PLACE * self._scaled(inner, members)

    def _salience(self, query: Query, members: NDArray[np.bool_]) -> Scores:
        """Returns what a speaker means who says no place: what is not cut off, in the middle, and large.

        Whatever is described by another thing is rather smaller than that.
        """
        g = self.geometry
        nearest = any(relation.kind in ("nearest", "farthest") for relation in query.relations)
        if self.named and (query.superlatives or query.orders or nearest):
            return np.zeros(self.count)
        if query.places or query.superlatives or query.orders:
            return 0.5 * self._scaled(np.sqrt(g.area), members)
        cut = (g.left < 0.015) * 1.0 + (g.right > 0.985)
        central = self._scaled(-abs(g.x - 0.5), members)
        size = LARGE
        if query.relations:
            size = LARGE_RELATED.get(query.relations[0].kind, 0.0) if not self.named else 0.0
        elif query.colours and query.noun is not None and query.noun.classes == (PERSON,):
            size = COLOURED * LARGE
        people = query.noun is None or query.noun.classes in ((), (PERSON,))
        middle = CENTRAL if people else CENTRAL_THING
        return size * self._scaled(np.sqrt(g.area), members) + middle * central - CUT_OFF * cut

    def _superlative(self, superlative: Superlative, members: NDArray[np.bool_]) -> Scores:
        return self._extreme(superlative.quality, members, only_first=True)

    def _row(self, query: Query, order: Order, members: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Returns the members in the row that the places name ("second from the left in the front row")."""
        for place in query.places:
            if members.sum() > 2 and place.sides in ACROSS[order.side in ("left", "right", None)]:
                row = members & (self._scaled(self._axis(place.sides[0]), members) > ROW)
                members = row if row.any() else members
        return members

    def _order(self, order: Order, members: NDArray[np.bool_]) -> tuple[Scores, Scores]:
        side = order.side or "front"
        where = np.flatnonzero(members)
        ranked = where[np.argsort(-self._axis(side)[where], kind="stable")]
        wanted = order.n - 1 if order.n > 0 else len(ranked) + order.n
        if not self.named and len(ranked) == 2 and order.n == 2 and order.side is not None:
            wanted = 0  # nobody counts two: the first was not found
        filters = np.zeros(self.count)
        if not 0 <= wanted < len(ranked):
            filters += np.log(0.05)
            wanted = len(ranked) - 1
        scores = np.full(self.count, -2.0 * PLACE)
        scores[ranked] = -PLACE * np.minimum(abs(np.arange(len(ranked)) - wanted), 2)
        return filters, scores

    # Relations --------------------------------------------------------------------------------------------------------

    def anchors(self, query: Query) -> Scores | None:
        """Returns the probability of each object to be the anchor, None if that cannot be known."""
        if not self.named or (query.noun is not None and not self.knows(query.noun)):
            if self.named and query.noun is not None:
                self.remarks.append(f"{unknown_noun(query.noun.written)}: its relation was ignored")
            return None
        if query.noun is None and not query.places and not query.superlatives and not query.orders:
            return None
        filters, preferences = self.evaluate(query, str(query))
        p, there = self.referents(query, filters, preferences)
        for other in query.union:
            more = self.anchors(other)
            p = p if more is None else np.maximum(p, more)
        return p if there >= LEAST else np.zeros(self.count)

    def _relation(self, relation: Relation, query: Query, filters: Scores) -> tuple[Scores, Scores]:
        found = [self.anchors(anchor) for anchor in relation.anchors]
        nothing = np.zeros(self.count)
        if any(weights is None for weights in found):
            return nothing, self._without_anchor(relation, query)
        weights = [w for w in found if w is not None]
        if relation.kind == "between":
            return self._between(weights, relation), nothing
        a = weights[0]
        holds, preference = self._holds(relation.kind)
        if a.sum() > 1 and relation.kind not in ("near", "on", "in", "with", "touching"):
            a = a / a.sum()
        holds = holds.copy()
        np.fill_diagonal(holds, 0.0)
        p = np.minimum((holds * a).sum(1), 1.0)
        share = a / max(a.sum(), 1e-9)
        chosen = (preference * share).sum(1)
        if relation.kind in ("nearest", "farthest"):
            others = (share < 0.5) & (filters >= np.log(0.5))
            chosen = PLACE * self._scaled(chosen, others) + FIRST * (chosen >= chosen[others].max(initial=-np.inf))
            p = np.where(share < 0.5, min(a.sum(), 1.0), LEAST)
        return np.log(np.maximum(p, LEAST)), chosen

    def _holds(self, kind: str) -> tuple[Scores, Scores]:
        """Returns (N, N) probabilities that a relation holds of row and column, and log odds that prefer some."""
        g = self.geometry
        nothing = np.zeros((self.count, self.count))
        near = -3.0 * g.gaps()
        soft = NEAR_BORDER
        match kind:
            case "left":
                return _sigmoid((g.x - g.x[:, None]) / soft), near * 0.5
            case "right":
                return _sigmoid((g.x[:, None] - g.x) / soft), near * 0.5
            case "above":
                return _sigmoid((g.y - g.y[:, None]) / soft), near * 0.5
            case "below":
                return _sigmoid((g.y[:, None] - g.y) / soft), near * 0.5
            case "nearest":
                return nothing + 1, -g.distances()
            case "farthest":
                return nothing + 1, g.distances()
            case "touching":
                return np.where(g.touching(), 1.0, LEAST), nothing
            case "front" | "behind" | "covering" | "hidden":
                return self._depth_relation(kind in ("front", "covering")), near
            case "same colour" | "same pattern" | "same shape":
                return self._same(kind), nothing
            case "on" | "in" | "with":
                shared = g.intersections() / np.maximum(
                    np.minimum(g.width * g.height, (g.width * g.height)[:, None]), 1e-9
                )
                return 0.2 + 0.8 * _sigmoid((shared - 0.1) / 0.05), 3.0 * shared
            case _:
                return 0.3 + 0.7 * _sigmoid((0.3 - g.gaps()) / 0.05), 2.0 * near

    def _depth_relation(self, front: bool) -> Scores:
        g = self.geometry
        sign = 1.0 if front else -1.0
        if g.layer is not None:
            return np.where(g.touching() & (sign * (g.layer[:, None] - g.layer) > 0), 1.0, LEAST)
        if g.depth is not None:
            spread = max(float(np.ptp(g.depth)), 1e-9)
            return _sigmoid(sign * (g.depth - g.depth[:, None]) / (0.05 * spread))
        nearness = self._axis("front")
        return _sigmoid(sign * (nearness[:, None] - nearness) / 0.05)

    def _same(self, kind: str) -> Scores:
        objects = self.found.objects
        if kind == "same shape":
            tables = [thing.classes for thing in objects]
        elif kind == "same pattern":
            tables = [
                {k: v for k, v in thing.words.items() if k in ("plain", "striped", "dotted", "checked")}
                for thing in objects
            ]
        else:
            sizes = ("small", "medium", "large", "plain", "striped", "dotted", "checked")
            tables = [
                {k: v for k, v in thing.words.items() if k not in sizes} or thing.colours.get("whole", {})
                for thing in objects
            ]
        return np.array([[sum(a[k] * b.get(k, 0.0) for k in a) for b in tables] for a in tables]).reshape(
            self.count, self.count
        )

    def _between(self, weights: list[Scores], relation: Relation) -> Scores:
        g = self.geometry
        first, second = weights[0], weights[-1]
        pairs = [
            (first[j] * second[k], j, k)
            for j in range(self.count)
            for k in range(self.count)
            if j != k and (len(weights) > 1 or j < k) and first[j] * second[k] > 0.05
        ]
        best = np.full(self.count, LEAST)
        for weight, j, k in pairs:
            ax, ay = g.x[j] * g.aspect, g.y[j]
            ux, uy = g.x[k] * g.aspect - ax, g.y[k] - ay
            length = max(float(np.hypot(ux, uy)), 1e-9)
            dx, dy = g.x * g.aspect - ax, g.y - ay
            along, across = (dx * ux + dy * uy) / length, abs(dx * uy - dy * ux) / length
            corridor = 0.156 if len(weights) > 1 or length < 0.5 else 0.3
            inside = np.minimum(np.minimum(along, length - along), corridor - across)
            p = _sigmoid(inside / (0.5 * NEAR_BORDER)) * weight
            p[[j, k]] = LEAST
            best = np.maximum(best, p)
        return np.log(best)

    def _without_anchor(self, relation: Relation, query: Query) -> Scores:
        """Returns what a relation says of its first member alone: something "behind" anything stands further back."""
        members = np.ones(self.count, bool)
        total = np.zeros(self.count)
        if query.places or query.orders:
            return total
        side = {
            "left": "left", "right": "right", "above": "top", "below": "bottom",
            "behind": "back", "hidden": "back",
        }.get(relation.kind)  # fmt: skip
        if side is not None:
            total += WEAK * self._extreme(side, members)
        elif relation.kind == "between":
            total += WEAK * self._middle(members, Place(("middle",)))
        for anchor in relation.anchors:
            for place in anchor.places:
                total += WEAK * self._place(place, members)
        return total

    # Exclusions -------------------------------------------------------------------------------------------------------

    def _excluded(self, exclusion: Query) -> Scores:
        """Returns the log probability that an exclusion does not hold."""
        if exclusion.noun is not None and not self.knows(exclusion.noun):
            return np.zeros(self.count)
        filters, preferences = self.evaluate(exclusion, f"not {exclusion}", default=False)
        for place in exclusion.places:
            if self.named and not self._is_region(place):
                filters += self._in_place(place)
        p = np.exp(filters)
        if exclusion.superlatives or exclusion.orders or not self.named:
            p = p * _softmax(filters + preferences) if np.ptp(preferences) > 0 else p * 0
        return np.log(np.maximum(1 - p, LEAST))


def unknown_noun(noun: str) -> str:
    """Returns the remark on a noun that the finder has no name for."""
    return f"{noun!r} is not a thing that this finder knows"


def _count(query: Query) -> int:
    """Returns the number of objects that a sentence asks for, 0 if it does not say."""
    return query.number.count or 0 if query.number is not None else 0


def _several(query: Query) -> bool:
    """Whether several objects are asked for: all that match, or a number of them."""
    count = _count(query)
    if query.orders or count == 1:
        return False
    if query.superlatives:
        return count > 1
    return query.number is not None or (query.noun is not None and query.noun.plural)


def _log(p: Sequence[float] | Scores) -> Scores:
    return np.log(np.clip(np.asarray(p, np.float64), LEAST, 1.0))


def _sigmoid(x: Scores) -> Scores:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))


def _softmax(x: Scores) -> Scores:
    e = np.exp(x - x.max())
    return e / e.sum()
