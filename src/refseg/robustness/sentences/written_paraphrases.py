"""The same meaning in other words: changes of sentences that people wrote, by rules that are safe without the image.

A rule looks at words and their neighbours alone, so each is narrow: where a word may mean something else, it is left.
"""

import re
from collections.abc import Callable, Iterator

from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.readers.nouns import CLASSES, PERSON, classes_of, is_plural
from refseg.readers.words import WORDS
from refseg.robustness.sentences.question import Change, Question

_SYNONYMS = """
man: guy
guy: man
woman: lady
lady: woman
child: kid
kid: child
kids: children
children: kids
couch: sofa
sofa: couch
bicycle: bike
tv: television
television: tv
airplane: plane
taxi: cab
donut: doughnut
doughnut: donut
fridge: refrigerator
refrigerator: fridge
motorcycle: motorbike
motorbike: motorcycle
racket: racquet
racquet: racket
mom: mother
dad: father
gray: grey
grey: gray
small: little
big: large
large: big
tiny: very small
biggest: largest
largest: biggest
smallest: tiniest
closest: nearest
nearest: closest
furthest: farthest
farthest: furthest
pic: picture
photo: picture
"""
_OTHERS = {word: other for word, other in (line.split(": ") for line in _SYNONYMS.strip().splitlines())}
_PARTS_OF_NAMES = {  # words before or after which a word is a part of another name
    "man": ("snow", "police", "fire", "camera", "spider", "bat", "super", "hole", "made", "mail", "stick"),
    "lady": ("bug", "first"),
    "big": ("ben", "bird", "mac"),
    "large": ("at",),
    "couch": ("potato",),
    "small": ("very",),
    "tiny": ("very",),
}

_COLOURS = "red green blue yellow purple pink brown white black grey gray silver beige tan".split()
_COLOUR = f"(?:{'|'.join(_COLOURS)})"
_SIZE = "(?:big|large|small|little|tiny|huge)"
_CLOTHES = "(?:shirt|jacket|coat|dress|suit|sweater|hoodie|vest|uniform|jersey|pants|jeans|shorts|hat|cap|helmet)"
_DRESSED = re.compile(rf"\b(in|wearing) (?=(?:a |the )?(?:{_COLOUR} )?{_CLOTHES}\b)")
_TWO_ADJECTIVES = re.compile(rf"\b({_SIZE}) ({_COLOUR}) (?=([a-z]+))")
_TWO_COLOURS = re.compile(rf"(?<!dark )(?<!light )(?<!bright )\b({_COLOUR}) and ({_COLOUR}) (?=([a-z]+))")
_PICTURES = frozenset("photo picture pic image tv television screen movie".split())
_DRINKS = frozenset("wine beer coffee tea drink beverage champagne soup glass".split())
_COLOURED_THING = re.compile(rf"((?:the )?)({_COLOUR}) ([a-z]+)")
_ACTIONS = (
    "standing sitting walking running eating riding lying laying looking playing jumping leaning kneeling smiling"
    " talking swinging drinking holding wearing crouching squatting reading sleeping grazing"
).split()
_ACTING = re.compile(rf"\b([a-z]+) ((?:(?:who|that|which) (?:is|are) )?)(?=({'|'.join(_ACTIONS)})\b)")
_BEFORE_A_NOUN = frozenset({"FILL", "COLOUR", "SIZE", "SIDE", "SUPERLATIVE", "ORDER", "COUNT", "ALL", "STRESS"})
_SIDE_AT_END = re.compile(r"(?<=[a-z]) on (?:the )?(left|right)( side)?$")
_LEFTMOST = re.compile(r"((?:the )?)(left|right)most ((?:[a-z]+ )?)([a-z]+)")
_BESIDE = re.compile(r"\b(?:next to|beside)(?= (?!last\b|each\b))")
_NEAR = re.compile(r"(?<!\bvery )(?<!\bstanding )\bnear (?=(?:the |a |an )?[a-z])")
_CORNER = re.compile(r"\b(upper|top|lower|bottom)(?= (?:left|right)\b)")
_CORNERS = {"upper": "top", "top": "upper", "lower": "bottom", "bottom": "lower"}
_UNDER = {"beneath": "underneath", "underneath": "beneath", "on top of": "atop", "in the middle": "in the center"}

_COUNT_WORDS = "two three four five six seven eight nine ten".split()
_COUNTS = {word: str(n) for n, word in enumerate(_COUNT_WORDS, start=2)}
_COUNTS |= {digit: word for word, digit in _COUNTS.items()}
_ORDINALS = dict(zip("first second third fourth fifth sixth".split(), "1st 2nd 3rd 4th 5th 6th".split(), strict=True))
_ORDINALS |= {short: word for word, short in _ORDINALS.items()}
_COUNTED = re.compile(rf"(?<![\w#.,])({'|'.join(_COUNTS)}) (?=((?:[a-z]+ ){{0,2}}?)([a-z]+))")
_ORDINAL = re.compile(rf"(?<![\w#])({'|'.join(_ORDINALS)})(?= (?!base|grade|floor|place|class|aid)[a-z])")


