import numpy as np
import pytest
import torch

from refseg.batch import Batch
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.mixed_tiers import mix_tiers
from refseg.datasets.drawn_scenes.programs import World, evaluate_steps
from refseg.datasets.drawn_scenes.stored_scenes import stored_scenes
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes import find_recipe
from refseg.recipes.recipe import SceneData
from refseg.text.vocabulary import UNKNOWN, Vocabulary
from refseg.training.data.scene_batches import SceneBatches, TokenTable, phrase_numbers

STAGE = find_recipe("selector").stages[-1].replace(steps=30, images=4, expressions_per_image=3)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield stored_scenes(DrawnScenes("train", 64), workers=1)


@pytest.fixture(scope="module")
def words(stored):
    return TokenTable(stored.texts, Vocabulary.of(stored.texts))


def batches(stored, words, stage=STAGE, **keywords) -> SceneBatches:
    return SceneBatches(stored, words, Preprocessing(), stage, (0, 2), **keywords)


def assert_same(one: Batch, other: Batch) -> None:
    for name in ("image", "tokens", "image_of_expression", "targets"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0)


def test_stored_scenes_are_the_drawn_ones(stored):
    scenes = DrawnScenes("train", 64)
    for number in (0, 63):
        np.testing.assert_array_equal(stored.images[number], scenes[number].image)
        np.testing.assert_array_equal(stored.id_maps[number], scenes[number].id_map)
        mine = slice(stored.first[number], stored.first[number + 1])
        assert stored.texts[mine] == [expression.text for expression in scenes[number].expressions]
        bits = [sum(1 << (k - 1) for k in expression.targets) for expression in scenes[number].expressions]
        assert stored.referents[mine].tolist() == bits
        world = World(scenes[number].layout)
        assert stored.steps[mine].tolist() == [list(evaluate_steps(p, world)) for p in scenes[number].programs]


def test_a_step_is_a_function_of_its_number(stored, words):
    one, other = batches(stored, words), batches(stored, words)
    for step in (3, 0, 17):
        other[step + 1]
        assert_same(one[step], other[step])


def test_processes_share_a_step_without_changing_it(stored, words):
    whole = batches(stored, words)[5]
    halves = [batches(stored, words, rank=rank, world=2)[5] for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([half.image for half in halves]), whole.image)
    assert sum(len(half.tokens) for half in halves) == len(whole.tokens)


def test_an_epoch_shows_every_scene_once(stored, words):
    shown = batches(stored, words)
    first_epoch = [shown.order[place] for place in range(64)]
    second_epoch = [shown.order[place] for place in range(64, 128)]
    assert sorted(first_epoch) == sorted(second_epoch) == list(range(64))
    assert first_epoch != second_epoch


def test_a_mirrored_scene_swaps_left_and_right_as_whole_words(stored):
    vocabulary = Vocabulary.of(["the leftmost bright star left of the right rightmost leftover"])
    table = TokenTable(["leftmost bright left right rightmost leftover"], vocabulary)
    swapped = [vocabulary.words[i - 2] for i in table.mirrored[table.tokens[0]]]
    assert swapped == ["rightmost", "bright", "right", "left", "leftmost", "leftover"]


def test_mirroring_moves_image_masks_and_centres_together(stored, words):
    plain = batches(stored, words, STAGE.replace(flip=0, unknown_words=0))[0]
    mirrored = batches(stored, words, STAGE.replace(flip=1, unknown_words=0))[0]
    torch.testing.assert_close(mirrored.image, plain.image.flip(-1))
    torch.testing.assert_close(mirrored.masks(), plain.masks().flip(-1))
    there = plain.objects.present
    torch.testing.assert_close(mirrored.objects.centres[there][:, 0], 127 - plain.objects.centres[there][:, 0])


def test_masks_of_a_batch_are_the_scenes_own(stored, words):
    batch = batches(stored, words, STAGE.replace(expressions_per_image=100)).whole(range(2))
    for number, scene in enumerate(DrawnScenes("train", 2)):
        masks = batch.masks()[batch.image_of_expression == number].numpy()
        expected = [scene.mask(i) for i in range(len(scene.expressions))]
        assert sorted(mask.tobytes() for mask in masks) == sorted(mask.tobytes() for mask in expected)


