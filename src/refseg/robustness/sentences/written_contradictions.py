"""Other meanings in nearly the same words: changes of sentences that people wrote.

What they refer to is known where the data set annotates all objects of the image; elsewhere the effect is probable, and
not certain.
"""

import re

from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.readers.nouns import ALWAYS_ONE, COCO_CLASSES, PERSON, classes_of, is_plural
from refseg.readers.words import WORDS
from refseg.robustness.sentences.question import Change, Question
from refseg.robustness.sentences.written_paraphrases import is_or_are
from refseg.text.expression_types import types
from refseg.text.left_right import mirrored

ABSENT_CLASSES = ("elephant", "giraffe", "zebra", "airplane", "toilet", "refrigerator", "train", "surfboard")
"""Classes that stand out where they are, so that an annotator does not miss them."""
_OPPOSITES = {
    "top": "bottom",
    "upper left": "lower left",
    "upper right": "lower right",
    "closest": "farthest",
    "nearest": "farthest",
    "biggest": "smallest",
    "largest": "smallest",
    "bigger": "smaller",
    "larger": "smaller",
    "tallest": "shortest",
    "taller": "shorter",
    "front": "back",
    "in front of": "behind",
    "above": "below",
    "darker": "lighter",
}
_OPPOSITES |= {other: word for word, other in _OPPOSITES.items() if word not in ("nearest", "largest", "larger")}
_RANKS = "first second third fourth fifth".split()
_OTHER_COLOURS = {
    "red": "blue",
    "blue": "yellow",
    "green": "red",
    "yellow": "purple",
    "purple": "green",
    "pink": "green",
    "brown": "blue",
    "white": "red",
    "black": "yellow",
    "grey": "red",
    "gray": "red",
}
_COLOUR = re.compile(rf"(?<!and )\b({'|'.join(_OTHER_COLOURS)})\b(?! and)(?=(?: ([a-z]+))?)")
_SKIN = frozenset({"white", "black", "brown"})
_COLOURED_THING = re.compile(rf"((?:the )?)({'|'.join(_OTHER_COLOURS)}) ([a-z]+)")
_EXTREME = re.compile(
    r"(?:the )?(?:left|right|top|bottom|leftmost|rightmost|biggest|smallest|largest|closest) ([a-z]+)"
    r"|(?:the )?([a-z]+) (?:on|to|at|in) (?:the )?(?:far )?(?:left|right|top|bottom)(?: side)?"
)
_SEVERAL = 2, 10  # objects of a class: of more, annotators may have left some out
_MODIFIERS = frozenset({"", "FILL", "COLOUR", "SIZE", "SIDE", "SUPERLATIVE", "ORDER", "NEAREST", "FARTHEST"})
_AFTER_A_NOUN = _MODIFIERS | {"RELATION", "ON", "IN", "WITH", "PREPOSITION", "NOT", "WITHOUT", "HANDLING", "AND", "BUT"}


def left_right(question: Question, rng: SeededRandom) -> Change | None:
    """Swaps left and right where they are places."""
    text = mirrored(question.text)
    places = {"location", "relation", "ordinal"} & set(types(question.text))
    if text == question.text or not places or not question.refers:
        return None
    return Change(text, "change", certain=False)


def opposite(question: Question, rng: SeededRandom) -> Change | None:
    """Turns one place or extreme into its opposite."""
    if not question.refers:
        return None
    choices = []
    for word, other in _OPPOSITES.items():
        if re.search(
            rf"(?<![\w-]){word}(?![\w-])(?<!tank top)(?<!table top)(?<!counter top)(?! of)(?! to)", question.text
        ) or (word == "in front of" and word in question.text):
            choices.append(re.sub(rf"(?<![\w-]){word}(?![\w-])", other, question.text, count=1))
    if "in front of" in question.text:
        choices = [question.text.replace("in front of", "behind")]
    return Change(rng.pick(choices), "change", certain=False) if choices else None


