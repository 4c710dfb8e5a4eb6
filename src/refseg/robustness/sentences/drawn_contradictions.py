"""Other meanings in nearly the same words: changes of drawn sentences whose new program is evaluated on the scene."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from refseg.datasets.drawn_scenes.grammar import (
    ANYTHING,
    LARGEST,
    ORDINALS,
    REGIONS,
    RELATIONS,
    SMALLEST,
    SUPERLATIVES,
)
from refseg.datasets.drawn_scenes.objects import ATTRIBUTES, COLOUR, MATERIAL, SHAPE, SIZE, VALUES, SeededRandom
from refseg.datasets.drawn_scenes.programs import (
    SAME,
    All,
    BySize,
    Direction,
    Noun,
    Nth,
    Objects,
    Program,
    Related,
    The,
    World,
    members,
    single,
)
from refseg.robustness.sentences.drawn_wording import (
    WHOLE,
    NounPhrase,
    Part,
    Wording,
    excluding_parts,
    meanings,
    number,
    phrases_of_material,
    request_of,
    with_noun,
    words_of,
)
from refseg.robustness.sentences.question import Change, Drawn
from refseg.text.left_right import mirrored

MIRRORED = {"left": "right", "right": "left", "top left": "top right", "top right": "top left"} | {
    "bottom left": "bottom right",
    "bottom right": "bottom left",
}
OPPOSITE = {
    "top": "bottom",
    "top left": "bottom left",
    "top right": "bottom right",
    "above": "below",
    "nearest": "farthest",
    "front": "behind",
}
OPPOSITE |= {other: one for one, other in OPPOSITE.items()}
_ACROSS = {"left": "right", "right": "left", "above": "below", "below": "above"}
ABSENT_NOUNS = ("giraffe", "umbrella", "bicycle", "dog", "truck", "chair", "laptop", "horse")
"""Nouns for what is never drawn."""
ABSENT_WORDS = {COLOUR: ("pink", "brown"), MATERIAL: ("checkered", "transparent")}
"""Attributes that nothing drawn has."""

_Found = tuple[str, str, Objects]
"""Form of a change, the sentence, and what it refers to."""


def left_right(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Swaps all lefts and rights."""
    text = mirrored(str(drawn.wording))
    if text == str(drawn.wording):
        return None
    return _contradiction(drawn, "", text, fair(drawn.world, _mirrored_program(drawn.program)))


def _mirrored_program(program: Program) -> Any:
    changed: dict[str, Any] = {"noun": replace(program.noun, region=_of(MIRRORED, program.noun.region))}
    if isinstance(program, Nth):
        changed["direction"] = _of(MIRRORED, program.direction)
    if isinstance(program, Related):
        changed["kind"] = _of(MIRRORED, program.kind)
        changed["anchor"] = _mirrored_program(program.anchor)
        if program.second_anchor is not None:
            changed["second_anchor"] = _mirrored_program(program.second_anchor)
    return replace(program, **changed)


def _of(table: dict[str, str], name: Any) -> Any:
    return table.get(name, name)


