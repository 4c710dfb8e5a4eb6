import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.text.left_right import MIRRORED, mirrored

WORDS = st.sampled_from([*MIRRORED, *map(str.upper, MIRRORED), *map(str.capitalize, MIRRORED)])
OTHERS = st.sampled_from(["bright", "leftover", "cleft", "copyright", "right-hand", "the", "lefts", "Rightmost,", "é"])


@given(st.lists(WORDS | OTHERS | st.text(max_size=8)).map(" ".join))
def test_mirrored_twice_it_says_what_it_said(text):
    assert mirrored(mirrored(text)) == text


@given(st.lists(OTHERS.filter(lambda word: "ight-" not in word and "most" not in word and word != "lefts")))
def test_words_that_only_hold_a_side_stay(words):
    text = " ".join(words)
    assert mirrored(text) == text


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("the LEFT one", "the RIGHT one"),
        ("Right, not left!", "Left, not right!"),
        ("leftmost of the rights", "rightmost of the lefts"),
        ("bright light on the right", "bright light on the left"),
        ("upright copyright", "upright copyright"),
    ],
)
def test_sides_are_swapped_as_whole_words(said, expected):
    assert mirrored(said) == expected
