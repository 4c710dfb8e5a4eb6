"""Sentences about a scene: programs of a drawn type, kept if the scene makes their referents certain."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import get_args

from refseg.datasets.drawn_scenes.objects import (
    ATTRIBUTES,
    COLOUR,
    COLOURS,
    MATERIAL,
    SHAPE,
    SHAPES,
    SIZE,
    SIZES,
    SeededRandom,
)
from refseg.datasets.drawn_scenes.programs import (
    SAME,
    All,
    Anchor,
    BySize,
    Direction,
    Noun,
    Nth,
    Program,
    Region,
    Related,
    The,
    World,
    members,
    uses_held_out_role,
)

TYPE_SHARES = {
    "attribute": 0.17,
    "location": 0.16,
    "relation": 0.29,
    "ordinal": 0.16,
    "plural": 0.13,
    "negation": 0.09,
}
"""Share of each type among expressions with a referent."""

KIND_SHARES = {
    "left": 0.09,
    "right": 0.09,
    "above": 0.09,
    "below": 0.09,
    "nearest": 0.11,
    "farthest": 0.08,
    "front": 0.07,
    "behind": 0.07,
    "overlapping": 0.05,
    "same_colour": 0.06,
    "same_pattern": 0.05,
    "same_shape": 0.05,
    "between": 0.10,
}
"""Share of each kind among relations."""

NEEDS_OVERLAP = frozenset({"between", "nearest", "farthest", "front", "behind", "overlapping"})  # not in tier easy

SHAPE_WORDS = {
    "circle": ("circle", "disc", "disk"),
    "square": ("square", "box"),
    "ring": ("ring", "donut", "hoop"),
    "cross": ("cross", "plus"),
}
COLOUR_WORDS = {"purple": ("purple", "violet"), "cyan": ("cyan", "turquoise")}
SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized"),
    "large": ("large", "big", "huge"),
}
MATERIAL_BEFORE = {"plain": ("plain", "solid"), "striped": ("striped",), "dotted": ("dotted", "spotted")}
MATERIAL_AFTER = {
    "plain": ("without pattern",),
    "striped": ("with stripes",),
    "dotted": ("with dots", "with spots"),
}
NO_MATERIAL = {"plain": (), "striped": ("without stripes",), "dotted": ("without dots", "without spots")}
ANYTHING = ("object", "thing", "shape")
SUPERLATIVES = {
    "left": ("leftmost {}", "{} on the far left"),
    "right": ("rightmost {}", "{} on the far right"),
    "top": ("topmost {}", "highest {}", "{} at the very top"),
    "bottom": ("bottommost {}", "lowest {}", "{} at the very bottom"),
}
REGIONS = {
    "left": ("{} on the left", "{} on the left side", "{} in the left half"),
    "right": ("{} on the right", "{} on the right side", "{} in the right half"),
    "top": ("{} at the top", "{} in the upper half", "{} in the top half"),
    "bottom": ("{} at the bottom", "{} in the lower half", "{} in the bottom half"),
    "top left": ("{} in the upper left corner", "top left {}", "{} at the top left"),
    "top right": ("{} in the upper right corner", "top right {}", "{} at the top right"),
    "bottom left": ("{} in the lower left corner", "bottom left {}", "{} at the bottom left"),
    "bottom right": ("{} in the lower right corner", "bottom right {}", "{} at the bottom right"),
}
ORDINALS = ("first", "second", "third", "fourth")
LARGEST, SMALLEST = ("largest", "biggest"), ("smallest", "tiniest")
RELATIONS = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "above": ("above", "higher than"),
    "below": ("below", "under", "lower than"),
    "nearest": ("nearest to", "closest to"),
    "farthest": ("farthest from", "furthest from"),
    "front": ("in front of", "partly covering"),
    "behind": ("behind", "partly hidden by"),
    "overlapping": ("overlapping", "touching"),
    "same_colour": ("of the same colour as", "with the same color as"),
    "same_pattern": ("of the same pattern as", "with the same pattern as"),
    "same_shape": ("of the same shape as", "with the same shape as"),
}
NUMBERS = {2: ("both {}", "the two {}", "the pair of {}"), 3: ("the three {}", "the trio of {}")}
ALL = ("all {}", "all the {}", "the {}", "every one of the {}")
REQUESTS = ("find", "segment", "show me")
ATTRIBUTE_USE = (0.75, 0.5, 0.3, 0.3)  # how often a noun phrase names each of ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Sentence:
    """An expression with its program, type and kind of relation."""

    text: str
    program: Program
    type: str
    kind: str = ""


def compose(
    world: World, rng: SeededRandom, type_: str, kind: str, held_out_roles: bool, qualified: bool = False
) -> Sentence | None:
    """Composes a sentence of this type (and kind) about this scene; None if it is not certain and necessary.

    Args:
        world: the scene.
        rng: where the choices come from.
        type_: of TYPE_SHARES.
        kind: of KIND_SHARES for relations, otherwise "".
        held_out_roles: True keeps only words in roles that training never shows, False only the others.
        qualified: add a second qualifier.
    """
    program = _BUILDERS[type_](world, rng, kind)
    if program is None:
        return None
    if qualified:
        plain, program = program, _qualify(program, world, rng)
        if program == plain:
            return None
    if uses_held_out_role(program) != held_out_roles or not program.evaluate(world) or not _needed(program, world, rng):
        return None
    return Sentence(say(program, rng), program, type_, kind)


def _needed(program: Program, world: World, rng: SeededRandom) -> bool:
    """Whether each part of the sentence is needed: comparisons have candidates, negations exclude something."""
    noun = program.noun
    if noun.without is not None:
        plain = replace(noun, without=None).evaluate(world)
        if not plain or not plain & world.having[noun.without[0]][noun.without[1]]:
            return False
    candidates = noun.evaluate(world) or 0
    if noun.region is not None and (replace(noun, region=None).evaluate(world) or 0).bit_count() < 2:
        return False
    if isinstance(program, All) and noun == Noun():
        return False
    if isinstance(program, All) and candidates.bit_count() == 1:
        return rng.chance(0.2)
    if isinstance(program, Nth | BySize):
        return candidates.bit_count() >= 2
    if isinstance(program, Related):
        for anchor in program.anchors:
            candidates &= ~(anchor.evaluate(world) or 0)
        return candidates.bit_count() >= 2
    return True


# Noun phrases ---------------------------------------------------------------------------------------------------------


def _noun(values: dict[int, int]) -> Noun:
    return Noun(values.get(SHAPE), values.get(COLOUR), values.get(SIZE), values.get(MATERIAL))


def _describe(world: World, rng: SeededRandom, k: int, banned: int | None = None) -> dict[int, int]:
    """Draws some of the attributes of object k, never the banned one."""
    values = world.layout.objects[k].attributes
    return {a: values[a] for a, use in enumerate(ATTRIBUTE_USE) if a != banned and rng.chance(use)}


def _loosen(world: World, rng: SeededRandom, values: dict[int, int], count: int) -> Noun:
    """Drops attributes until the noun phrase has at least `count` candidates."""
    order = rng.shuffled(list(values))
    while (found := _noun(values).evaluate(world)) is not None and found.bit_count() < count and order:
        values.pop(order.pop())
    return _noun(values)


def _unique(world: World, rng: SeededRandom, k: int) -> Noun | None:
    """Returns a noun phrase that describes object k alone, or None if nothing tells it apart."""
    values = _describe(world, rng, k)
    all_values = world.layout.objects[k].attributes
    for attribute in [None, *rng.shuffled(range(len(ATTRIBUTES)))]:
        if attribute is not None:
            values[attribute] = all_values[attribute]
        if _noun(values).evaluate(world) == 1 << k:
            return _noun(values)
    return None


# One builder a type ---------------------------------------------------------------------------------------------------


def _attribute(world: World, rng: SeededRandom, kind: str) -> Program | None:
    k = rng.below(world.count)
    noun = _unique(world, rng, k)
    if noun is None:
        return None
    if rng.chance(0.6):
        values = {a: v for a, v in enumerate(noun.attributes) if v is not None}
        for attribute in rng.shuffled(list(values)):
            fewer = {a: v for a, v in values.items() if a != attribute}
            if _noun(fewer).evaluate(world) == 1 << k:
                values = fewer
        noun = _noun(values)
    return The(noun)


def _location(world: World, rng: SeededRandom, kind: str) -> Program | None:
    noun = _loosen(world, rng, _describe(world, rng, rng.below(world.count)), 2)
    if rng.chance(0.5):
        return Nth(noun, rng.pick(get_args(Direction)))
    return The(replace(noun, region=rng.pick(tuple(get_args(Region)))))


def _ordinal(world: World, rng: SeededRandom, kind: str) -> Program | None:
    if rng.chance(0.25):
        noun = _loosen(world, rng, _describe(world, rng, rng.below(world.count), banned=SIZE), 2)
        return BySize(noun, rng.chance(0.5))
    noun = _loosen(world, rng, _describe(world, rng, rng.below(world.count)), 2 + rng.below(2))
    candidates = (noun.evaluate(world) or 0).bit_count()
    return Nth(noun, rng.pick(get_args(Direction)), 1 + rng.below(min(candidates, len(ORDINALS))), True)


def _plural(world: World, rng: SeededRandom, kind: str) -> Program | None:
    noun = _loosen(world, rng, _describe(world, rng, rng.below(world.count)), 2 if rng.chance(0.8) else 1)
    if rng.chance(0.2):
        return All(replace(noun, region=rng.pick(("left", "right", "top", "bottom"))))
    count = (noun.evaluate(world) or 0).bit_count()
    return All(noun, count if count in NUMBERS and rng.chance(0.5) else None)


def _negation(world: World, rng: SeededRandom, kind: str) -> Program | None:
    attribute, k = rng.weighted((0.15, 0.35, 0.2, 0.3)), rng.below(world.count)
    excluded = world.layout.objects[k].attributes[attribute]
    noun = _loosen(world, rng, _describe(world, rng, k, banned=attribute), 2)
    noun = replace(noun, without=(attribute, excluded))
    left = (noun.evaluate(world) or 0).bit_count()
    if left == 1:
        return The(noun)
    return All(noun) if rng.chance(0.3) else None


def _relation(world: World, rng: SeededRandom, kind: str) -> Program | None:
    pair = _pair(world, rng, kind)
    if pair is None:
        return None
    target, anchor = pair
    nouns = [_unique(world, rng, anchor)]
    if kind == "between":
        others = [k for k in range(world.count) if k not in pair]
        nouns.append(_unique(world, rng, rng.pick(others)) if others else None)
    if None in nouns:
        return None
    anchors = [The(noun) for noun in nouns if noun is not None]
    anchor_set = sum(anchor.evaluate(world) or 0 for anchor in anchors)
    values = _describe(world, rng, target, banned=SAME.get(kind))
    order = rng.shuffled(list(values))
    while ((_noun(values).evaluate(world) or 0) & ~anchor_set).bit_count() < 2 and order:
        values.pop(order.pop())
    return Related(_noun(values), kind, *anchors)


def _pair(world: World, rng: SeededRandom, kind: str) -> tuple[int, int] | None:
    """Draws a target and an anchor; for depth, contact and sameness one of the pairs that exist."""
    if kind in ("front", "behind", "overlapping"):
        pairs = [
            (j, k)
            for k in range(world.count)
            for j in members(world.touching[k])
            if kind == "overlapping" or (j > k) == (kind == "front")
        ]
    elif kind in SAME:
        values = [thing.attributes[SAME[kind]] for thing in world.layout.objects]
        pairs = [(j, k) for k in range(world.count) for j in range(world.count) if j != k and values[j] == values[k]]
    else:
        target = rng.below(world.count)
        anchor = rng.below(world.count - 1)
        return target, anchor + (anchor >= target)
    return rng.pick(pairs) if pairs else None


_BUILDERS: dict[str, Callable[[World, SeededRandom, str], Program | None]] = {
    "attribute": _attribute,
    "location": _location,
    "relation": _relation,
    "ordinal": _ordinal,
    "plural": _plural,
    "negation": _negation,
}


def _qualify(program: Program, world: World, rng: SeededRandom) -> Program:
    """Adds a second qualifier to a program: a region or an exclusion on its noun, or a placed anchor."""
    if isinstance(program, Related) and program.kind != "between" and rng.chance(0.5):
        noun = _loosen(world, rng, _describe(world, rng, rng.below(world.count)), 2)
        anchor: Anchor = Nth(noun, rng.pick(get_args(Direction)))
        return replace(program, anchor=anchor)
    noun = program.noun
    if noun.region is None and rng.chance(0.5):
        return replace(program, noun=replace(noun, region=rng.pick(("left", "right", "top", "bottom"))))
    free = [a for a, value in enumerate(noun.attributes) if value is None]
    if noun.without is None and free:
        attribute = rng.pick(free)
        if (
            not (isinstance(program, BySize) and attribute == SIZE)
            and SAME.get(getattr(program, "kind", "")) != attribute
        ):
            value = rng.pick(world.layout.objects).attributes[attribute]
            return replace(program, noun=replace(noun, without=(attribute, value)))
    return program


# Words ----------------------------------------------------------------------------------------------------------------


def plural(noun: str) -> str:
    """Returns the plural of a shape's name."""
    return noun + ("es" if noun.endswith(("s", "x")) else "s")