def opposite(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Turns one place, relation or extreme into its opposite: top, above, nearest, in front of, largest."""
    changes = _opposites(drawn.wording, drawn.program)
    return _pick(drawn, [(form, text, fair(drawn.world, other)) for form, text, other in changes], rng)


def _opposites(wording: Wording, program: Program) -> Iterator[tuple[str, str, Program]]:
    for place, (phrase, meaning) in enumerate(zip(wording.phrases, meanings(program), strict=True)):
        noun = meaning.noun
        if noun.region in OPPOSITE:
            other = OPPOSITE[noun.region]
            changed = replace(phrase, place=_like(REGIONS[noun.region], phrase.place, REGIONS[other]))
            turned = with_noun(program, place, replace(noun, region=other))  # type: ignore[arg-type]
            yield "region", str(wording.with_phrase(place, changed)), turned
        if isinstance(meaning, Nth) and meaning.direction in OPPOSITE:
            other = OPPOSITE[meaning.direction]
            frame = wording.frames[place]
            if meaning.counted:
                frame = frame.replace(meaning.direction, other)
            else:
                frame = _like(SUPERLATIVES[meaning.direction], frame, SUPERLATIVES[other])
            turned = _with_meaning(program, place, replace(meaning, direction=other))  # type: ignore[arg-type]
            yield "superlative", str(wording.with_frame(place, frame)), turned
        if isinstance(meaning, BySize):
            words = (LARGEST, SMALLEST) if meaning.largest else (SMALLEST, LARGEST)
            word = _like(words[0], wording.frames[place].removesuffix(f" {WHOLE}"), words[1])
            turned = _with_meaning(program, place, replace(meaning, largest=not meaning.largest))
            yield "size", str(wording.with_frame(place, f"{word} {WHOLE}")), turned
    if isinstance(program, Related) and program.kind in OPPOSITE:
        other = OPPOSITE[program.kind]
        relation = _like(RELATIONS[program.kind], wording.relation, RELATIONS[other])
        yield "relation", str(replace(wording, relation=relation)), replace(program, kind=other)


def _like(words: tuple[str, ...], word: str, others: tuple[str, ...]) -> str:
    """Returns the word of the opposite that stands where this one stands in its list."""
    return others[min(words.index(word), len(others) - 1)]


def _with_meaning(program: Program, place: int, meaning: Any) -> Any:
    if place == 0:
        return meaning
    return replace(program, **{"anchor" if place == 1 else "second_anchor": meaning})


def rank(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Asks for another rank: the third from the left in place of the second."""
    changes = []
    for place, meaning in enumerate(meanings(drawn.program)):
        if isinstance(meaning, Nth) and meaning.counted:
            for n in {meaning.n - 1, meaning.n + 1} & set(range(1, len(ORDINALS) + 1)):
                frame = drawn.wording.frames[place].replace(ORDINALS[meaning.n - 1], ORDINALS[n - 1])
                text = str(drawn.wording.with_frame(place, frame))
                other = _with_meaning(drawn.program, place, replace(meaning, n=n))
                changes.append(("", text, fair(drawn.world, other)))
    return _pick(drawn, changes, rng)


# Attributes and nouns -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Swap:
    """Another value in the place of one that is said.

    Attributes:
        place: of the noun phrase, 0 for the referent's.
        attribute, value: indices of what is said in place of the other.
        program: the meaning with it.
    """

    place: int
    attribute: int
    value: int
    program: Program

    def change(self, drawn: Drawn, objects: Objects, rng: SeededRandom) -> Change | None:
        """Returns the sentence with the other value; `objects` is what it refers to."""
        phrase = _with_value(drawn.wording.phrases[self.place], self.attribute, self.value, rng)
        text = str(drawn.wording.with_phrase(self.place, phrase))
        return _contradiction(drawn, _form(self.attribute, self.place), text, objects)


def attribute(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Replaces one attribute or shape such that another object is meant."""
    for swap in rng.shuffled(list(_swaps(drawn, range(len(ATTRIBUTES))))):
        objects = fair(drawn.world, swap.program)
        if objects and objects != drawn.referents:
            return swap.change(drawn, objects, rng)
    return None


def absent_attribute(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Replaces one colour, size or pattern such that nothing is meant any more."""
    foreign = []
    for place, phrase in enumerate(drawn.wording.phrases):
        for part in phrase.before + phrase.after:
            if part.attribute in ABSENT_WORDS and not part.excludes:
                other = phrase.replaced(part, _part_like(part, rng.pick(ABSENT_WORDS[part.attribute])))
                foreign.append((_form(part.attribute, place), drawn.wording.with_phrase(place, other)))
    return _vanished(drawn, foreign, list(_swaps(drawn, (COLOUR, SIZE, MATERIAL))), rng)


def absent_noun(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Replaces one noun by that of a thing that is not there."""
    foreign = []
    for place, phrase in enumerate(drawn.wording.phrases):
        other = replace(phrase, head=rng.pick(ABSENT_NOUNS))
        foreign.append((_form(SHAPE, place), drawn.wording.with_phrase(place, other)))
    return _vanished(drawn, foreign, list(_swaps(drawn, (SHAPE,), anything=True)), rng)


def _vanished(drawn: Drawn, foreign: list[tuple[str, Wording]], swaps: list[_Swap], rng: SeededRandom) -> Change | None:
    """Chooses among sentences with words that fit nothing drawn, and with words that fit nothing in this scene."""
    if not drawn.referents:
        return None
    if not foreign or rng.chance(0.5):
        for swap in rng.shuffled(swaps):
            if swap.program.evaluate(drawn.world) == 0:
                return swap.change(drawn, 0, rng)
    if not foreign:
        return None
    form, wording = rng.pick(foreign)
    return Change(str(wording), "vanish", form=form)


def _form(attribute: int, place: int) -> str:
    return f"{ATTRIBUTES[attribute]} of the {'anchor' if place else 'referent'}"


def _swaps(drawn: Drawn, attributes: Iterable[int], anything: bool = False) -> Iterator[_Swap]:
    """Yields each value that could stand in place of one that is said.

    Args:
        drawn: the expression.
        attributes: indices into ATTRIBUTES.
        anything: whether "thing" is replaced by shapes, too.
    """
    for place, meaning in enumerate(meanings(drawn.program)):
        noun = meaning.noun
        for attribute in attributes:
            said = noun.attributes[attribute]
            for value in range(len(VALUES[attribute])):
                if value != said and noun.without != (attribute, value) and (said is not None or anything):
                    values: dict[str, Any] = {ATTRIBUTES[attribute]: value}
                    yield _Swap(place, attribute, value, with_noun(drawn.program, place, replace(noun, **values)))


def _with_value(phrase: NounPhrase, attribute: int, value: int, rng: SeededRandom) -> NounPhrase:
    if attribute == SHAPE:
        return replace(phrase, head=rng.pick(words_of(SHAPE, value)))
    part = phrase.part(attribute)
    assert part is not None
    if part.word:
        return phrase.replaced(part, part.with_word(rng.pick(words_of(attribute, value))))
    return phrase.replaced(part, replace(part, text=rng.pick(phrases_of_material(value))))


def _part_like(part: Part, word: str) -> Part:
    """Returns a part with a foreign word; "with stripes" becomes "with checks"."""
    return part.with_word(word) if part.word else replace(part, text="with checks")


# Negation and number --------------------------------------------------------------------------------------------------


def negation(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Negates what is said of the referent, excludes what it has, or takes a "not" away."""
    changes = [*_affirmed(drawn), *_negated(drawn, rng), *_excluded(drawn, rng), *_not_there(drawn)]
    forms = sorted({form for form, *_ in changes})
    for form in rng.shuffled(forms):
        change = _pick(drawn, [one for one in changes if one[0] == form], rng)
        if change is not None:
            return change
    return None


def _affirmed(drawn: Drawn) -> Iterator[_Found]:
    """Yields the sentence without its "not"."""
    phrase, noun = drawn.wording.phrases[0], drawn.program.noun
    if noun.without is None:
        return
    attribute, value = noun.without
    part = phrase.part(attribute, excludes=True)
    assert part is not None
    text = re.sub(r"\bnon |\bnot ", "", part.text).replace("without ", "with ")
    other = phrase.replaced(part, replace(part, text=text, excludes=False))
    values: dict[str, Any] = {ATTRIBUTES[attribute]: value, "without": None}
    program = with_noun(drawn.program, 0, replace(noun, **values))
    yield "not removed", str(drawn.wording.with_phrase(0, other)), fair(drawn.world, program)


def _negated(drawn: Drawn, rng: SeededRandom) -> Iterator[_Found]:
    """Yields sentences that exclude an attribute of the referent in place of naming it."""
    noun = drawn.program.noun
    if noun.without is not None:
        return
    for attribute, value in enumerate(noun.attributes):
        if value is not None:
            values: dict[str, Any] = {ATTRIBUTES[attribute]: None, "without": (attribute, value)}
            yield from _with_exclusion(drawn, "not added", replace(noun, **values), rng)


def _excluded(drawn: Drawn, rng: SeededRandom) -> Iterator[_Found]:
    """Yields sentences that exclude an attribute which the one referent has and the sentence does not name."""
    noun, referents = drawn.program.noun, members(drawn.referents)
    if noun.without is not None or len(referents) != 1:
        return
    values = drawn.world.layout.objects[referents[0]].attributes
    for attribute, value in enumerate(values):
        if noun.attributes[attribute] is None:
            yield from _with_exclusion(drawn, "referent excluded", replace(noun, without=(attribute, value)), rng)


def _with_exclusion(drawn: Drawn, form: str, noun: Noun, rng: SeededRandom) -> Iterator[_Found]:
    """Yields a sentence about the other noun, in the plural where several objects are left."""
    assert noun.without is not None
    program, phrase, wording = drawn.program, drawn.wording.phrases[0], drawn.wording
    attribute = noun.without[0]
    if isinstance(program, Related) and SAME.get(program.kind) == attribute:
        return  # the relation says that it has it
    program = with_noun(program, 0, noun)
    if isinstance(program, The | All):
        left = noun.evaluate(drawn.world) or 0
        is_plural = left.bit_count() > 1 or (not left and isinstance(program, All))
        program = All(noun) if is_plural else The(noun)
    many = isinstance(program, All)
    if isinstance(drawn.program, The | All):
        wording = replace(wording, opening=request_of(wording.opening) + ("all " if many else "the "))
    said = phrase.part(attribute)
    if noun.shape is None and drawn.program.noun.shape is not None:
        phrase = replace(phrase, head=rng.pick(ANYTHING))
    elif said is not None and noun.attributes[attribute] is None:
        phrase = phrase.without(said)
    after = tuple(_inflected(part, many) for part in phrase.after)
    goes_on = len(wording.phrases) > 1 or not (wording.frames[0].endswith(WHOLE) and phrase.place.endswith(WHOLE))
    if not after and not goes_on:
        phrase = replace(phrase, after=(rng.pick(list(excluding_parts(noun.without, many))),), many=many)
    elif attribute == SHAPE:
        return  # "not a ring above the star" would exclude rings there only
    else:
        word = rng.pick(words_of(*noun.without))
        part = Part(attribute, f"non {word}", word, True)
        phrase = replace(phrase, before=(*phrase.before, part), after=after, many=many)
    yield form, str(wording.with_phrase(0, phrase)), fair(drawn.world, program)


def _inflected(part: Part, many: bool) -> Part:
    was, is_ = (" is ", " are ") if many else (" are ", " is ")
    return replace(part, text=part.text.replace(was, is_))


def _not_there(drawn: Drawn) -> Iterator[_Found]:
    """Yields sentences about what is not on a side, of the image or of an anchor."""
    program, wording, world = drawn.program, drawn.wording, drawn.world
    phrase, noun = wording.phrases[0], program.noun
    if isinstance(program, The) and noun.region is not None and phrase.place.startswith(f"{WHOLE} "):
        inside, everywhere = noun.evaluate(world), replace(noun, region=None).evaluate(world)
        if inside is not None and everywhere is not None:
            place = f"{WHOLE} that is not {phrase.place.removeprefix(f'{WHOLE} ')}"
            text = str(wording.with_phrase(0, replace(phrase, place=place)))
            yield "not there", text, single(everywhere & ~inside)
    if isinstance(program, Related) and program.kind in _ACROSS:
        anchor = program.anchor.evaluate(world)
        if anchor and not anchor & (noun.evaluate(world) or 0):  # nothing is left of itself
            text = str(replace(wording, relation=f"that is not {wording.relation}"))
            yield "not there", text, fair(world, replace(program, kind=_ACROSS[program.kind]))


def plural(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Asks for all in place of the extreme one, or for an extreme one in place of all."""
    program, wording = drawn.program, drawn.wording
    phrase, noun, request = wording.phrases[0], program.noun, request_of(wording.opening)
    if isinstance(program, Nth | BySize):
        phrase = replace(phrase, after=tuple(_inflected(part, True) for part in phrase.after), many=True)
        text = f"{request}all {phrase}"
        return _contradiction(drawn, "all for one", text, fair(drawn.world, All(noun)))
    if isinstance(program, All) and noun.region is None:
        after = _as_one(tuple(_inflected(part, False) for part in phrase.after))
        phrase = replace(phrase, after=after, many=False)
        changes = [
            (
                "one for all",
                f"{request}the {SUPERLATIVES[side][0].format(phrase)}",
                fair(drawn.world, Nth(noun, side)),
            )
            for side in get_args(Direction)
        ]
        return _pick(drawn, changes, rng)
    return None


def _as_one(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Returns parts whose "not circles" is "not a circle"."""
    return tuple(
        replace(
            part, text=re.sub(r"\S+$", f"a {_singular_shape(part.word)}", part.text), word=_singular_shape(part.word)
        )
        if part.attribute == SHAPE
        else part
        for part in parts
    )


def _singular_shape(word: str) -> str:
    shapes = (one for value in range(len(VALUES[SHAPE])) for one in words_of(SHAPE, value))
    return next((one for one in shapes if number(one, True) == word), word)


# Choosing -------------------------------------------------------------------------------------------------------------


def fair(world: World, program: Program) -> Objects:
    """Evaluates a program; open where its sentence would presuppose that there are several, and there is one."""
    candidates = program.noun.evaluate(world) or 0
    compares = isinstance(program, All | BySize) or (isinstance(program, Nth) and program.n == 1)
    if isinstance(program, Related) and program.kind in ("nearest", "farthest"):
        compares = True
        candidates &= ~(program.anchor.evaluate(world) or 0)
    return None if compares and candidates.bit_count() == 1 else program.evaluate(world)


def _contradiction(drawn: Drawn, form: str, text: str, objects: Objects) -> Change | None:
    """Returns a change whose sentence has another meaning; None if the scene leaves it open, or it is the same."""
    if objects is None or objects == drawn.referents:
        return None
    return Change(text, "change" if objects else "vanish", objects or None, form=form)


def _pick(drawn: Drawn, changes: Sequence[_Found], rng: SeededRandom) -> Change | None:
    found = (_contradiction(drawn, *change) for change in rng.shuffled(changes))
    return next((change for change in found if change is not None), None)
