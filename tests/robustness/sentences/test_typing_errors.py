"""Typing errors: one letter wrong, and never another word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.robustness.sentences.known_words import english_words, telling_words
from refseg.robustness.sentences.typing_errors import FORMS, safe_errors

LONG_WORDS = sorted(word for word in telling_words() if len(word) >= 5)


def differences(wrong, word):
    """Letters that differ, by the length of what is common at both ends; -1 for a swap of neighbours."""
    start = next((i for i, (a, b) in enumerate(zip(wrong, word, strict=False)) if a != b), min(len(wrong), len(word)))
    rest, other = wrong[start:], word[start:]
    while rest and other and rest[-1] == other[-1]:
        rest, other = rest[:-1], other[:-1]
    return rest, other


@given(st.sampled_from(LONG_WORDS), st.sampled_from(FORMS))
def test_an_error_is_one_letter_and_gives_no_word(word, form):
    for wrong in safe_errors(word, form):
        assert wrong not in english_words() and wrong[0] == word[0]
        rest, other = differences(wrong, word)
        if form == "swapped letters":
            assert rest == other[::-1] and len(rest) == 2
        elif form == "neighbour key":
            assert len(rest) == len(other) == 1
        else:
            assert sorted((len(rest), len(other))) == [0, 1]


@pytest.mark.parametrize(
    ("word", "form", "never"),
    [
        ("circles", "dropped letter", "circle"),  # the singular
        ("bears", "dropped letter", "bars"),
        ("stars", "dropped letter", "star"),
        ("form", "swapped letters", "from"),
        ("horses", "dropped letter", "hoses"),
        ("white", "neighbour key", "while"),
    ],
)
def test_no_other_word_results(word, form, never):
    assert never not in safe_errors(word, form)


def test_most_words_can_be_mistyped():
    assert sum(any(safe_errors(word, form) for form in FORMS) for word in LONG_WORDS) > 0.95 * len(LONG_WORDS)
