import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from refseg import protocols
from refseg.errors import InvalidInput
from refseg.preprocessing.transform import Preprocessing, photographs

STANDARD = protocols.build("standard")
NO, YES = torch.tensor([False]), torch.tensor([True])


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(InvalidInput, match="4x6"):
        STANDARD.count(torch.ones(1, 4, 6) > 0, torch.ones(1, 5, 6) > 0, YES, NO)


def test_an_unknown_protocol_lists_the_known_ones():
    with pytest.raises(InvalidInput, match="choose one of: a2d, cmirnet, cmpc, .*standard, vlt"):
        protocols.build("standart")


@given(st.integers(1, 90), st.integers(1, 90))
def test_logits_go_directly_from_the_networks_grid_to_the_images_size(height, width):
    logits = torch.randn(1, 1, 12, 12, generator=torch.manual_seed(0))
    expected = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)[:, 0]
    masks = STANDARD.predict(logits, photographs(480).geometry((height, width)), NO)
    assert torch.equal(masks[expected.abs() > 1e-6], (expected > 0)[expected.abs() > 1e-6])


@pytest.mark.parametrize("resize", ["letterbox_rounded", "letterbox_truncated"])
def test_a_letterbox_is_cut_out_before_logits_are_resized(resize):
    """40 x 80 in the middle of 32 x 32 has 16 rows, those from 8 to 24; on a grid of half the size 4 to 12."""
    geometry = Preprocessing(resize=resize, side=32).geometry((40, 80))
    logits = torch.randn(1, 1, 16, 16, generator=torch.manual_seed(0))
    expected = F.interpolate(logits[..., 4:12, :], (40, 80), mode="bilinear", align_corners=False)[:, 0] > 0
    assert torch.equal(STANDARD.predict(logits, geometry, NO), expected)


def test_an_answer_of_none_is_emptied_before_anything_is_counted():
    masks, none = torch.ones(2, 3, 3) > 0, torch.tensor([True, False])
    for predicted in (
        STANDARD.from_masks(masks, none),
        STANDARD.predict(torch.ones(2, 1, 3, 3), photographs(32).geometry((3, 3)), none),
    ):
        assert predicted.any((1, 2)).tolist() == [False, True]
        counts = STANDARD.count(predicted, masks, torch.tensor([True, True]), none)
        assert counts.intersection.tolist() == [0, 9] and STANDARD.summarize(counts)["T-acc"] == 0.5


def test_a_hidden_referent_is_a_target_all_the_same():
    empty = torch.zeros(1, 3, 3) > 0
    counts = STANDARD.count(empty, empty, YES, NO)
    assert STANDARD.summarize(counts) == {
        "mIoU": 1.0,
        **{f"Prec@{x}": 1.0 for x in (0.5, 0.6, 0.7, 0.8, 0.9)},
        "T-acc": 0.0,
        "gIoU": 1.0,
    }


def test_without_no_target_expressions_two_metrics_are_twins_and_one_is_absent(golden):
    counts = golden.of_pairs("standard")
    summary = STANDARD.summarize(counts.where(counts.has_target))
    assert summary["gIoU"] == summary["mIoU"] and summary["cIoU"] == summary["oIoU"] and "N-acc" not in summary
