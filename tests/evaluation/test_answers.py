import dataclasses

import numpy as np
import pytest
import torch

from refseg.checkpoints import load_checkpoint
from refseg.crf import DenseCRF
from refseg.datasets.drawn_scenes import DrawnScenes
from refseg.errors import InvalidInput
from refseg.evaluation.answers import Answers, answer, answer_by_masks, answer_by_objects, ask
from refseg.protocols.standard import Standard


@pytest.fixture(scope="module")
def checkpoint(checkpoint_folder):
    return load_checkpoint(checkpoint_folder)


@pytest.fixture(scope="module")
def scenes():
    return list(DrawnScenes("val", count=10))


@pytest.fixture(scope="module")
def answers(checkpoint, scenes):
    return answer(checkpoint, scenes, Standard())


def counted(rows):
    return [(row.image_id, row.expression, row.intersection, row.union, row.predicted_empty) for row in rows]


def test_counting_by_objects_equals_counting_masks(checkpoint, scenes):
    by_objects, by_masks = Answers([], []), Answers([], [])
    for asked in ask(checkpoint, scenes):
        answer_by_objects(checkpoint, asked, by_objects)
        answer_by_masks(checkpoint, asked, Standard(), by_masks)
    assert counted(by_objects.rows) == counted(by_masks.rows)


def test_a_row_for_every_expression_in_order(answers, scenes):
    expected = [(scene.image_id, e.text) for scene in scenes for e in scene.expressions]
    assert [(row.image_id, row.expression) for row in answers.rows] == expected


def test_trained_weights_answer_most_expressions(answers):
    good = [row.intersection / row.union > 0.5 for row in answers.rows if row.has_target]
    assert sum(good) > 0.8 * len(good)


def test_every_expression_has_a_probability_and_a_cause(answers):
    assert all(0 <= row.exists <= 1 and row.cause in ("missed", "choice", "mask") for row in answers.rows)


def test_a_perfect_choice_is_no_worse_than_the_answer(answers):
    same_set = [row for row in answers.rows if row.cause == "mask"]
    assert all(row.perfect == (row.intersection, row.union) for row in same_set if row.has_target)


def test_the_size_of_a_target_is_that_of_its_object(answers, scenes):
    sizes = [row.size for row in answers.rows]
    expressions = [e for scene in scenes for e in scene.expressions]
    assert {"small", "medium", "large"} <= set(sizes)
    assert all((size == "") == (not e.targets) for size, e in zip(sizes, expressions, strict=True))


def test_the_batch_size_changes_no_count(checkpoint, scenes, answers, monkeypatch):
    monkeypatch.setattr("refseg.evaluation.answers.IMAGES_AT_ONCE", 1)
    assert counted(answer(checkpoint, scenes, Standard()).rows) == counted(answers.rows)


def test_scenes_of_another_size_are_answered_through_masks(checkpoint):
    (scene,) = DrawnScenes("val", count=1, side=256)
    large = answer(checkpoint, [scene], Standard())
    assert len(large.rows) == len(scene.expressions) and large.finder == []
    assert max(row.union for row in large.rows) > 128 * 128 / 20


def test_an_unmatched_object_is_missed(checkpoint, scenes, answers):
    for found in answers.finder:
        assert found.missed == sum(value == 0 for value in found.ious) and len(found.ious) == found.objects


def test_a_network_in_training_is_evaluated_in_evaluation_mode_and_returned_as_it_was(
    checkpoint_folder, scenes, answers
):
    training = load_checkpoint(checkpoint_folder)
    training.network.train()
    training.network.chooser.eval()
    assert counted(answer(training, scenes, Standard()).rows) == counted(answers.rows)
    assert training.network.finder.training and not training.network.chooser.training


def test_no_gradients_are_kept(checkpoint, scenes):
    (asked,) = ask(checkpoint, scenes[:2])
    assert not asked.output.logits.requires_grad


def test_a_higher_threshold_answers_less(checkpoint_folder, scenes):
    strict = load_checkpoint(checkpoint_folder)
    strict.network.exists_threshold_logit = 1e3
    assert all(row.predicted_empty for row in answer(strict, scenes, Standard()).rows)


def test_temperature_changes_probabilities_only(checkpoint, scenes, answers):
    calibration = checkpoint.calibration.replace(temperature=4.0)
    soft = answer(dataclasses.replace(checkpoint, calibration=calibration), scenes, Standard())
    assert counted(soft.rows) == counted(answers.rows)
    torch.testing.assert_close(
        torch.tensor([row.exists for row in soft.rows]).logit() * 4,
        torch.tensor([row.exists for row in answers.rows]).logit(),
        rtol=0.02,
        atol=0.5,
    )


def test_a_longer_expression_than_the_network_reads_is_an_error(checkpoint, scenes):
    (scene,) = DrawnScenes("val", count=1)
    scene.expressions = (dataclasses.replace(scene.expressions[0], text="red " * 30),)
    with pytest.raises(InvalidInput, match="30 words"):
        answer(checkpoint, [scene], Standard())


def test_a_crf_is_given_each_expressions_image_as_it_was_and_its_logits_are_scored(checkpoint, scenes, answers):
    class Inverse(DenseCRF):
        def refine(self, logits, images):
            for image, scene in zip(images, asked, strict=True):
                np.testing.assert_array_equal(image, scene.image)
            return -logits

    asked = [scene for scene in scenes[:3] for _ in scene.expressions]
    inverse = answer(checkpoint, scenes[:3], Standard(), crf=Inverse())
    assert inverse.finder == [] and len(inverse.rows) == len(asked)
    for row, plain in zip(inverse.rows, answers.rows, strict=False):
        assert row.exists == pytest.approx(plain.exists, abs=1e-6)
        assert (row.cause, row.expression) == ("", plain.expression)
        assert row.union > 128 * 128 / 2
