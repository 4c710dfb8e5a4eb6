import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.evaluation.report.confidence import reliability, risk_coverage

answers = st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.floats(0, 1)), min_size=1, max_size=30)


@given(answers, st.randoms())
def test_the_order_of_equally_sure_answers_plays_no_part(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    areas = [risk_coverage(*zip(*some, strict=True)).area for some in (pairs, shuffled)]
    assert areas[0] == pytest.approx(areas[1])


@given(answers)
def test_at_full_coverage_the_risk_is_that_of_all(pairs):
    sure, risk = zip(*pairs, strict=True)
    curve = risk_coverage(sure, risk)
    assert curve.coverage[-1] == 1 and curve.risk[-1] == pytest.approx(np.mean(risk))


def test_knowing_what_is_right_has_the_smallest_area():
    risk = [0.0, 0.2, 0.9, 1.0]
    known = risk_coverage([0.9, 0.8, 0.2, 0.1], risk).area
    assert known < risk_coverage([0.5] * 4, risk).area < risk_coverage([0.1, 0.2, 0.8, 0.9], risk).area


def test_perfect_calibration_has_no_error():
    found = reliability([0.25] * 4 + [1.0] * 2, [True, False, False, False, True, True])
    assert found.ece == 0 and found.expressions == (4, 2)


def test_certain_and_wrong_has_the_largest_error():
    found = reliability([1.0, 0.0], [False, True])
    assert found.ece == found.brier == 1