def rank(question: Question, rng: SeededRandom) -> Change | None:
    """Asks for another rank."""
    found = re.search(rf"\b({'|'.join(_RANKS)})\b(?! base)", question.text)
    if found is None or not question.refers:
        return None
    at = _RANKS.index(found[1])
    other = rng.pick([_RANKS[n] for n in (at - 1, at + 1) if 0 <= n < len(_RANKS)])
    return Change(question.text[: found.start()] + other + question.text[found.end() :], "change", certain=False)


def attribute(question: Question, rng: SeededRandom) -> Change | None:
    """Replaces a colour by one that is far from it."""
    if not question.refers:
        return None
    for found in _COLOUR.finditer(question.text):
        if found[1] in _SKIN and (found[2] is None or classes_of(found[2]) == (PERSON,)):
            continue
        other = _OTHER_COLOURS[found[1]]
        text = question.text[: found.start(1)] + other + question.text[found.end(1) :]
        return Change(text, "change", certain=False, form="colour")
    return None


def negation(question: Question, rng: SeededRandom) -> Change | None:
    """Negates the colour of a thing."""
    found = _COLOURED_THING.fullmatch(question.text)
    if found is None or not question.refers or not classes_of(found[3]) or PERSON in classes_of(found[3]):
        return None
    text = f"{found[1]}{found[3]} that {is_or_are(found[3])} not {found[2]}"
    return Change(text, "change", certain=False, form="not added")


def plural(question: Question, rng: SeededRandom) -> Change | None:
    """Asks for all of a class in place of the extreme one, where the data set annotates them."""
    found = _EXTREME.fullmatch(question.text)
    noun = (found[1] or found[2]) if found is not None else ""
    if noun not in COCO_CLASSES or question.annotated is None or not question.refers:
        return None
    masks = [thing.mask for thing in question.annotated.objects if thing.name == noun]
    if noun not in question.annotated.classes or not _SEVERAL[0] <= len(masks) <= _SEVERAL[1]:
        return None
    return Change(f"all {_plural(noun)}", "change", masks=tuple(masks), certain=False, form="all for one")


def absent_noun(question: Question, rng: SeededRandom) -> Change | None:
    """Replaces the noun by the name of a class that is not in the image; certain where all objects are annotated."""
    query, words = question.query, question.text.split()
    noun = query.noun.written if query.noun is not None and len(query.noun.classes) == 1 else ""
    if noun in ALWAYS_ONE:
        return None  # "a pair of skis"
    if not question.refers or query.union or words.count(noun) != 1 or not _stands_alone(words, words.index(noun)):
        return None
    here = {thing.name for thing in question.annotated.objects} if question.annotated is not None else set()
    classes = set(question.annotated.classes) if question.annotated is not None else set(ABSENT_CLASSES)
    absent = [name for name in ABSENT_CLASSES if name in classes - here and name not in classes_of(noun)]
    if not absent:
        return None
    at, other = words.index(noun), rng.pick(absent)
    other = _plural(other) if is_plural(noun) else other
    if words[at - 1 : at] in (["a"], ["an"]):
        words[at - 1] = "an" if other[0] in "aeiou" else "a"
    words[at] = other
    return Change(" ".join(words), "vanish", certain=question.annotated is not None, form="noun of the referent")


def _stands_alone(words: list[str], at: int) -> bool:
    """Whether the words around a noun make no compound with it, as in "train station"."""
    before, after = words[at - 1] if at else "", words[at + 1] if at + 1 < len(words) else ""
    tag_after = WORDS.get(after, ("" if not after or after.endswith("ing") else "OTHER", ""))[0]
    return WORDS.get(before, ("OTHER" if before else "", ""))[0] in _MODIFIERS and tag_after in _AFTER_A_NOUN


def _plural(noun: str) -> str:
    if noun == PERSON:
        return "people"
    if noun == "sheep" or noun.endswith("skis") or noun == "scissors":
        return noun
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    return "knives" if noun == "knife" else f"{noun}s"
