"""Sentences of drawn scenes, taken apart: the phrases that the grammar wrote for each part of a program."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from refseg.datasets.drawn_scenes.grammar import (
    ALL,
    ANYTHING,
    COLOUR_WORDS,
    LARGEST,
    MATERIAL_AFTER,
    MATERIAL_BEFORE,
    NO_MATERIAL,
    NUMBERS,
    ORDINALS,
    REGIONS,
    RELATIONS,
    REQUESTS,
    SHAPE_WORDS,
    SIZE_WORDS,
    SMALLEST,
    SUPERLATIVES,
    plural,
)
from refseg.datasets.drawn_scenes.objects import COLOUR, MATERIAL, SHAPE, SIZE, VALUES
from refseg.datasets.drawn_scenes.programs import All, BySize, Noun, Nth, Program, Related

WHOLE = "{}"
"""Frame that adds nothing."""
_WORDS_OF: tuple[Mapping[str, tuple[str, ...]], ...] = (SHAPE_WORDS, COLOUR_WORDS, SIZE_WORDS, MATERIAL_BEFORE)


def words_of(attribute: int, value: int) -> tuple[str, ...]:
    """Returns the grammar's words for a value of an attribute, as they stand before a noun (or as the noun)."""
    name = VALUES[attribute][value]
    return _WORDS_OF[attribute].get(name, (name,))


def phrases_of_material(value: int) -> tuple[str, ...]:
    """Returns the grammar's phrases for a material, as they stand after a noun."""
    return MATERIAL_AFTER[VALUES[MATERIAL][value]]


def number(word: str, many: bool) -> str:
    """Returns the name of a shape as singular or plural."""
    return plural(word) if many else word


@dataclass(frozen=True, slots=True)
class Part:
    """The words of one attribute of a noun phrase.

    Attributes:
        attribute: index into ATTRIBUTES.
        text: "red", "that is red", "with stripes", "non red".
        word: the word of the value in it; "" where there is none ("with stripes").
        excludes: whether the noun must not have it.
    """

    attribute: int
    text: str
    word: str = ""
    excludes: bool = False

    def with_word(self, word: str) -> "Part":
        """Returns the part with another word for its value."""
        return replace(self, text=re.sub(rf"\b{re.escape(self.word)}$", word, self.text), word=word)


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A noun phrase without article.

    Attributes:
        head: the noun, singular.
        before, after: parts around it.
        place: template of its place in the image, "{} on the left"; WHOLE without one.
        many: whether it is plural.
    """

    head: str
    before: tuple[Part, ...] = ()
    after: tuple[Part, ...] = ()
    place: str = WHOLE
    many: bool = False

    def __str__(self) -> str:
        parts = (
            *(part.text for part in self.before),
            number(self.head, self.many),
            *(part.text for part in self.after),
        )
        return self.place.format(" ".join(parts))

    def part(self, attribute: int, excludes: bool = False) -> Part | None:
        """Returns the part that names an attribute, or excludes one of its values."""
        found = (one for one in self.before + self.after if (one.attribute, one.excludes) == (attribute, excludes))
        return next(found, None)

    def without(self, part: Part) -> "NounPhrase":
        """Returns the phrase without a part."""
        before, after = (tuple(one for one in parts if one is not part) for parts in (self.before, self.after))
        return replace(self, before=before, after=after)

    def replaced(self, part: Part, other: Part) -> "NounPhrase":
        """Returns the phrase with another part in the place of one."""
        before, after = (tuple(other if one is part else one for one in parts) for parts in (self.before, self.after))
        return replace(self, before=before, after=after)


@dataclass(frozen=True, slots=True)
class Wording:
    """A sentence as the grammar wrote it.

    Attributes:
        opening: all before the phrase: "find the ", "both ".
        phrases: noun phrases of the referent and of the anchors.
        frames: a template for each of them: "leftmost {}", "second {} from the left".
        relation: words between the referent and its anchor, "left of"; "between" if there are two anchors.
    """

    opening: str
    phrases: tuple[NounPhrase, ...]
    frames: tuple[str, ...]
    relation: str = ""

    def __str__(self) -> str:
        first, *anchors = (frame.format(phrase) for frame, phrase in zip(self.frames, self.phrases, strict=True))
        if not anchors:
            return self.opening + first
        return f"{self.opening}{first} {self.relation} {' and '.join(f'the {anchor}' for anchor in anchors)}"

    def with_phrase(self, place: int, phrase: NounPhrase) -> "Wording":
        """Returns the sentence with another noun phrase in this place."""
        return replace(self, phrases=(*self.phrases[:place], phrase, *self.phrases[place + 1 :]))

    def with_frame(self, place: int, frame: str) -> "Wording":
        """Returns the sentence with another template around the noun phrase in this place."""
        return replace(self, frames=(*self.frames[:place], frame, *self.frames[place + 1 :]))


def take_apart(text: str, program: Program) -> Wording | None:
    """Finds the phrases of a sentence that the grammar wrote for a program; None if it did not write it so.

    >>> from refseg.datasets.drawn_scenes.programs import The
    >>> wording = take_apart("find the small ring that is red", The(Noun(shape=4, colour=0, size=0)))
    >>> wording.opening, wording.phrases[0].head, [part.word for part in wording.phrases[0].after]
    ('find the ', 'ring', ['red'])
    """
    many = isinstance(program, All)
    opening = next((one for one in _openings(program) if text.startswith(one)), None)
    if opening is None:
        return None
    texts, relation = [text.removeprefix(opening)], ""
    if isinstance(program, Related):
        found = _relation_pattern(program).fullmatch(texts[0])
        if found is None:
            return None
        names = [name for name in ("first", "anchor", "second") if name in found.re.groupindex]
        texts, relation = [found[name] for name in names], found["relation"]
    frames, phrases = [], []
    for part, about in zip(texts, meanings(program), strict=True):
        for frame in _frames(about):
            inner = unframed(part, frame)
            phrase = None if inner is None else _noun_phrase(inner, about.noun, many)
            if phrase is not None:
                frames.append(frame)
                phrases.append(phrase)
                break
    if len(phrases) < len(texts):
        return None
    wording = Wording(opening, tuple(phrases), tuple(frames), relation)
    return wording if str(wording) == text else None


def meanings(program: Program) -> list[Program]:
    """Returns the program itself and those of its anchors, in the order of a sentence's noun phrases."""
    if not isinstance(program, Related):
        return [program]
    return [program, *program.anchors]