def synonyms(question: Question, rng: SeededRandom) -> Change | None:
    """Replaces a common word by one that means the same."""
    words = question.text.split()
    choices = []
    for i, word in enumerate(words):
        around = {*words[max(i - 1, 0) : i], *words[i + 1 : i + 2]}
        if word == "nearest" and i and words[i - 1] != "the" and words[i + 1 : i + 2] != ["to"]:
            continue  # "duck nearest us"
        if word in _OTHERS and around.isdisjoint(_PARTS_OF_NAMES.get(word, ())):
            choices.append(" ".join([*words[:i], _OTHERS[word], *words[i + 1 :]]))
    return Change(rng.pick(choices)) if choices else None


def adjective_order(question: Question, rng: SeededRandom) -> Change | None:
    """Swaps a size and a colour, or two colours that "and" joins, before a noun."""
    text = question.text
    found = _TWO_ADJECTIVES.search(text)
    if found is not None and found[3] not in {"and", "or", "with", "in", "on", *_COLOURS}:
        return Change(f"{text[: found.start()]}{found[2]} {found[1]} {text[found.end() :]}")
    found = _TWO_COLOURS.search(text)
    if found is not None and found[1] != found[2] and found[3] not in _PICTURES and _are_one(text, found):
        return Change(f"{text[: found.start()]}{found[2]} and {found[1]} {text[found.end() :]}")
    return None


def _are_one(text: str, found: re.Match[str]) -> bool:
    """Whether two colours are those of the noun behind them, and not "man in red and white dog"."""
    is_dressed = text[: found.start()].endswith("in ")
    return found[3] not in WORDS and not (is_dressed and classes_of(found[3]))


def relative_clause(question: Question, rng: SeededRandom) -> Change | None:
    """Turns an adjective or a participle into a clause, or back: "man standing" and "man who is standing"."""
    text = question.text
    choices = []
    found = _COLOURED_THING.fullmatch(text)
    if found is not None and _is_thing(found[3]):
        are = is_or_are(found[3])
        choices.append((f"{found[1]}{found[3]} that {are} {found[2]}", "clause"))
    for found in _ACTING.finditer(text):
        if not _begins(text[: found.start()]) or not classes_of(found[1]):
            continue
        if found[2]:
            choices.append((text[: found.start(2)] + text[found.end(2) :], "participle"))
        else:
            who = "who" if classes_of(found[1]) == (PERSON,) else "that"
            are = is_or_are(found[1])
            choices.append((f"{text[: found.start(3)]}{who} {are} {text[found.start(3) :]}", "clause"))
    if _names_person(text):
        for found in _DRESSED.finditer(text):
            other = {"in": "wearing", "wearing": "in"}[found[1]]
            choices.append((text[: found.start(1)] + other + text[found.end(1) :], "clothes"))
    if not choices:
        return None
    other, form = rng.pick(choices)
    return Change(other, form=form)


def is_or_are(noun: str) -> str:
    """Returns the verb that a noun takes.

    >>> is_or_are("cars"), is_or_are("luggage"), is_or_are("people")
    ('are', 'is', 'are')
    """
    return "are" if is_plural(noun) and noun not in ("luggage", "crowd", "audience", "couple") else "is"


def _is_thing(noun: str) -> bool:
    return bool(classes_of(noun)) and PERSON not in classes_of(noun) and noun not in _DRINKS


def _begins(text: str) -> bool:
    """Whether a noun that follows is the first of the sentence: only articles and adjectives stand before it."""
    return all(WORDS.get(word, ("", ""))[0] in _BEFORE_A_NOUN for word in text.split())


def _names_person(text: str) -> bool:
    first = next((word for word in text.split() if classes_of(word)), "")
    return classes_of(first) == (PERSON,)


def place_phrase(question: Question, rng: SeededRandom) -> Change | None:
    """Says a place or a relation in other words."""
    choices = list(_other_places(question.text))
    return Change(rng.pick(choices)) if choices else None


def _other_places(text: str) -> Iterator[str]:
    rules: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
        (_SIDE_AT_END, lambda found: f" on the {found[1]}{'' if found[2] else ' side'}"),
        (_BESIDE, lambda found: "next to" if found[0] == "beside" else "beside"),
        (_NEAR, lambda found: "close to "),
        (_CORNER, lambda found: _CORNERS[found[1]]),
    )
    for pattern, put in rules:
        if pattern.search(text):
            yield pattern.sub(put, text, count=1)
    for words, others in _UNDER.items():
        if re.search(rf"\b{words}\b(?! of)", text) or (words == "on top of" and f" {words} " in text):
            yield re.sub(rf"\b{words}\b", others, text, count=1)
    found = _LEFTMOST.fullmatch(text)
    if found is not None and found[4] in CLASSES:
        yield f"{found[1]}{found[3]}{found[4]} furthest to the {found[2]}"


def number_words(question: Question, rng: SeededRandom) -> Change | None:
    """Writes a number as digit or word."""
    text = question.text
    choices = []
    for found in _COUNTED.finditer(text):
        before = text[: found.start()].split()
        if is_plural(found[3]) and classes_of(found[3]) and before[-1:] not in (["number"], ["no"], ["jersey"]):
            choices.append(f"{text[: found.start()]}{_COUNTS[found[1]]} {text[found.end() :]}")
    for found in _ORDINAL.finditer(text):
        if text[: found.start()].rstrip()[-1:].isdigit():
            continue  # "row of 4 second from right"
        choices.append(text[: found.start()] + _ORDINALS[found[1]] + text[found.end() :])
    return Change(rng.pick(choices)) if choices else None
