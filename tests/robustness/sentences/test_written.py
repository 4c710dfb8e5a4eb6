"""Changed sentences of people: rules that are narrow, and certain only where they are safe."""

import numpy as np
import pytest

from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.robustness.sentences import SENTENCE_KINDS, change_sentences, surface
from refseg.robustness.sentences.question import Question
from refseg.samples import AnnotatedObject, AnnotatedObjects, Expression, Sample

SIZE = 8, 8
SENTENCES = (
    "the man in the red shirt on the left",
    "big white bus",
    "second zebra from right",
    "woman holding umbrella",
    "3 o'clock donut",
    "two kids sitting near the tv",
    "right most elephant",
    "guy w/ hat next to the black car",
    "A brown dog.",
    "closest giraffe",
    "black and white cat on couch",
    "person who is standing behind the bench",
)


class Photograph(Sample):
    """A stand-in for a photograph: three dogs and a person, of COCO's classes."""

    def __init__(self, *texts, targets=(1,), annotates=True):
        self.image_id, self.image = "7", np.zeros((*SIZE, 3), np.uint8)
        self.expressions = tuple(Expression(text, targets) for text in texts)
        self.annotates = annotates

    def mask(self, index):
        return self.row(0) if self.expressions[index].targets else np.zeros(SIZE, np.bool_)

    def row(self, k):
        mask = np.zeros(SIZE, np.bool_)
        mask[k] = True
        return mask

    def annotated_objects(self):
        if not self.annotates:
            return None
        names = ("dog", "dog", "dog", "person")
        objects = tuple(AnnotatedObject(name, (0, k, 8, k + 1), self.row(k)) for k, name in enumerate(names))
        return AnnotatedObjects(objects, ("dog", "person", "train", "zebra", "elephant"))


def changed(kind, text, annotates=False):
    """All texts that a kind makes of a sentence under some seeds."""
    sample = Photograph(text, annotates=annotates)
    return {one.text for seed in range(12) for one in change_sentences(sample, [kind], seed)}


@pytest.mark.parametrize(
    ("kind", "text", "others"),
    [
        ("synonyms", "old man", {"old guy"}),
        ("synonyms", "small dog on sofa", {"little dog on sofa", "small dog on couch"}),
        ("synonyms", "dog closest to us", {"dog nearest to us"}),
        ("adjective_order", "big red bus", {"red big bus"}),
        ("adjective_order", "black and white cat", {"white and black cat"}),
        ("adjective_order", "man in red and white shirt", {"man in white and red shirt"}),
        ("relative_clause", "red car", {"car that is red"}),
        ("relative_clause", "red luggage", {"luggage that is red"}),
        ("relative_clause", "men standing", {"men who are standing"}),
        ("relative_clause", "man who is standing", {"man standing"}),
        ("relative_clause", "woman in blue dress", {"woman wearing blue dress"}),
        ("place_phrase", "man on right", {"man on the right side"}),
        ("place_phrase", "the leftmost bird", {"the bird furthest to the left"}),
        ("place_phrase", "top left donut", {"upper left donut"}),
        ("place_phrase", "cup beside the fork", {"cup next to the fork"}),
        ("number_words", "the two dogs", {"the 2 dogs"}),
        ("number_words", "3 dogs", {"three dogs"}),
        ("number_words", "2nd cow from left", {"second cow from left"}),
        ("left_right", "left dog", {"right dog"}),
        ("opposite", "the biggest pizza", {"the smallest pizza"}),
        ("rank", "first dog from left", {"second dog from left"}),
        ("attribute", "green bus", {"red bus"}),
        ("negation", "the white bus", {"the bus that is not white"}),
    ],
)
def test_a_sentence_is_said_in_other_words(kind, text, others):
    assert changed(kind, text) == others


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("synonyms", "police man hole"),
        ("synonyms", "camera man"),
        ("synonyms", "lady bug"),
        ("synonyms", "person lower"),
        ("synonyms", "duck nearest us"),
        ("adjective_order", "black and white photo"),
        ("adjective_order", "man in red and white dog"),
        ("adjective_order", "big red"),
        ("relative_clause", "white wine"),
        ("relative_clause", "black man"),
        ("relative_clause", "guy behind woman standing"),
        ("relative_clause", "red"),
        ("place_phrase", "next to last cow"),
        ("place_phrase", "facing left"),
        ("number_words", "second base"),
        ("number_words", "number 2 shirt"),
        ("number_words", "one dog"),
        ("number_words", "row of 4 second from right"),
        ("left_right", "woman facing left"),
        ("left_right", "raised left hand"),
        ("rank", "second base"),
        ("attribute", "black man"),
        ("attribute", "black and white"),
        ("negation", "black man"),
        ("opposite", "tank top"),
        ("opposite", "wooden table top"),
        ("absent_noun", "a pair of red skis"),
        ("absent_noun", "train station"),
        ("absent_noun", "hot dog bun"),
        ("absent_noun", "the dog and the cat"),
        ("absent_noun", "left"),
        ("absent_attribute", "red car"),
    ],
)
def test_what_might_mean_something_else_is_left(kind, text):
    assert changed(kind, text) == set()


