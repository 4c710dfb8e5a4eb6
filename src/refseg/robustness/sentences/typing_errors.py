"""Typing errors: one letter wrong, such that no other word results."""

import re
from collections.abc import Iterator
from functools import cache

from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.robustness.sentences.known_words import english_words, telling_words, words_in
from refseg.robustness.sentences.question import Change, Question

SHORTEST = 5  # letters of a word that is mistyped: of "red" too little would be left
FORMS = ("neighbour key", "swapped letters", "dropped letter", "doubled letter")

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHIFTS = (0.0, 0.25, 0.75)  # of the rows of a keyboard, in keys
_PLACES = {
    key: (column + _SHIFTS[row], float(row)) for row, keys in enumerate(_ROWS) for column, key in enumerate(keys)
}
_NEIGHBOURS = {
    key: "".join(other for other, (u, v) in _PLACES.items() if other != key and (u - x) ** 2 + (v - y) ** 2 < 1.7)
    for key, (x, y) in _PLACES.items()
}


def typing_error(question: Question, rng: SeededRandom) -> Change | None:
    """Mistypes one word of five letters or more, never so that it is, or is as near to, another word."""
    words = dict.fromkeys(words_in(question.text))
    for word in rng.shuffled([one for one in words if len(one) >= SHORTEST and one in english_words()]):
        for form in rng.shuffled(FORMS):
            wrong = safe_errors(word, form)
            if wrong:
                text = _with_error(question.text, word, rng.pick(wrong))
                return Change(text, form=form)
    return None


@cache
def safe_errors(word: str, form: str) -> tuple[str, ...]:
    """Returns the errors of this form that give no English word and leave no other telling word as near.

    >>> safe_errors("stars", "dropped letter"), safe_errors("square", "swapped letters")
    ((), ('suqare', 'sqaure', 'squrae', 'squaer'))
    """
    return tuple(wrong for wrong in dict.fromkeys(_errors(word, form)) if _is_safe(wrong, word))


def _errors(word: str, form: str) -> Iterator[str]:
    """Yields a word with one error of this form at each letter but the first."""
    for i in range(1, len(word)):
        start, letter, end = word[:i], word[i], word[i + 1 :]
        if form == "neighbour key":
            yield from (start + other + end for other in _NEIGHBOURS.get(letter, ""))
        elif form == "swapped letters" and end:
            yield start + end[0] + letter + end[1:]
        elif form == "dropped letter":
            yield start + end
        elif form == "doubled letter":
            yield start + letter + letter + end


def _is_safe(wrong: str, word: str) -> bool:
    near = {other for rest in _shortened(wrong) for other in _telling_by_shortened().get(rest, ())}
    return wrong not in english_words() and near <= {word}


def _shortened(word: str) -> set[str]:
    """Returns a word and all that is left of it without one letter; words at distance one share some of that."""
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


@cache
def _telling_by_shortened() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in telling_words():
        for rest in _shortened(word):
            found.setdefault(rest, []).append(word)
    return found


def _with_error(text: str, word: str, wrong: str) -> str:
    """Replaces the first occurrence of a word, as it is written there."""

    def put(found: re.Match[str]) -> str:
        return wrong.upper() if found[0].isupper() else wrong.capitalize() if found[0][0].isupper() else wrong

    return re.sub(rf"\b{re.escape(word)}\b", put, text, count=1, flags=re.IGNORECASE)
