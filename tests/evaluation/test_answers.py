import dataclasses

import numpy as np
import pytest
import torch

from refseg import protocols
from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.storage.annotation_masks import draw
from refseg.evaluation.answers import answer, answer_by_masks
from refseg.evaluation.object_answers import answer_by_objects
from refseg.evaluation.rows import rows_of
from refseg.evaluation.scoring import STANDARD
from refseg.inference.crf import DenseCRF
from refseg.inference.predict import predict_samples
from refseg.masks.rle import parse_rle


@pytest.fixture(scope="module")
def checkpoint(checkpoint_folder):
    return load_checkpoint(checkpoint_folder)


@pytest.fixture(scope="module")
def scenes():
    return list(DrawnScenes("val", count=10))


@pytest.fixture(scope="module")
def images(checkpoint, scenes):
    return list(answer(checkpoint, scenes))


@pytest.fixture(scope="module")
def rows(images):
    return rows_of(images)


def answered(*arguments, **settings):
    return rows_of(answer(*arguments, **settings))


def counted(rows):
    return [(row.id, row.expression, row.scores["standard"], row.error, row.size, row.referents) for row in rows]


def test_counting_by_objects_equals_counting_masks(checkpoint, scenes):
    asked = list(predict_samples(checkpoint, enumerate(scenes)))
    by_objects = rows_of(image for some in asked for image in answer_by_objects(checkpoint, some))
    assert counted(by_objects) == counted(rows_of(answer_by_masks(checkpoint, asked, [STANDARD])))


def test_a_row_for_every_expression_in_order(rows, scenes):
    expected = [(scene.image_id, e.text) for scene in scenes for e in scene.expressions]
    assert [(row.image_id, row.expression) for row in rows] == expected


def test_trained_weights_answer_most_expressions(rows):
    good = [row.scores["standard"].iou > 0.5 for row in rows if row.has_target]
    assert sum(good) > 0.8 * len(good)


def test_every_expression_has_a_probability_and_a_cause(rows):
    assert all(0 <= row.exists <= 1 and row.cause in ("missed", "choice", "mask") for row in rows)


def test_a_perfect_choice_is_no_worse_than_the_answer(rows):
    same_set = [row for row in rows if row.cause == "mask" and row.has_target]
    scores = [row.scores["standard"] for row in same_set]
    assert [row.perfect for row in same_set] == [(score.intersection, score.union) for score in scores]


def test_the_size_of_a_target_is_that_of_its_object(rows, scenes):
    sizes = [row.size for row in rows]
    expressions = [e for scene in scenes for e in scene.expressions]
    assert {"small", "medium", "large"} <= set(sizes)
    assert all((size == "") == (not e.targets) for size, e in zip(sizes, expressions, strict=True))


@pytest.mark.parametrize(("batch_images", "workers"), [(1, 0), (3, 2)])
def test_neither_batch_size_nor_threads_change_a_row(checkpoint, scenes, images, batch_images, workers):
    again = list(answer(checkpoint, scenes, batch_images=batch_images, workers=workers))
    assert counted(rows_of(again)) == counted(rows_of(images))
    assert [image.index for image in again] == list(range(len(scenes)))


def test_many_protocols_in_one_pass_count_as_each_by_itself(checkpoint, scenes):
    lavt, vlt = protocols.build("lavt"), protocols.build("vlt")
    together = answered(checkpoint, scenes[:3], [lavt, STANDARD, vlt], workers=2)
    for protocol in (lavt, vlt):
        alone = answered(checkpoint, scenes[:3], [protocol, STANDARD])
        assert [row.scores[protocol.name] for row in together] == [row.scores[protocol.name] for row in alone]
    assert counted(together) == counted(answered(checkpoint, scenes[:3]))