def with_noun(program: Program, place: int, noun: Noun) -> Program:
    """Returns a program with another noun in this place of `meanings`."""
    if place == 0:
        return replace(program, noun=noun)
    assert isinstance(program, Related)
    name = "anchor" if place == 1 else "second_anchor"
    return replace(program, **{name: replace(meanings(program)[place], noun=noun)})  # type: ignore[arg-type]


def unframed(text: str, frame: str) -> str | None:
    """Returns what stands in a template's gap; None if the text is not of this template.

    >>> unframed("second star from the left", "second {} from the left")
    'star'
    """
    start, end = frame.split("{}")
    if len(text) <= len(start) + len(end) or not (text.startswith(start) and text.endswith(end)):
        return None
    return text[len(start) : len(text) - len(end)]


def grammar_words() -> frozenset[str]:
    """Returns all words that the grammar of drawn scenes can write."""
    tables: list[Iterable[str]] = [
        *(words_of(attribute, value) for attribute, names in enumerate(VALUES) for value in range(len(names))),
        *(table[name] for table in (MATERIAL_AFTER, NO_MATERIAL) for name in table),
        *SUPERLATIVES.values(),
        *REGIONS.values(),
        *RELATIONS.values(),
        *NUMBERS.values(),
    ]
    heads = [*ANYTHING, *(word for value in range(len(VALUES[SHAPE])) for word in words_of(SHAPE, value))]
    singles = "non that which is are not a between and from the left right top bottom".split()
    tables += [ALL, REQUESTS, ORDINALS, LARGEST, SMALLEST, heads, map(plural, heads), singles]
    return frozenset(word for table in tables for text in table for word in re.findall(r"[a-z]+", text))


def _openings(program: Program) -> Iterator[str]:
    """Yields what a sentence of this program may begin with, the longest first."""
    if isinstance(program, All):
        frames = ALL if program.count is None else NUMBERS[program.count]
        starts = sorted((frame.removesuffix(WHOLE) for frame in frames), key=len, reverse=True)
        yield from (f"{request} {start}" for request in REQUESTS for start in starts)
        yield from starts
    else:
        yield from (f"{request} the " for request in REQUESTS)
        yield from ("the ", "")


