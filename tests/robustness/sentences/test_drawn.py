"""Changed sentences of drawn scenes: what they refer to is told by the reader, which knows nothing of programs."""

import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.layout import rasterise
from refseg.datasets.drawn_scenes.objects import SHAPES, DrawnObject
from refseg.datasets.drawn_scenes.programs import All, Noun, Nth, Related, The, World
from refseg.errors import InvalidInput
from refseg.readers.execute import execute
from refseg.readers.parse import read
from refseg.robustness.sentences import SENTENCE_KINDS, change_sentences
from refseg.robustness.sentences.drawn_contradictions import fair
from refseg.robustness.sentences.drawn_paraphrases import NEW_SYNONYMS
from refseg.robustness.sentences.drawn_wording import take_apart
from refseg.robustness.sentences.known_words import drawn_words, words_in

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from reader import drawn_objects  # noqa: E402

OLD_WORDS = {new: old for old, words in NEW_SYNONYMS.items() for new in words}
WORDS_AS_THEY_ARE = ("case", "punctuation")
SMALL_WORDS = {"the", "a", "find", "segment", "show", "me", "that", "which", "is", "are", "on", "in", "at", "to"}


@pytest.fixture(scope="module")
def scenes():
    return list(DrawnScenes("hard", count=12))


@pytest.fixture(scope="module")
def variants(scenes):
    """Each variant with its scene and the original sentence."""
    return [(scene, scene.expressions[one.index].text, one) for scene in scenes for one in change_sentences(scene)]


def of_kind(variants, kind):
    return [(original, one) for _, original, one in variants if one.kind == kind]


def is_read(one):
    """Whether the reader knows the words and the form, so that it can judge the variant."""
    if one.kind == "dropped_words" and " half on " in one.text:
        return False  # it takes "in upper half on right of star" for one place
    if one.kind in ("place_phrase", "absent_attribute", "filler", "typing_errors", "synonyms"):
        return not one.has_new_words
    if one.kind == "absent_noun":
        return not (one.has_new_words and "anchor" in one.form)  # it answers all the same where an anchor is unknown
    return one.form != "not there"


def test_every_sentence_of_the_grammar_is_taken_apart_and_written_again(scenes):
    for scene in scenes:
        for expression, program in zip(scene.expressions, scene.programs, strict=True):
            assert str(take_apart(expression.text, program)) == expression.text


def test_a_sentence_of_another_program_is_not_taken_apart(scenes):
    texts = [expression.text for expression in scenes[0].expressions]
    others = [program for program in scenes[1].programs if program not in scenes[0].programs]
    assert all(take_apart(text, program) is None for text in texts for program in others)


def test_certain_variants_refer_to_what_the_reader_finds(variants):
    objects, judged, wrong = {}, Counter(), []
    for k, (scene, original, one) in enumerate(variants):
        if not one.certain or not is_read(one) or (one.kind in WORDS_AS_THEY_ARE and k % 5):
            continue
        found = objects.setdefault(scene.image_id, drawn_objects(scene))
        chosen = execute(read(one.text), found).chosen
        judged[one.kind] += 1
        if not np.array_equal(np.isin(scene.id_map, [k + 1 for k in chosen]), one.target):
            wrong.append((one.kind, original, one.text))
    assert wrong == []
    assert min(judged[kind] for kind in SENTENCE_KINDS if kind not in ("filler", "typing_errors")) > 10, judged


def test_new_synonyms_stand_for_words_of_the_grammar(scenes, variants):
    renewed = [(original, one) for original, one in of_kind(variants, "synonyms") if one.has_new_words]
    assert len(renewed) > 30
    for original, one in renewed:
        back = " ".join(OLD_WORDS.get(word, word) for word in one.text.split())
        changed = [word for word in one.text.split() if word not in drawn_words() and word not in original.split()]
        assert len(back.split()) == len(original.split()) and len(changed) == 1


def test_each_kind_has_its_effects_and_the_masks_show_them(scenes, variants):
    effects = {kind: set() for kind in SENTENCE_KINDS}
    for scene, _, one in variants:
        effects[one.kind].add(one.effect)
        original = scene.mask(one.index)
        if one.effect == "stay":
            assert np.array_equal(one.target, original)
        elif one.effect == "vanish":
            assert original.any() and not one.target.any()
        else:
            assert one.target.any() and not np.array_equal(one.target, original)
    assert effects == {kind: set(about.effects) for kind, about in SENTENCE_KINDS.items()}


def test_no_variant_is_its_original(variants):
    assert all(original != one.text for _, original, one in variants)