def _one(rng: SeededRandom, words: Mapping[str, tuple[str, ...]], name: str) -> str:
    return rng.pick(words.get(name, (name,)))


def say_noun(noun: Noun, rng: SeededRandom, many: bool = False) -> str:
    """Writes a noun phrase without article: [size] [material] [colour] noun, the latter two sometimes after it."""
    head = rng.pick(ANYTHING) if noun.shape is None else _one(rng, SHAPE_WORDS, SHAPES[noun.shape])
    before: list[str] = []
    after: list[str] = []
    is_ = "are" if many else "is"
    if noun.size is not None:
        before.append(_one(rng, SIZE_WORDS, SIZES[noun.size]))
    if noun.material is not None:
        name = tuple(MATERIAL_BEFORE)[noun.material]
        late = rng.chance(0.35)
        (after if late else before).append(_one(rng, MATERIAL_AFTER if late else MATERIAL_BEFORE, name))
    if noun.colour is not None:
        word = _one(rng, COLOUR_WORDS, COLOURS[noun.colour])
        if rng.chance(0.12):
            after.append(f"that {is_} {word}")
        else:
            before.append(word)
    if noun.without is not None:
        _say_without(noun.without, rng, many, before, after)
    phrase = " ".join([*before, plural(head) if many else head, *after])
    return rng.pick(REGIONS[noun.region]).format(phrase) if noun.region is not None else phrase