@pytest.mark.parametrize(
    ("text", "articles", "small"),
    [
        ("the man on the left", "man on left", "man left"),
        ("a cat that is on the bed", "cat that is on bed", "cat on bed"),
        ("a few men", None, None),
        ("the one that is red", "one that is red", None),
    ],
)
def test_only_words_that_can_be_missed_are_dropped(text, articles, small):
    found = {}
    for seed in range(12):
        change = surface.dropped_words(Question(Photograph(text), 0), SeededRandom(seed))
        if change is not None:
            found[change.form] = change.text
    assert (found.get("articles"), found.get("small words")) == (articles, small)


@pytest.mark.parametrize("annotates", [False, True])
def test_only_safe_kinds_are_certain(annotates):
    certain = {True: set(), False: set()}
    for one in change_sentences(Photograph(*SENTENCES, annotates=annotates)):
        certain[one.certain].add(one.kind)
        assert one.text != SENTENCES[one.index]
        assert one.target is None if one.effect == "change" else one.target is not None
    stays = {kind for kind, about in SENTENCE_KINDS.items() if about.effects == ("stay",)}
    assert certain[True] == stays - {"shuffled_words"} | ({"absent_noun"} if annotates else set())
    assert {"shuffled_words", "left_right", "attribute", "rank", "opposite"} <= certain[False]


def test_an_absent_noun_is_of_a_class_that_is_annotated_and_not_there():
    assert changed("absent_noun", "a dog on the left", annotates=True) == {
        "a train on the left",
        "a zebra on the left",
        "an elephant on the left",
    }
    (one,) = change_sentences(Photograph("dogs", annotates=True), ["absent_noun"])
    assert one.text in ("trains", "zebras", "elephants") and one.effect == "vanish" and not one.target.any()


def test_all_in_place_of_one_are_the_annotated_ones():
    sample = Photograph("the left dog", "the left person", "left dog with a hat")
    (one,) = change_sentences(sample, ["plural"])  # there is one person, and a hat says more than the rule knows
    assert (one.text, one.index, one.certain) == ("all dogs", 0, False)
    assert np.array_equal(one.target, sample.row(0) | sample.row(1) | sample.row(2))


def test_what_refers_to_nothing_is_not_contradicted():
    kinds = [kind for kind, about in SENTENCE_KINDS.items() if about.effects != ("stay",)]
    assert change_sentences(Photograph(*SENTENCES, targets=()), kinds) == []


def test_sentences_in_capitals_are_written_small():
    assert "the dog" in changed("case", "THE DOG")


@pytest.mark.parametrize("text", ["", "?", "...", "  ", "é", "狗", "a" * 3000, "the the the", "{} {0}", "100%", "\\1"])
def test_any_sentence_can_be_asked(text):
    for one in change_sentences(Photograph(text)):
        assert one.text != text and one.text.strip()