def test_variants_are_a_function_of_image_sentence_kind_and_seed(scenes, variants):
    def told(scene, *args):
        return [(one.index, one.kind, one.text, one.detail) for one in change_sentences(scene, *args)]

    scene = scenes[7]
    all_of_it = told(scene)
    assert all_of_it == [
        (one.index, one.kind, one.text, one.detail) for other, _, one in variants if other.image_id == scene.image_id
    ]
    some = ["filler", "negation"]
    assert told(scene, some) == [one for one in all_of_it if one[1] in some]
    assert told(scene, None, 1) != all_of_it


def test_an_unknown_kind_is_named_with_what_may_have_been_meant(scenes):
    with pytest.raises(InvalidInput, match="unknown kind of sentence 'negations'; did you mean negation"):
        change_sentences(scenes[0], ["negations"])


def test_new_words_are_those_outside_of_the_grammar(variants):
    for _, original, one in variants:
        new = set(words_in(one.text)) - drawn_words()
        assert one.has_new_words == bool(new), (original, one.text)
        assert "new words" not in one.form
    assert "ring" in drawn_words() and "annulus" not in drawn_words()


def test_case_and_punctuation_leave_the_words(variants):
    for kind in ("case", "punctuation"):
        for original, one in of_kind(variants, kind):
            assert words_in(one.text) == words_in(original)


def test_filler_leaves_the_sentence_whole(variants):
    for original, one in of_kind(variants, "filler"):
        assert original in one.text


def test_dropped_words_are_small_ones(variants):
    for original, one in of_kind(variants, "dropped_words"):
        lost = Counter(original.split()) - Counter(one.text.split())
        assert lost and set(lost) <= SMALL_WORDS and not Counter(one.text.split()) - Counter(original.split())


def test_shuffled_words_are_the_same_words_and_certain_only_without_places_and_anchors(scenes, variants):
    for original, one in of_kind(variants, "shuffled_words"):
        assert sorted(one.text.split()) == sorted(original.split())
        if one.certain:
            assert not {"left", "right", "top", "bottom", "not", "non", "with", "of"} & set(original.split())
    assert {one.certain for _, one in of_kind(variants, "shuffled_words")} == {True, False}


def test_adjectives_are_the_same_words_in_another_order(variants):
    for original, one in of_kind(variants, "adjective_order"):
        assert sorted(one.text.split()) == sorted(original.split())


def test_left_and_right_are_swapped_everywhere(variants):
    for original, one in of_kind(variants, "left_right"):
        sides = [word for word in original.split() if word.startswith(("left", "right"))]
        swapped = [word for word in one.text.split() if word.startswith(("left", "right"))]
        assert (
            sides
            and [word.replace("left", "x").replace("right", "left").replace("x", "right") for word in sides] == swapped
        )


def test_expressions_without_referent_never_vanish_and_may_appear(scenes, variants):
    empty = [one for scene, _, one in variants if not scene.expressions[one.index].targets]
    assert {one.effect for one in empty} == {"stay", "change"}


def test_the_document_tells_of_each_kind_with_an_example_that_is_made(variants):
    text = (Path(__file__).parents[3] / "docs" / "robustness.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in re.findall(r"^\| (`\w+` \| (?:stay|change|vanish).*) \|$", text, re.MULTILINE)]
    told = {row[0].strip("`"): (tuple(row[1].split(", ")), tuple(row[3].split(" → "))) for row in rows}
    made = {(original, one.text) for _, original, one in variants}
    assert {kind: effects for kind, (effects, _) in told.items()} == {
        kind: about.effects for kind, about in SENTENCE_KINDS.items()
    }
    assert [example for _, example in told.values() if example not in made] == []


def test_nothing_is_compared_where_there_is_one_alone():
    star, circle = SHAPES.index("star"), SHAPES.index("circle")
    things = [(star, 20), (circle, 60), (circle, 110)]
    world = World(rasterise([DrawnObject((shape, 0, 0, 0), x, 64, 12, 0) for shape, x in things], 128))
    one, two, anchor = Noun(shape=star), Noun(shape=circle), Nth(Noun(shape=circle), "right")

    def comparing(noun):
        return [
            All(noun),
            Nth(noun, "left"),
            Nth(noun, "left", 1, True),
            Related(noun, "nearest", The(Noun(shape=star))),
        ]

    assert [fair(world, program) for program in comparing(one)] == [None, None, None, 0]  # no star is near itself
    assert [fair(world, program) for program in comparing(two)] == [0b110, 0b010, 0b010, 0b010]
    assert fair(world, Related(one, "farthest", anchor)) is None
    assert fair(world, Related(one, "left", anchor)) == fair(world, The(one)) == 0b001
    assert fair(world, Nth(one, "left", 2, True)) == 0