def test_each_image_is_encoded_once_for_all_protocols(checkpoint_folder, scenes):
    checkpoint, encoded = load_checkpoint(checkpoint_folder), []
    encode = checkpoint.network.encode_image
    checkpoint.network.encode_image = lambda images: encoded.append(len(images)) or encode(images)
    answered(checkpoint, scenes, [STANDARD, protocols.build("lavt"), protocols.build("cris")])
    assert sum(encoded) == len(scenes)


def test_answers_are_kept_as_run_lengths_where_that_is_asked_for(checkpoint, scenes, rows):
    (first, *_) = answer(checkpoint, scenes[:1], keep_masks=True)
    for row, code in zip(first.rows, first.masks, strict=True):
        mask, truth = draw([parse_rle(code)], (128, 128)), scenes[0].mask(first.rows.index(row))
        assert code["id"] == row.id and (mask & truth).sum() == row.scores["standard"].intersection


def test_scenes_of_another_size_are_answered_through_masks(checkpoint):
    (scene,) = DrawnScenes("val", count=1, side=256)
    (large,) = answer(checkpoint, [scene])
    assert len(large.rows) == len(scene.expressions) and large.found is None
    assert max(row.scores["standard"].union for row in large.rows) > 128 * 128 / 20


def test_an_unmatched_object_is_missed(images):
    for found in (image.found for image in images):
        assert found.missed == sum(value == 0 for value in found.ious) and len(found.ious) == found.objects


def test_a_network_in_training_is_evaluated_in_evaluation_mode_and_returned_as_it_was(checkpoint_folder, scenes, rows):
    training = load_checkpoint(checkpoint_folder)
    training.network.train()
    training.network.chooser.eval()
    assert counted(answered(training, scenes)) == counted(rows)
    assert training.network.finder.training and not training.network.chooser.training


def test_no_gradients_are_kept(checkpoint, scenes):
    (asked,) = predict_samples(checkpoint, enumerate(scenes[:2]))
    assert not asked.output.logits.requires_grad


def test_a_higher_threshold_answers_less(checkpoint_folder, scenes):
    strict = load_checkpoint(checkpoint_folder)
    strict.network.exists_threshold_logit = 1e3
    assert not any(row.scores["standard"].has_prediction for row in answered(strict, scenes))


def test_temperature_changes_probabilities_only(checkpoint, scenes, rows):
    calibration = checkpoint.calibration.replace(temperature=4.0)
    soft = answered(dataclasses.replace(checkpoint, calibration=calibration), scenes)
    assert counted(soft) == counted(rows)
    torch.testing.assert_close(
        torch.tensor([row.exists for row in soft]).logit() * 4,
        torch.tensor([row.exists for row in rows]).logit(),
        rtol=0.02,
        atol=0.5,
    )


@pytest.mark.parametrize("text", ["red " * 30, "...", "the zebra"])
def test_what_the_network_cannot_read_is_answered_all_the_same(checkpoint, text):
    (scene,) = DrawnScenes("val", count=1)
    scene.expressions = (dataclasses.replace(scene.expressions[0], text=text),)
    (row,) = answered(checkpoint, [scene])
    assert row.expression == text


def test_a_crf_is_given_each_expressions_image_as_it_was_and_its_logits_is_scored(checkpoint, scenes, rows):
    class Inverse(DenseCRF):
        def refine(self, logits, images):
            for image, scene in zip(images, asked, strict=True):
                np.testing.assert_array_equal(image, scene.image)
            return -logits

    asked = [scene for scene in scenes[:3] for _ in scene.expressions]
    inverse = list(answer(checkpoint, scenes[:3], crf=Inverse()))
    assert all(image.found is None for image in inverse) and len(rows_of(inverse)) == len(asked)
    for row, plain in zip(rows_of(inverse), rows, strict=False):
        assert row.exists == pytest.approx(plain.exists, abs=1e-6)
        assert (row.cause, row.expression) == ("", plain.expression)
        assert not row.scores["standard"].has_prediction or row.scores["standard"].union > 128 * 128 / 2
