import pytest

from refseg.readers.nouns import COCO_CLASSES, classes_of, is_plural, singular
from refseg.readers.parse import tokens_of
from refseg.readers.spelling import Spelling


@pytest.mark.parametrize("name", sorted(COCO_CLASSES))
def test_every_class_is_named_by_itself_and_its_plural(name):
    word = name.replace(" ", "_")
    assert name in classes_of(word)
    assert [token.tag for token in tokens_of(name) if token.value != "orange"] in ([], ["NOUN"])


def test_there_are_80_classes():
    assert len(COCO_CLASSES) == 80


@pytest.mark.parametrize(
    ("many", "one"), [("people", "person"), ("buses", "bus"), ("knives", "knife"), ("dogs", "dog")]
)
def test_plurals_have_singulars(many, one):
    assert (singular(many), is_plural(many), is_plural(one)) == (one, True, False)


@pytest.mark.parametrize("wrong", ["bottm", "botttom", "bottow", "bototm"])
def test_one_letter_more_less_wrong_or_swapped_is_corrected(wrong):
    assert Spelling(["bottom"]).correct(wrong) == "bottom"


@pytest.mark.parametrize("other", ["bot", "boottomm", "batman", ""])
def test_more_than_one_letter_is_not_corrected(other):
    assert Spelling(["bottom"]).correct(other) is None


@pytest.mark.parametrize("word", ["light", "night", "water", "board", "leaning", "block", "party"])
def test_real_words_near_a_closed_word_stay(word):
    assert [token.value for token in tokens_of(word)] == [word]
