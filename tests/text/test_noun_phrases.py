import builtins
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from refseg.errors import RefsegError
from refseg.text import noun_phrases
from refseg.text.noun_phrases import erase, noun_positions, phrases

GOLDEN = json.loads((Path(__file__).parents[1] / "assets" / "parity" / "dmmi_erasure.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["phrases"], ids=lambda case: str(case["nouns"]))
def test_phrases_are_those_of_the_release(case):
    assert phrases(case["nouns"]) == case["phrases"]


def test_a_phrase_is_erased_as_in_the_release():
    example = GOLDEN["example"]
    assert erase(torch.tensor(example["tokens"]), example["phrase"]).tolist() == example["erased"]


@given(st.sets(st.integers(0, 30)).map(sorted))
def test_phrases_hold_every_noun_once_and_do_not_touch(nouns):
    found = phrases(nouns)
    assert sum(found, []) == nouns
    assert all(left[-1] + 1 < right[0] for left, right in zip(found, found[1:], strict=False))


def test_tokens_stay_as_they_are():
    tokens = torch.arange(1, 6)
    erase(tokens, [1])
    assert tokens.tolist() == [1, 2, 3, 4, 5]


def test_a_word_behind_the_last_token_is_left_out():
    assert erase(torch.arange(1, 6), [3, 4, 9]).tolist() == [1, 2, 3, 4, 0]


def test_without_a_first_special_token_places_are_those_of_words():
    assert erase(torch.arange(1, 6), [1, 2], first=0).tolist() == [1, 0, 0, 4, 5]


class TestWords:
    @pytest.fixture(autouse=True)
    def _needs_textblob(self):
        pytest.importorskip("textblob")

    @pytest.mark.parametrize(
        ("expression", "nouns"),
        [
            ("a red disc", [2]),
            ("The woman, with two DOGS!", [1, 4]),  # punctuation is not counted, case does not matter
            ("the tennis racket of the girl", [1, 2, 5]),
            ("the blue one", []),
            ("", []),
        ],
    )
    def test_nouns(self, expression, nouns):
        assert noun_positions(expression) == nouns

    def test_words_far_behind_are_not_erased(self):
        expression = " ".join(["very"] * 18 + ["big", "dog"])
        assert noun_positions(expression) == []
        assert noun_positions(expression.removeprefix("very ")) == [18]


def test_without_textblob_the_error_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("textblob"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    noun_phrases._tagger.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RefsegError, match=r"pip install 'refseg\[text\]'"):
        noun_positions("a red disc")
    noun_phrases._tagger.cache_clear()
