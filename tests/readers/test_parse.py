"""What sentences are read as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.readers.parse import read
from refseg.readers.program import Query

READINGS = {
    # places
    "left guy": "guy (person), place: left",
    "the dog on the right side": "dog, place: right",
    "far right": "place: far right",
    "person furthest to the left": "person, place: far left",
    "banana 3 o'clock": "banana, place: at 3 o'clock",
    "top left most orange": "orange, place: top, superlative: most left",
    "chair in the upper left corner of the picture": "chair, place: top left",
    "all the cars in the left half of the picture": "cars (car), number: all, place: left half",
    "zebra in the foreground": "zebra, place: front",
    "boy sitting in front": "boy (person), other: sitting, place: front",
    "player sitting on the far right": "player (person), other: sitting, place: far right",
    "the zebra closest to the top": "zebra, place: far top",
    "bottle on the left of the two": "bottle, place: left",
    # orders and superlatives
    "the second mug from the left that is not blue": "mug (cup), order: number 2 from left, not: colour: blue",
    "2nd frm left": "order: number 2 from left",
    "2 from the right": "order: number 2 from right",
    "third man from right": "man (person), order: number 3 from right",
    "left second cup": "cup, order: number 2 from left",
    "the third star in the left half from the top": "star, place: left half, order: number 3 from top",
    "last plane": "plane (airplane), order: last",
    "next to last horse on the right": "horse, order: last but one from right",
    "second largest dog": "dog, order: number 2 from large",
    "guy furthest from camera": "guy (person), superlative: most back",
    "the biggest pizza": "pizza, superlative: most large",
    "taller giraffe": "giraffe, superlative: most tall",
    # relations
    "dude behind everyone": "dude (person), relation: behind (everyone (person))",
    "man next to dog on left": "man (person), relation: near (dog, place: left)",
    "the bowl closest to the piece of broccoli": "bowl, relation: nearest (piece of broccoli (broccoli))",
    "cat right behind the dog": "cat, relation: behind (dog)",
    "man in the middle of two other men": "man (person), relation: between (men (person), number: 2 of them)",
    "cup between the fork and the knife": "cup, relation: between (fork; knife)",
    "girl holding an umbrella": "girl (person), other: holding, relation: holding (umbrella)",
    "dog under the table left of the bed": "dog, relation: below (table (dining table), relation: left (bed))",
    "the star of the same color as the cross": "star, relation: same colour (cross)",
    # colours, clothes, parts
    "white shirt guy": "guy (person), colour: white shirt, other: shirt",
    "person in red": "person, colour: red clothes",
    "man in black and white shirt": "man (person), colour: black shirt, colour: white shirt, other: shirt",
    "red shirt": "shirt (person), colour: red shirt, other: shirt",
    "guy w/ hat": "guy (person), other: hat",
    "orange striped cat": "cat, colour: orange, attribute: striped",
    "orange with stripes": "orange, attribute: striped",
    "orange shirt": "shirt (person), colour: orange shirt, other: shirt",
    "far right orange": "orange, place: far right",
    "the thing that is orange": "thing, colour: orange",
    # numbers, unions, exclusions
    "both horses": "horses (horse), number: 2 of them",
    "every bird": "bird, number: all",
    "the three dotted shapes": "shapes, number: 3 of them, attribute: dotted",
    "the cat and the tv": "cat, and: tv",
    "the giraffe and the window": "giraffe, and: window",
    "the window and the giraffe": "window, and: giraffe",
    "cat, dog and window": "cat, and: dog, and: window",
    "the cat, the big dog, and the tv on the left": "cat, and: dog, size: large, and: tv, place: left",
    "man, red shirt and hat": "man (person), colour: red shirt, other: shirt, other: hat",
    "everyone except the man in red": "everyone (person), not: man (person), colour: red clothes",
    "object without stripes": "object, not: attribute: striped",
    "non red circle": "circle, not: colour: red",
    "one of the dogs": "dogs (dog), number: 1 of them",
    "the biggest dog and the smallest cat": "dog, superlative: most large, and: cat, superlative: most small",
    "dog which is not sitting next to the cat": "dog, not: relation: near (cat)",
    "bed without sheep": "bed, not: relation: with (sheep)",
    "man not on the left": "man (person), not: place: left",
    # what nobody knows, what is written wrongly
    "the window": "window",
    "red bannana": "bannana (banana), colour: red",
    "bottm zebra": "zebra, place: bottom",
    "blueshirt": "blueshirt (person), colour: blue shirt, other: blueshirt",
    "light on the left": "other: light, place: left",
    "person looking left": "person, other: looking, other: left",
}


@pytest.mark.parametrize(("sentence", "reading"), READINGS.items())
def test_a_sentence_is_read(sentence, reading):
    assert str(read(sentence)) == reading


@given(st.text(max_size=80))
def test_any_string_is_read(text):
    assert isinstance(read(text), Query)


WORDS = st.sampled_from(
    "the a left right of from second 2nd man dog not without and in on with red shirt between two except far "
    "closest to behind , but all one top corner middle half orange glass holding next that is 3 o'clock".split()
)


@given(st.lists(WORDS, max_size=14).map(" ".join))
def test_any_order_of_words_is_read(text):
    assert all(name and value for name, value in read(text).parts())


def test_a_very_long_sentence_is_read_to_its_limit():
    assert str(read("dog " + "next to the cat " * 5000)).startswith("dog, relation: near")


def test_capitals_and_spaces_do_not_matter():
    assert str(read("  The LEFT  Guy. ")) == str(read("the left guy"))
