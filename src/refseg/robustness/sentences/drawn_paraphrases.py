"""The same meaning in other words: changes of drawn sentences that leave their program as it is."""

from collections.abc import Iterator
from dataclasses import replace

from refseg.datasets.drawn_scenes.grammar import (
    ANYTHING,
    LARGEST,
    NUMBERS,
    REGIONS,
    RELATIONS,
    SMALLEST,
    SUPERLATIVES,
)
from refseg.datasets.drawn_scenes.objects import COLOUR, SHAPE, SeededRandom
from refseg.datasets.drawn_scenes.programs import All, BySize, Noun, Nth, Program, Related
from refseg.robustness.sentences.drawn_wording import (
    WHOLE,
    NounPhrase,
    Part,
    Wording,
    meanings,
    number,
    request_of,
    words_of,
)
from refseg.robustness.sentences.question import Change, Drawn

NEW_SYNONYMS = {
    "thing": ("item",),
    "object": ("item",),
    "shape": ("item",),
    "ring": ("annulus",),
    "red": ("scarlet",),
    "cyan": ("aqua",),
    "small": ("mini",),
    "large": ("enormous", "giant"),
    "striped": ("stripy", "stripey"),
    "dotted": ("polka-dotted", "spotty"),
    "plain": ("patternless",),
    "largest": ("hugest",),
    "smallest": ("littlest",),
}
"""Words outside of the grammar that mean the same in a drawn scene."""

_CONVERSES = {
    "left": ("with the {} on its right", "that has the {} to its right"),
    "right": ("with the {} on its left", "that has the {} to its left"),
    "above": ("with the {} below it", "that has the {} below it"),
    "below": ("with the {} above it", "that has the {} above it"),
    "front": ("that partly covers the {}", "that hides a part of the {}"),
    "behind": ("that is partly covered by the {}", "that the {} partly hides"),
    "overlapping": ("that is touched by the {}", "that touches the {}"),
}
"""The relation said from the other side, or as active and passive, in place of relation and article."""
_OTHER_RELATIONS = {
    "left": ("on the left-hand side of", "further left than"),
    "right": ("on the right-hand side of", "further right than"),
    "above": ("higher up than",),
    "below": ("underneath", "lower down than"),
    "nearest": ("that is closest to", "at the shortest distance from"),
    "farthest": ("that is furthest from", "at the greatest distance from"),
    "front": ("partially covering",),
    "behind": ("partially hidden by", "partly covered by"),
    "overlapping": ("in contact with",),
    "same_colour": ("that has the same colour as", "sharing the colour of"),
    "same_pattern": ("that has the same pattern as", "sharing the pattern of"),
    "same_shape": ("that has the same shape as", "sharing the shape of"),
    "between": ("in between", "that lies between"),
}
_OTHER_SUPERLATIVES = {
    "left": ("{} farthest to the left", "first {} from the left"),
    "right": ("{} farthest to the right", "first {} from the right"),
    "top": ("uppermost {}", "first {} from the top"),
    "bottom": ("lowermost {}", "first {} from the bottom"),
}
_SIDE_REGIONS = {
    "left": ("{} in the left half of the image", "{} on the left-hand side"),
    "right": ("{} in the right half of the image", "{} on the right-hand side"),
    "top": ("{} in the upper half of the image",),
    "bottom": ("{} in the lower half of the image",),
}
_COUNT_WORDS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SHORT_ORDINALS = ("1st", "2nd", "3rd", "4th")


