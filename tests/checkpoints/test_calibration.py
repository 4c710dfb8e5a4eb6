import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.checkpoints.calibration import Calibration, fit_calibration, fit_temperature, fit_threshold_logit
from refseg.errors import InvalidInput


def answers(temperature, count=20_000):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, count)
    return logits * temperature, rng.random(count) < 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_overconfidence(temperature):
    assert fit_temperature(*answers(temperature)) == pytest.approx(temperature, rel=0.05)


def test_the_threshold_separates_what_can_be_separated():
    assert fit_threshold_logit([-3.0, -1.0, 2.0, 5.0], [0, 0, 1, 1], [0, 0, 0.5, 0.5]) == 0.5


def test_an_answer_that_is_empty_anyway_does_not_move_the_threshold():
    assert fit_threshold_logit([-3.0, -1.0, 2.0, 5.0, 9.0], [0, 0, 1, 1, 0], [0, 0, 0.5, 0.5, 1]) == 0.5


def test_good_masks_are_not_given_up_for_one_right_nothing():
    exists, has_target = [-2.0, -1.0, 0.0, 1.0, 3.0], [1, 1, 1, 0, 1]
    assert fit_threshold_logit(exists, has_target, [0.8, 0.8, 0.8, 0, 0.8]) < -2
    assert 1 < fit_threshold_logit(exists, has_target, [0.2, 0.2, 0.2, 0, 0.8]) < 3


@given(st.lists(st.tuples(st.floats(-20, 20), st.booleans(), st.floats(0, 1)), min_size=2, max_size=12))
def test_no_other_threshold_is_better(expressions):
    exists, has_target, ious = (np.array(column) for column in zip(*expressions, strict=True))
    ious = np.where(has_target, ious, ious > 0.5)  # without a referent an answer is right or wrong

    def quality(threshold):
        return np.where(exists > threshold, ious, ~has_target).mean()

    best = quality(fit_threshold_logit(exists, has_target, ious))
    assert best >= max(quality(threshold) for threshold in [-99, *exists, 99]) - 1e-6


def test_probability_and_threshold_cut_where_the_logit_does():
    exists, has_target = answers(2.0)
    fitted = fit_calibration(exists, has_target, np.where(has_target, 0.9, 0), "made-up answers")
    threshold_logit = fit_threshold_logit(exists, has_target, np.where(has_target, 0.9, 0))
    probabilities = 1 / (1 + np.exp(-exists / fitted.temperature))
    assert ((probabilities > fitted.exists_threshold) == (exists > threshold_logit)).all()


def test_expressions_of_one_sort_cannot_calibrate():
    with pytest.raises(InvalidInput, match="with and without a target"):
        fit_calibration([1.0, 2.0], [True, True], [1, 1], "")


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_that_decides_everything_is_refused(threshold):
    with pytest.raises(ValueError, match="exists_threshold"):
        Calibration(exists_threshold=threshold)
