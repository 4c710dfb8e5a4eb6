"""Protocols of newer test sets, by hand-computed figures."""

import numpy as np
import pytest
import torch

from refseg import protocols
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.evaluation.comparison import compare
from refseg.evaluation.report.report import PROTOCOL_COLUMNS, VIDEO_COLUMNS
from refseg.evaluation.rows import Row, Score
from refseg.evaluation.summarize import summarize
from refseg.metrics import Counts
from refseg.preprocessing.transform import Preprocessing
from refseg.protocols.refsegformer import by_ref
from refseg.protocols.video_protocol import Track


def answer(id: str, intersection: int, union: int, referents: int, has_prediction: bool = True, image: str = "") -> Row:
    score = Score(intersection, union, has_prediction, intersection / union if union else 0.0)
    about = {"expression": "it", "type": "", "kind": "", "part": "", "size": "", "exists": None, "seconds": 0.0}
    return Row(
        id=id, image_id=image or id[0], referents=referents, error="", scores={"refsegformer": score}, area=9, **about
    )


ROWS = [
    answer("0-0", 8, 16, 1),
    answer("0-1", 16, 16, 1),
    answer("0-2", 0, 40, 0),
    answer("0-3", 0, 0, 0, has_prediction=False),
    answer("0-4", 0, 0, 0, has_prediction=False),
    answer("1-0", 10, 40, 1),
    answer("1-1", 0, 60, 0),
    answer("2-0", 30, 60, 1),  # a ref without sentences about absent things
]
EXPECTED = {
    "oIoU": (8 + 16 + 10 + 30) / (16 + 16 + 40 + 60),
    "mIoU": (0.75 + 0.25 + 0.5) / 3,
    "mRR": (2 / 3 + 0) / 2,
    "rIoU": (24 / (32 + 40) + 10 / (40 + 60) + 0.5) / 3,
}


def test_means_are_over_refs_in_whatever_order():
    protocol = protocols.build("refsegformer")
    assert summarize(ROWS, protocol) == pytest.approx(EXPECTED)
    assert summarize(ROWS[::-1], protocol) == pytest.approx(EXPECTED)
    assert summarize(ROWS[7:], protocol) == {"oIoU": 0.5, "mIoU": 0.5, "rIoU": 0.5}
    assert summarize(ROWS[2:5], protocol) == {"mRR": 2 / 3}
    assert summarize([], protocol) == {}


def test_a_ref_that_is_drawn_twice_counts_twice_in_a_comparison():
    worse = [*ROWS[:7], answer("2-0", 0, 60, 1)]
    found = compare(ROWS, worse, protocols.build("refsegformer"))
    difference = found.metrics["mIoU"]
    assert (difference.a, difference.b) == pytest.approx((0.5, 1 / 3))
    low, high = difference.interval
    assert low == pytest.approx(-0.5) and high == 0  # ref 2 alone, or not at all, in three of three images


def test_refs_are_added_up_by_their_names():
    counts = Counts(*map(np.array, ([1, 2, 0], [2, 4, 5], [True, True, False], [True, True, True])))
    found = by_ref(counts, ["b", "a", "b"])
    assert found.refs == ["b", "a"] and found.invented.tolist() == [5, 0]
    assert found.summarize([0]) == {"oIoU": 0.5, "mIoU": 0.5, "mRR": 0.0, "rIoU": 1 / 7}


@pytest.mark.parametrize("name", ["refsegformer", "sesame"])
def test_masks_are_emptied_where_none_is_answered(name):
    protocol, geometry = protocols.build(name), Preprocessing().geometry((40, 50))
    logits, none = torch.ones(2, 1, 16, 16), torch.tensor([False, True])
    assert protocol.predict(logits, geometry, none).flatten(1).any(1).tolist() == [True, False]
    assert protocol.from_masks(torch.ones(2, 40, 50) > 0, none).flatten(1).any(1).tolist() == [True, False]


def test_an_empty_mask_says_that_the_referent_is_not_there():
    protocol, truths = protocols.build("sesame"), torch.zeros(4, 5, 5) > 0
    truths[:2, 1:3] = True
    has_target, none = torch.tensor([True, True, False, False]), torch.tensor([False, False, True, False])
    predicted = truths.clone()
    predicted[1], predicted[2], predicted[3, 4] = False, True, True
    counts = protocol.count(protocol.from_masks(predicted, none), truths, has_target, none)
    found = protocol.summarize(counts)
    assert found == {"See": 0.5, "cIoU": 10 / (10 + 10 + 5)}


def test_boxes_are_compared_in_fractions_of_pixels():
    protocol, yes = protocols.build("ref_l4"), torch.tensor([True] * 3)
    masks = torch.zeros(3, 10, 10) > 0
    masks[0, 2:6, 2:6] = masks[1, 2, 2] = masks[1, 5, 5] = True
    true = torch.tensor([[2.0, 2.0, 6.0, 7.5]] * 3, dtype=torch.float64)
    counts = protocol.count(protocol.from_masks(masks, ~yes), true, yes, ~yes)
    assert protocol.ious(counts).tolist() == [16 / 22, 16 / 22, 0]
    assert protocol.summarize(counts) == pytest.approx(
        {"Acc@0.5": 2 / 3, "Acc@0.75": 0, "Acc@0.9": 0, "mAcc": 5 / 10 * 2 / 3}
    )
    exact = protocol.count(true, true, yes, ~yes)
    assert protocol.ious(exact).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("seen", "answered", "region", "presence"),
    [
        ([1, 1, 0, 0], [0, 1, 1, 0], [0, 0.5, 0, 1], (1 / 3, 0.5 / 3)),
        ([0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], (1, 1)),
        ([0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 1], (0, 0)),
        ([1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0.5], (1, 1.5 / 4)),
    ],
)
def test_presence_counts_frames_with_a_mask(seen, answered, region, presence):
    j = np.array(region, float)
    found = protocols.build("long_rvos").summarize([Track("", j, j, np.array(seen) > 0, np.array(answered) > 0)])
    assert (found["tIoU"], found["vIoU"]) == pytest.approx(presence)
    assert found["J&F"] == found["J"] == j.mean()


def test_only_what_fits_a_data_set_is_offered():
    assert protocols.fitting("ref_l4") == ["ref_l4", "standard"]
    assert "refsegformer" in protocols.fitting("rrefcocog") and "refsegformer" not in protocols.fitting("refcoco")
    assert "long_rvos" in protocols.fitting("drawn_clips") and "davis" not in protocols.fitting("long_rvos")


def test_samples_are_scored_everywhere_unless_they_say_otherwise():
    (scene,) = DrawnScenes("val", count=1)
    assert scene.ignored(0) is None


@pytest.mark.parametrize("name", [*protocols.PROTOCOLS, *protocols.VIDEO_PROTOCOLS])
def test_tables_of_a_report_have_a_column_for_each_headline(name):
    shown = {*PROTOCOL_COLUMNS, *VIDEO_COLUMNS}
    assert set(protocols.build(name).headline) <= shown