def _say_without(without: tuple[int, int], rng: SeededRandom, many: bool, before: list[str], after: list[str]) -> None:
    attribute, value = without
    is_ = "are" if many else "is"
    if attribute == SHAPE:
        word = _one(rng, SHAPE_WORDS, SHAPES[value])
        after.append(f"that {is_} not {plural(word) if many else 'a ' + word}")
        return
    if attribute == COLOUR:
        word = _one(rng, COLOUR_WORDS, COLOURS[value])
    elif attribute == SIZE:
        word = _one(rng, SIZE_WORDS, SIZES[value])
    else:
        name = tuple(MATERIAL_BEFORE)[value]
        if NO_MATERIAL[name] and rng.chance(0.4):
            after.append(rng.pick(NO_MATERIAL[name]))
            return
        word = _one(rng, MATERIAL_BEFORE, name)
    if attribute in (COLOUR, MATERIAL, SIZE) and rng.chance(0.35):
        before.insert(0, f"non {word}")
    else:
        after.append(f"{rng.pick(('that', 'which'))} {is_} not {word}")


def _say_anchor(anchor: Anchor, rng: SeededRandom) -> str:
    if isinstance(anchor, Nth):
        return "the " + rng.pick(SUPERLATIVES[anchor.direction]).format(say_noun(anchor.noun, rng))
    return "the " + say_noun(anchor.noun, rng)