def synonyms(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Replaces one noun, attribute or superlative by a synonym."""
    known, new = [], []
    for place, (phrase, meaning) in enumerate(zip(drawn.wording.phrases, meanings(drawn.program), strict=True)):
        for word, words, put in _replaceable(drawn.wording, place, phrase, meaning):
            known += [put(other) for other in words if other != word]
            new += [put(other) for other in NEW_SYNONYMS.get(words[0], ())]
    choices = known if known and (not new or rng.chance(0.5)) else new
    return Change(str(rng.pick(choices))) if choices else None


def _replaceable(wording: Wording, place: int, phrase: NounPhrase, meaning: Program) -> Iterator[tuple]:
    """Yields each word that has synonyms, the synonyms with it, and what puts another in its place."""
    noun = meaning.noun
    heads = ANYTHING if noun.shape is None else words_of(SHAPE, noun.shape)
    yield phrase.head, heads, lambda word: wording.with_phrase(place, replace(phrase, head=word))
    for part in phrase.before + phrase.after:
        value = noun.without[1] if part.excludes and noun.without is not None else noun.attributes[part.attribute]
        if value is not None and part.word:
            words = words_of(part.attribute, value)
            if part.attribute == SHAPE:
                words = tuple(number(word, phrase.many) for word in words)

            def put(word: str, part: Part = part) -> Wording:
                return wording.with_phrase(place, phrase.replaced(part, part.with_word(word)))

            yield part.word, words, put
    if isinstance(meaning, BySize):
        words = LARGEST if meaning.largest else SMALLEST
        frame = wording.frames[place]
        yield frame.removesuffix(f" {WHOLE}"), words, lambda word: wording.with_frame(place, f"{word} {WHOLE}")


def adjective_order(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Puts the attributes before one noun into another order."""
    choices = []
    for place, phrase in enumerate(drawn.wording.phrases):
        before = phrase.before
        if len(before) < 2 or any(part.excludes for part in before):  # "non small red ring" would exclude both
            continue
        turned = before[::-1] if len(before) == 2 or rng.chance(0.5) else (*before[1:], before[0])
        choices.append(drawn.wording.with_phrase(place, replace(phrase, before=turned)))
    return Change(str(rng.pick(choices))) if choices else None


def relative_clause(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Turns an attribute before a noun into a clause behind it, or back."""
    choices = []
    last = len(drawn.wording.phrases) - 1
    for place, (phrase, meaning) in enumerate(zip(drawn.wording.phrases, meanings(drawn.program), strict=True)):
        whole = drawn.wording
        ends = place == last and whole.frames[place].endswith(WHOLE)  # a clause would belong to what follows
        if ends and phrase.place.endswith(WHOLE):
            choices += [(whole.with_phrase(place, other), "clause") for other in _with_clause(phrase, rng)]
        choices += [(whole.with_phrase(place, other), "prefix") for other in _with_prefix(phrase, meaning.noun, rng)]
    if not choices:
        return None
    wording, form = rng.pick(choices)
    return Change(str(wording), form=form)


def _with_clause(phrase: NounPhrase, rng: SeededRandom) -> Iterator[NounPhrase]:
    are = "are" if phrase.many else "is"
    if phrase.after:
        return
    for part in phrase.before:
        said = f"not {part.word}" if part.excludes else part.word
        clause = replace(part, text=f"{rng.pick(('that', 'which'))} {are} {said}")
        without = phrase.without(part)
        yield replace(without, after=(clause,))


def _with_prefix(phrase: NounPhrase, noun: Noun, rng: SeededRandom) -> Iterator[NounPhrase]:
    for part in phrase.after:
        if part.excludes:
            if part.word and part.attribute != SHAPE:
                moved = replace(part, text=f"non {part.word}")
                yield replace(phrase.without(part), before=(*phrase.before, moved))
        else:
            value = noun.attributes[part.attribute]
            word = part.word or (rng.pick(words_of(part.attribute, value)) if value is not None else "")
            before = list(phrase.before)
            before.insert(
                len(before) - any(one.attribute == COLOUR for one in before), replace(part, text=word, word=word)
            )
            yield replace(phrase.without(part), before=tuple(before))


def place_phrase(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Says a place or a relation in other words."""
    choices = [*_other_places(drawn), *_relations(drawn)]
    if not choices:
        return None
    forms = sorted({form for _, form in choices})
    form = rng.pick(forms)
    return Change(rng.pick([text for text, other in choices if other == form]), form=form)


def _other_places(drawn: Drawn) -> Iterator[tuple[str, str]]:
    for place, (phrase, meaning) in enumerate(zip(drawn.wording.phrases, meanings(drawn.program), strict=True)):
        region = meaning.noun.region
        if region is not None:
            for other in (*REGIONS[region], *_SIDE_REGIONS.get(region, ())):
                if other != phrase.place:
                    yield str(drawn.wording.with_phrase(place, replace(phrase, place=other))), "region"
        if isinstance(meaning, Nth) and not meaning.counted:
            for frame in (*SUPERLATIVES[meaning.direction], *_OTHER_SUPERLATIVES[meaning.direction]):
                ends = place == len(drawn.wording.phrases) - 1 or frame.endswith(WHOLE)
                if frame != drawn.wording.frames[place] and ends:
                    yield str(drawn.wording.with_frame(place, frame)), "superlative"


def _relations(drawn: Drawn) -> Iterator[tuple[str, str]]:
    wording, program = drawn.wording, drawn.program
    if not isinstance(program, Related):
        return
    has_place = not wording.phrases[0].place.endswith(WHOLE)
    for relation in (*RELATIONS.get(program.kind, ()), *_OTHER_RELATIONS[program.kind]):
        if has_place and relation in ("left of", "right of"):
            continue  # "in the upper half right of the star"
        if relation != wording.relation:
            yield str(replace(wording, relation=relation)), "relation"
    if program.kind == "between":
        first, *anchors = wording.phrases
        frame, *frames = wording.frames
        turned = replace(wording, phrases=(first, *anchors[::-1]), frames=(frame, *frames[::-1]))
        yield str(turned), "anchors swapped"
    elif program.kind in _CONVERSES and wording.frames[1].endswith(WHOLE):  # not "with the {} on the far left below it"
        start, end = (str(frame.format(phrase)) for frame, phrase in zip(wording.frames, wording.phrases, strict=True))
        for converse in _CONVERSES[program.kind]:
            yield f"{wording.opening}{start} {converse.format(end)}", "converse"


def number_words(drawn: Drawn, rng: SeededRandom) -> Change | None:
    """Writes a number as a digit or in words, or says how many all are."""
    wording, program = drawn.wording, drawn.program
    choices: list[tuple[str, str]] = []
    for place, meaning in enumerate(meanings(program)):
        if isinstance(meaning, Nth) and meaning.counted:
            side = f"from the {meaning.direction}"
            choices.append((str(wording.with_frame(place, f"{_SHORT_ORDINALS[meaning.n - 1]} {{}} {side}")), "digit"))
            if not wording.phrases[place].after and wording.phrases[place].place.endswith(WHOLE):
                choices += [
                    (str(wording.with_frame(place, f"{{}} number {n} {side}")), form)
                    for n, form in ((str(meaning.n), "digit"), (_COUNT_WORDS[meaning.n], "word"))
                ]
    if isinstance(program, All):
        many = drawn.referents.bit_count()
        phrase, request = wording.phrases[0], request_of(wording.opening)
        if program.count is not None:
            others = [opening.format(phrase) for opening in NUMBERS[program.count]]
            choices += [(request + other, "word") for other in others if request + other != str(wording)]
        if 2 <= many < len(_COUNT_WORDS):
            form = "digit" if program.count is not None else "count added"
            choices.append((f"{request}the {many} {phrase}", form))
            if many > 2:
                choices.append((f"{request}all {many} {phrase}", form))
            if program.count is None:
                choices.append((f"{request}the {_COUNT_WORDS[many]} {phrase}", form))
    if not choices:
        return None
    text, form = rng.pick(choices)
    return Change(text, form=form)