def test_the_answer_of_a_program_is_among_what_it_describes(stored, words):
    batch = batches(stored, words)[1]
    named, anchors_named, described, anchors = batch.steps.unbind(1)
    assert batch.steps.shape == (len(batch.tokens), 4, batch.targets.shape[1])
    for inner, outer in ((batch.targets, described), (described, named), (anchors, anchors_named)):
        assert inner.any() and not (inner & ~outer).any()


def test_some_words_are_hidden_and_padding_never(stored, words):
    hidden = batches(stored, words, STAGE.replace(unknown_words=0.5))[0]
    assert 0.3 < (hidden.tokens[hidden.word_mask] == UNKNOWN).float().mean() < 0.7
    assert (hidden.tokens[~hidden.word_mask] == 0).all()


def test_one_noun_phrase_of_each_expression_is_erased_and_the_mask_stays(stored):
    words = TokenTable(stored.texts, Vocabulary.of(stored.texts), with_phrases=True)
    batch = batches(stored, words)[0]
    assert batch.erased is not None
    changed = batch.erased != batch.tokens
    assert changed.any() and (batch.erased[changed] == 0).all() and batch.word_mask[changed].all()
    for row in changed[changed.any(1)]:
        places = row.nonzero()[:, 0]
        assert (places.diff() == 1).all()  # the words of a phrase stand side by side


@pytest.mark.parametrize(("erasure", "same"), [("per_iteration", False), ("fixed", True)])
def test_the_erased_phrase_is_drawn_anew_in_each_epoch_or_once(stored, erasure, same):
    words = TokenTable(stored.texts, Vocabulary.of(stored.texts), with_phrases=True)
    stage = STAGE.replace(images=64, expressions_per_image=40, flip=0, unknown_words=0, erasure=erasure)
    erased = [
        {
            (tuple(tokens), tuple(without))
            for tokens, without in zip(batch.tokens.tolist(), batch.erased.tolist(), strict=True)
        }
        for batch in (batches(stored, words, stage=stage)[step] for step in range(2))
    ]
    assert {tokens for tokens, _ in erased[0]} == {tokens for tokens, _ in erased[1]}
    assert (erased[0] == erased[1]) == same


def test_the_phrases_of_a_sentence_are_numbered(stored):
    pytest.importorskip("textblob")
    (row,) = phrase_numbers(["the red star that is left of both circles"], 12)
    assert row[2] == 1 and row[8] == 2 and row[9:].sum() == 0


def test_tiers_are_mixed_scene_by_scene(stored):
    hard = stored_scenes(DrawnScenes("train", 64, tier="hard"), workers=1)
    mixed = mix_tiers([stored, hard])
    assert len(mixed) == 128
    rows = np.array([127, 0, 3, 64])
    for number, image, id_map in zip(rows, mixed.images[rows], mixed.id_maps[rows], strict=True):
        store, own = (stored, hard)[number % 2], number // 2
        np.testing.assert_array_equal(image, store.images[own])
        np.testing.assert_array_equal(id_map, store.id_maps[own])
        for name in ("centres", "radii", "attributes", "counts"):
            np.testing.assert_array_equal(getattr(mixed, name)[number], getattr(store, name)[own])
        mine, theirs = (slice(one.first[n], one.first[n + 1]) for one, n in ((mixed, number), (store, own)))
        assert mixed.texts[mine] == store.texts[theirs]
        for name in ("referents", "steps", "types", "kinds"):
            np.testing.assert_array_equal(getattr(mixed, name)[mine], getattr(store, name)[theirs])


def test_tiers_share_scenes_equally_or_not_at_all():
    with pytest.raises(ValueError, match="scenes is 65, which 2 tiers cannot share equally"):
        SceneData(scenes=65, tier=("base", "hard"))
    with pytest.raises(ValueError, match="a tier stands twice"):
        SceneData(scenes=64, tier=("base", "base"))
    assert SceneData(scenes=65).tiers == ("base",)