def say(program: Program, rng: SeededRandom) -> str:
    """Writes a program as an English expression."""
    if isinstance(program, All):
        return say_all(say_noun(program.noun, rng, many=True), program.count, rng)
    phrase = say_noun(program.noun, rng)
    if isinstance(program, BySize):
        phrase = f"{rng.pick(LARGEST if program.largest else SMALLEST)} {phrase}"
    elif isinstance(program, Nth):
        if program.counted:
            phrase = f"{ORDINALS[program.n - 1]} {phrase} from the {program.direction}"
        else:
            phrase = rng.pick(SUPERLATIVES[program.direction]).format(phrase)
    elif isinstance(program, Related):
        anchor = _say_anchor(program.anchor, rng)
        if program.second_anchor is not None:
            phrase = f"{phrase} between {anchor} and {_say_anchor(program.second_anchor, rng)}"
        else:
            phrase = f"{phrase} {rng.pick(RELATIONS[program.kind])} {anchor}"
    return say_the(phrase, rng)


def say_all(phrase: str, count: int | None, rng: SeededRandom) -> str:
    """Writes an expression about all objects of a plural phrase; with `count` it states their number."""
    phrase = rng.pick(ALL if count is None else NUMBERS[count]).format(phrase)
    return phrase if rng.chance(0.7) else f"{rng.pick(REQUESTS)} {phrase}"


def say_the(phrase: str, rng: SeededRandom) -> str:
    """Writes an expression about the one object of a phrase."""
    carrier = rng.unit()
    if carrier < 0.5:
        return f"the {phrase}"
    if carrier < 0.625:
        return phrase
    return f"{rng.pick(REQUESTS)} the {phrase}"