def _relation_pattern(program: Related) -> re.Pattern[str]:
    if program.second_anchor is not None:
        return re.compile(r"(?P<first>.+) (?P<relation>between) the (?P<anchor>.+) and the (?P<second>.+)")
    words = "|".join(sorted(map(re.escape, RELATIONS[program.kind]), key=len, reverse=True))
    return re.compile(rf"(?P<first>.+?) (?P<relation>{words}) the (?P<anchor>.+)")


def _frames(program: Program) -> Iterator[str]:
    if isinstance(program, BySize):
        yield from (f"{word} {{}}" for word in (LARGEST if program.largest else SMALLEST))
    elif isinstance(program, Nth) and program.counted:
        yield f"{ORDINALS[program.n - 1]} {{}} from the {program.direction}"
    elif isinstance(program, Nth):
        yield from SUPERLATIVES[program.direction]
    else:
        yield WHOLE


def _noun_phrase(text: str, noun: Noun, many: bool) -> NounPhrase | None:
    places = (WHOLE,) if noun.region is None else REGIONS[noun.region]
    for place in places:
        inner = unframed(text, place)
        phrase = None if inner is None else _without_place(inner, noun, many)
        if phrase is not None:
            return replace(phrase, place=place)
    return None


def _without_place(text: str, noun: Noun, many: bool) -> NounPhrase | None:
    heads = ANYTHING if noun.shape is None else words_of(SHAPE, noun.shape)
    words = text.split()
    at = next((i for i, word in enumerate(words) for head in heads if word == number(head, many)), None)
    if at is None:
        return None
    head = next(head for head in heads if number(head, many) == words[at])
    before = _parts(" ".join(words[:at]), list(_parts_before(noun)))
    after = _parts(" ".join(words[at + 1 :]), list(_parts_after(noun, many)))
    if before is None or after is None or len(before) + len(after) != _count_parts(noun):
        return None
    return NounPhrase(head, before, after, many=many)


def _count_parts(noun: Noun) -> int:
    return sum(value is not None for value in (*noun.attributes[1:], noun.without))


def _parts(text: str, possible: list[Part]) -> tuple[Part, ...] | None:
    """Splits a text into some of the possible parts; None if it holds anything else."""
    found: list[Part] = []
    while text:
        part = next((one for one in possible if text == one.text or text.startswith(f"{one.text} ")), None)
        if part is None:
            return None
        found.append(part)
        text = text[len(part.text) :].lstrip()
    return tuple(found)


def _parts_before(noun: Noun) -> Iterator[Part]:
    for attribute in (COLOUR, SIZE, MATERIAL):
        value = noun.attributes[attribute]
        if value is not None:
            yield from (Part(attribute, word, word) for word in words_of(attribute, value))
    if noun.without is not None and noun.without[0] != SHAPE:
        yield from (Part(noun.without[0], f"non {word}", word, True) for word in words_of(*noun.without))


def _parts_after(noun: Noun, many: bool) -> Iterator[Part]:
    is_ = "are" if many else "is"
    if noun.material is not None:
        yield from (Part(MATERIAL, text) for text in phrases_of_material(noun.material))
    if noun.colour is not None:
        yield from (Part(COLOUR, f"that {is_} {word}", word) for word in words_of(COLOUR, noun.colour))
    if noun.without is not None:
        yield from excluding_parts(noun.without, many)


def excluding_parts(without: tuple[int, int], many: bool) -> Iterator[Part]:
    """Yields the grammar's ways of excluding a value of an attribute after a noun."""
    attribute, value = without
    is_ = "are" if many else "is"
    for word in words_of(attribute, value):
        if attribute == SHAPE:
            text = number(word, True) if many else f"a {word}"
            yield Part(attribute, f"that {is_} not {text}", number(word, many), True)
        else:
            yield from (Part(attribute, f"{that} {is_} not {word}", word, True) for that in ("that", "which"))
    if attribute == MATERIAL:
        yield from (Part(attribute, text, excludes=True) for text in NO_MATERIAL[VALUES[MATERIAL][value]])


def request_of(opening: str) -> str:
    """Returns the request that an opening holds.

    >>> request_of("find all the "), request_of("all the ")
    ('find ', '')
    """
    return next((f"{request} " for request in REQUESTS if opening.startswith(f"{request} ")), "")
