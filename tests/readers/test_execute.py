"""Programs on drawn layouts: boxes on a canvas of 100 x 100 pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.readers.colours import object_colours
from refseg.readers.execute import execute
from refseg.readers.objects import FoundObject, FoundObjects
from refseg.readers.parse import read
from refseg.text.left_right import mirrored

KNOWN = frozenset({"dog", "cat", "person", "cup", "tv", "dining table"})


def thing(name, x, y, side=10.0, **given):
    box = x - side / 2, y - side / 2, x + side / 2, y + side / 2
    return FoundObject(box_xyxy=box, classes={name: 0.95}, **given)


def scene(*objects, classes=KNOWN):
    return FoundObjects(objects, (100, 100), classes)


def chosen(sentence, found):
    return execute(read(sentence), found).chosen


DOGS = scene(
    thing("dog", 15, 20, 12),
    thing("dog", 40, 70, 24),
    thing("dog", 85, 40, 14),
    thing("cat", 60, 45),
    thing("tv", 20, 80),
)


@pytest.mark.parametrize(
    ("sentence", "objects"),
    {
        "the left dog": (0,),
        "dog on the right": (2,),
        "the second dog from the left": (1,),
        "last dog on the left": (2,),
        "2nd dog frm right": (1,),
        "the biggest dog": (1,),
        "smallest dog": (0,),
        "top dog": (0,),
        "bottom left dog": (1,),
        "dog at 3 o'clock": (2,),
        "the dogs": (0, 1, 2),
        "both dogs on the left half": (0, 1),
        "all dogs": (0, 1, 2),
        "the cat and the tv": (3, 4),
        "the dog right of the cat": (2,),
        "dog below the cat": (1,),
        "dog closest to the tv": (1,),
        "the dog farthest from the tv": (2,),
        "the cat between the dog on the left and the dog on the right": (3,),
        "the dogs except the leftmost one": (1, 2),
        "dogs not on the left": (2,),
        "the dog that is not on the left": (2,),
        "the two largest dogs": (1, 2),
        "one of the dogs": (1,),
        "the biggest dog and the cat": (1, 3),
        "animals": (0, 1, 2, 3),
        "the leftmost thing": (0,),
    }.items(),
)
def test_a_sentence_chooses(sentence, objects):
    assert chosen(sentence, DOGS) == objects


@pytest.mark.parametrize("sentence", ["the cup", "all cups", "the dog left of the cup", "fifth dog from the left"])
def test_what_is_not_there_is_nothing(sentence):
    answer = execute(read(sentence), DOGS)
    assert (answer.chosen, answer.outcome) == ((), "nothing matches")
    assert answer.exists < 0.5


def test_an_unknown_noun_is_an_outcome_of_its_own():
    answer = execute(read("the window on the left"), DOGS)
    assert (answer.chosen, answer.outcome) == ((), "unknown noun")
    assert answer.remarks == ("'window' is not a thing that this finder knows",)


@pytest.mark.parametrize("sentence", ["the cat and the window", "the window and the cat"])
def test_of_a_union_what_is_known_is_found_and_the_rest_is_said(sentence):
    answer = execute(read(sentence), DOGS)
    assert (answer.chosen, answer.outcome) == ((3,), "found")
    assert answer.remarks == ("'window' is not a thing that this finder knows",)
    assert execute(read("the cup and the window"), DOGS).outcome == "nothing matches"  # the cup was looked for
    assert execute(read("the door and the window"), DOGS).outcome == "unknown noun"


@pytest.mark.parametrize("sentence", ["the", "of", "and", "", "33"])
def test_a_sentence_that_names_no_thing_chooses_nothing(sentence):
    answer = execute(read(sentence), DOGS)
    assert (answer.chosen, answer.outcome, answer.exists) == ((), "no thing named", 0.0)
    assert "the expression names no thing" in answer.remarks
    assert chosen("on the far right", DOGS) == (2,)  # a place is enough


def test_light_and_dark_are_told_by_the_colours_or_said_to_be_unknown():
    shades = [{"whole": {name: 1.0}} for name in ("grey", "black", "white")]
    found = scene(*(thing("dog", 20 + 30 * k, 50, colours=shade) for k, shade in enumerate(shades)))
    assert chosen("the darkest dog", found) == (1,) and chosen("the lightest dog", found) == (2,)
    answer = execute(read("the darkest dog"), DOGS)
    assert answer.remarks == ("'most dark' was not taken into account: the colours of the objects are unknown",)


def test_an_unknown_anchor_is_said_and_its_relation_left_out():
    answer = execute(read("the cat by the window"), DOGS)
    assert answer.chosen == (3,)
    assert "'window' is not a thing that this finder knows: its relation was ignored" in answer.remarks


def test_an_open_vocabulary_knows_a_noun_as_it_is_written():
    assert chosen("the windows", scene(thing("window", 10, 10), classes=frozenset({"window"}))) == (0,)


def test_a_doubtful_object_is_less_probable():
    found = scene(thing("dog", 20, 50), thing("dog", 80, 50, score=0.2))
    assert execute(read("all dogs"), found).probabilities[0] > 2 * execute(read("all dogs"), found).probabilities[1]


def test_what_nothing_can_judge_is_named_and_a_region_scorer_is_asked():
    found = scene(thing("person", 20, 50), thing("person", 80, 50))
    assert any("jumping" in remark for remark in execute(read("person jumping"), found).remarks)
    for k in range(2):
        answer = execute(read("person jumping"), found, lambda phrase, objects, k=k: 9.0 * (np.arange(2) == k))
        assert (answer.chosen, answer.remarks) == ((k,), ())


def test_words_that_were_judged_filter():
    judged = [thing("cup", x, 50, words={"striped": p, "plain": 1 - p}) for x, p in ((10, 0.9), (50, 0.05), (90, 0.8))]
    assert chosen("the striped cups", scene(*judged)) == (0, 2)
    assert chosen("the cup that is not striped", scene(*judged)) == (1,)


def test_front_and_behind_by_layers_need_contact():
    masks = np.zeros((3, 100, 100), bool)
    masks[0, 10:30, 10:30], masks[1, 20:40, 30:50], masks[2, 70:90, 70:90] = True, True, True
    boxes = (10, 10, 30, 30), (30, 20, 50, 40), (70, 70, 90, 90)
    found = scene(
        *(
            FoundObject(box_xyxy=box, mask=mask, classes={name: 1.0}, layer=layer)
            for layer, (box, mask, name) in enumerate(zip(boxes, masks, ("cat", "dog", "cup"), strict=True))
        )
    )
    assert chosen("the thing in front of the cat", found) == (1,)
    assert chosen("the thing behind the dog", found) == (0,)
    assert chosen("the cup behind the dog", found) == ()


def test_depth_decides_who_is_behind():
    found = scene(
        thing("person", 30, 50, depth=2.0), thing("person", 70, 50, depth=9.0), thing("dog", 50, 50, depth=5.0)
    )
    assert chosen("person behind the dog", found) == (1,)
    assert chosen("person in front of the dog", found) == (0,)


def test_clothes_have_the_colour_of_the_upper_body():
    image = np.full((100, 100, 3), 255, np.uint8)
    image[20:60, 10:30], image[60:90, 10:30] = (200, 30, 30), (30, 60, 170)
    image[20:60, 60:80], image[60:90, 60:80] = (30, 60, 170), (200, 30, 30)
    boxes = (10, 10, 30, 90), (60, 10, 80, 90)
    found = scene(*(FoundObject(box_xyxy=b, classes={"person": 1.0}, colours=object_colours(image, b)) for b in boxes))
    assert chosen("person in red", found) == (0,)
    assert chosen("blue shirt", found) == (1,)
    assert chosen("guy in red pants", found) == (1,)
    assert chosen("man not in red", found) == (1,)


def test_without_classes_the_likeliest_box_is_chosen_and_nothing_is_excluded():
    found = FoundObjects(tuple(FoundObject(box_xyxy=(x, 10, x + 20, 60)) for x in (0, 40, 80)))
    assert [execute(read(s), found).best for s in ("left lady", "middle", "third from the left")] == [0, 1, 2]
    assert execute(read("the window"), found).outcome == "found"


def test_no_objects_are_nothing():
    answer = execute(read("the dog left of the cat"), FoundObjects((), (10, 10), KNOWN))
    assert (answer.chosen, answer.best, answer.exists) == ((), None, 0.0)


def test_each_part_leaves_a_step():
    steps = execute(read("the second dog from the left next to the cat"), DOGS).steps
    assert {step.part for step in steps} >= {"noun", "order", "relation"}
    assert all(step.scores.shape == (5,) for step in steps)
    assert any(step.anchor == "cat" for step in steps)


@pytest.mark.parametrize(
    "sentence", ["the non striped dog nearest to the cat", "the dog in the right half nearest to the cat"]
)
def test_the_nearest_is_that_of_the_things_that_all_else_leaves(sentence):
    striped, plain = ({"striped": share} for share in (1.0, 0.0))
    near, far = thing("dog", 40, 40, words=striped), thing("dog", 90, 90, words=plain)
    cat = thing("cat", 30, 30, words=plain)
    assert chosen(sentence, scene(near, far, cat)) == (1,)


PLACES = st.lists(
    st.tuples(st.sampled_from(sorted(KNOWN)), st.integers(6, 94), st.integers(6, 94), st.integers(4, 12)),
    min_size=1,
    max_size=6,
    unique_by=(lambda p: p[1], lambda p: p[2], lambda p: p[3]),
)
SENTENCES = (
    "the left dog",
    "second person from the right",
    "the cat right of the dog",
    "leftmost thing",
    "all things in the right half",
    "top right cup",
    "the dog left of the tv on the right",
    "not the one on the left",
)


@given(PLACES, st.sampled_from(SENTENCES))
def test_a_mirrored_image_and_sentence_choose_the_same_objects(places, sentence):
    here = scene(*(thing(name, x + 0.25, y, side) for name, x, y, side in places))
    there = scene(*(thing(name, 100 - (x + 0.25), y, side) for name, x, y, side in places))
    assert chosen(sentence, here) == chosen(mirrored(sentence), there)


@given(PLACES, st.text(max_size=40))
def test_any_string_has_an_answer(places, text):
    answer = execute(read(text), scene(*(thing(name, x, y, side) for name, x, y, side in places)))
    assert 0 <= answer.exists <= 1.000001
    assert np.isfinite(answer.probabilities).all()
    assert set(answer.chosen) <= set(range(len(places)))
