"""One drawing: a field of 100 x 100 pixels with squares on it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refseg.evaluation.error_types import KINDS, is_at_edge, kind_of_mask
from refseg.samples import Expression, Sample

SIDE = 100


def square(left, top, side=20):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


LEFT, RIGHT, BELOW = square(10, 10), square(60, 10), square(10, 60)
NOTHING = np.zeros((SIDE, SIDE), bool)


class Squares(Sample):
    """Objects 1 to 3 are the squares; objects in `others` are known beside the referents."""

    image_id, image = "squares", np.zeros((SIDE, SIDE, 3), np.uint8)

    def __init__(self, *targets):
        self.expressions = (Expression("x", targets),)

    def referents(self, index):
        return np.array([(LEFT, RIGHT, BELOW)[k - 1] for k in self.expressions[0].targets])

    def mask(self, index):
        return np.logical_or.reduce(self.referents(index)) if self.expressions[0].targets else NOTHING

    def others(self, index):
        return [mask for k, mask in enumerate((LEFT, RIGHT, BELOW), 1) if k not in self.expressions[0].targets]


def kind(sample, answer):
    truth = sample.mask(0)
    both, either = int((answer & truth).sum()), int((answer | truth).sum())
    return kind_of_mask(sample, 0, answer, truth, both, either, int(truth.sum()))


@pytest.mark.parametrize(
    ("sample", "answer", "expected"),
    [
        (Squares(1), LEFT, "correct"),
        (Squares(), NOTHING, "correct"),
        (Squares(), LEFT, "invented one"),
        (Squares(1), NOTHING, "missed altogether"),
        (Squares(1), RIGHT, "wrong object"),
        (Squares(1, 2), BELOW, "wrong object"),
        (Squares(1), square(12, 10), "boundary only"),
        (Squares(1), square(10, 10, 12), "part missing"),
        (Squares(1), square(5, 5, 30), "too much"),
        (Squares(1), LEFT | RIGHT, "invented one"),
        (Squares(1, 2), LEFT, "missed one of many"),
        (Squares(1, 2, 3), LEFT | BELOW, "missed one of many"),
        (Squares(1, 2), LEFT | RIGHT | BELOW, "invented one"),
        (Squares(1, 2), ~NOTHING, "invented one"),
    ],
)
def test_each_kind_is_told_from_the_others(sample, answer, expected):
    assert kind(sample, answer) == expected


def test_without_knowledge_of_other_objects_one_more_is_too_much():
    sample = Squares(1)
    sample.others = lambda index: ()
    assert kind(sample, LEFT | RIGHT) == "too much"


def test_a_hidden_referent_answered_by_something_is_a_wrong_object():
    sample = Squares(1)
    sample.mask = lambda index: NOTHING
    sample.referents = lambda index: NOTHING[None]
    assert kind(sample, RIGHT) == "wrong object" and kind(sample, NOTHING) == "correct"


@given(arrays(bool, (SIDE, SIDE), fill=st.booleans()), st.lists(st.sampled_from([1, 2, 3]), unique=True))
def test_every_answer_has_a_kind(answer, targets):
    assert kind(Squares(*targets), answer) in KINDS


@given(st.integers(0, 8), st.integers(0, 8))
def test_at_the_edge_means_within_a_hundredth_of_the_diagonal(more, less):
    """Of this field that is two pixels."""
    truth, answer = square(30, 30), NOTHING.copy()
    answer[30 - more : 50, 30 + less : 50] = True
    assert is_at_edge(answer, truth) == (more <= 2 and less <= 2)
