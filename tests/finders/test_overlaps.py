import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.finders.overlaps import box_ious, suppress_overlaps


def greedy(boxes: np.ndarray, labels: np.ndarray, max_iou: float) -> list[bool]:
    """One box after another, as darknet does it."""
    kept: list[int] = []
    for k in range(len(boxes)):
        ious = box_ious(boxes)[k]
        if not any(ious[better] > max_iou and labels[better] == labels[k] for better in kept):
            kept.append(k)
    return [k in kept for k in range(len(boxes))]


def corners(numbers: list[list[int]]) -> np.ndarray:
    values = np.array(numbers, np.float64).reshape(-1, 4)
    return np.concatenate([values[:, :2], values[:, :2] + values[:, 2:]], 1)


number = st.integers(0, 6)


@given(st.lists(st.tuples(number, number, number, number, st.integers(0, 1)), max_size=25), st.floats(0.05, 0.9))
def test_all_at_once_equals_one_after_another(things, max_iou):
    boxes, labels = corners([list(thing[:4]) for thing in things]), np.array([thing[4] for thing in things], int)
    assert suppress_overlaps(boxes, labels, max_iou).tolist() == greedy(boxes, labels, max_iou)


def test_a_box_that_is_dropped_drops_none_itself():
    chain = np.array([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]])  # each overlaps the next by 0.54
    assert suppress_overlaps(chain, np.zeros(3, int), 0.5).tolist() == [True, False, True]


def test_ious_of_equal_touching_and_empty_boxes():
    boxes = np.array([[0.0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2], [1, 1, 1, 1]])
    assert box_ious(boxes)[0].tolist() == pytest.approx([1, 1 / 3, 0, 0])
    assert box_ious(boxes)[3, 3] == 0
