import numpy as np
import pytest

from refseg.errors import InvalidInput
from refseg.evaluation.comparison import compare
from refseg.evaluation.leaderboard import holm, rank
from refseg.evaluation.rows import Row, Score
from refseg.evaluation.scoring import STANDARD


def rows(ious, protocol="standard"):
    """Two expressions an image, unions of 100 pixels."""
    facts = {"type": "attribute", "kind": "", "part": "", "size": "", "referents": 1, "exists": None, "seconds": 0.0}
    return [
        Row(
            id=f"{i}",
            image_id=f"image {i // 2}",
            expression=f"expression {i}",
            error="",
            scores={protocol: Score(round(100 * iou), 100, iou > 0, round(100 * iou) / 100)},
            **facts,
        )
        for i, iou in enumerate(ious)
    ]


RANDOM = np.random.default_rng(0)
GOOD = RANDOM.uniform(0.4, 0.9, 60)
SYSTEMS = {"bad": rows(GOOD - 0.3), "good": rows(GOOD), "alike": rows(np.clip(GOOD + RANDOM.normal(0, 0.1, 60), 0, 1))}


def test_the_best_system_comes_first_and_each_pair_is_that_of_a_comparison():
    board = rank(SYSTEMS, STANDARD)
    assert (
        board.standings[-1].name == "bad" and board.metric == "oIoU" and (board.expressions, board.images) == (60, 30)
    )
    assert {(pair.higher, pair.lower) for pair in board.pairs} == {
        (a.name, b.name) for n, a in enumerate(board.standings) for b in board.standings[n + 1 :]
    }
    for pair in board.pairs:
        one = compare(SYSTEMS[pair.lower], SYSTEMS[pair.higher], STANDARD)
        assert (pair.p_value, pair.interval) == (one.p_value, one.metrics["oIoU"].interval)
        assert pair.difference >= 0 and pair.adjusted >= pair.p_value
    first = board.standings[0]
    assert first.intervals["oIoU"][0] < first.values["oIoU"] < first.intervals["oIoU"][1]


def test_systems_in_another_order_of_rows_rank_the_same():
    turned = {**SYSTEMS, "good": list(reversed(SYSTEMS["good"]))}
    assert rank(turned, STANDARD) == rank(SYSTEMS, STANDARD)


def test_rows_of_other_expressions_are_refused():
    with pytest.raises(InvalidInput, match="not about the same expressions"):
        rank({**SYSTEMS, "less": rows(GOOD[:-1])}, STANDARD)


@pytest.mark.parametrize(
    ("given", "adjusted"), [([], []), ([0.2], [0.2]), ([0.5, 0.6], [1.0, 1.0]), ([0.04, 0.01], [0.04, 0.02])]
)
def test_holms_method_adjusts_for_the_number_of_tests(given, adjusted):
    assert holm(given) == pytest.approx(adjusted)
