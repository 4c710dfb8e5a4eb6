import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from refseg.preprocessing.transform import Preprocessing
from refseg.protocols.a2d import A2D, best_summary, judge, query_masks, ranked


def passes(x, intersection, union):
    return best_summary(torch.tensor([intersection]), torch.tensor([union]))[f"Prec@{x}"] == 1


@pytest.mark.parametrize(("x", "passed"), [(0.5, False), (0.6, True), (0.7, False), (0.8, True), (0.9, False)])
def test_an_iou_exactly_at_the_threshold_passes_as_its_float32_lies(x, passed):
    assert passes(x, round(x * 1000), 1000) is passed


def test_the_epsilon_lifts_an_exact_half_of_a_tiny_union():
    assert passes(0.5, 1, 2) and not passes(0.5, 50, 100)


def test_two_empty_masks_have_an_iou_of_1():
    summary = best_summary(torch.tensor([0]), torch.tensor([0]))
    assert summary["mIoU"] == 1 and math.isnan(summary["oIoU"])


def square(*corners):
    masks = np.zeros((len(corners), 40, 40), bool)
    for mask, (top, left, side) in zip(masks, corners, strict=True):
        mask[top : top + side, left : left + side] = True
    return masks


def test_the_last_of_equal_scores_is_the_best_candidate():
    (truth,) = square((0, 0, 8))
    first = judge("v_0", truth, square((20, 20, 8), (0, 0, 8)), torch.tensor([0.5, 0.5]))
    second = judge("v_1", truth, square((0, 0, 8), (20, 20, 8)), torch.tensor([0.5, 0.5]))
    assert ranked([first, second])["mIoU"] == pytest.approx(0.5)


def test_the_order_in_which_samples_come_changes_nothing():
    samples = [
        judge(f"v_{i}", square((i, 0, 20))[0], square((i, i, 20), (0, i, 18)), torch.tensor([0.5, 0.25 * (i % 3)]))
        for i in range(12)
    ]
    assert ranked(samples) == ranked(samples[::-1])


def test_a_perfect_ranking_and_areas_without_truth():
    summary = ranked([judge("v_0", *square((0, 0, 8)), square((20, 20, 4), (0, 0, 8)), torch.tensor([0.1, 0.9]))])
    assert summary["mAP"] == summary["AP small"] == pytest.approx(1) and summary["AP large"] == -1


def test_a_sample_without_candidates_is_missed():
    missed = judge("v_0", *square((0, 0, 8)), square(), torch.zeros(0))
    summary = ranked([missed])
    assert summary["mAP"] == summary["oIoU"] == 0
    with pytest.raises(ValueError, match="same id"):
        ranked([missed, missed])


def test_no_samples_have_no_metrics():
    assert ranked([]) == {} == best_summary(torch.zeros(0), torch.zeros(0))


def test_a_network_of_one_candidate_has_the_masks_of_queries():
    logits, prepare = torch.randn(3, 1, 6, 9, generator=torch.manual_seed(0)), Preprocessing(side=32, multiple_of=12)
    geometry = prepare.geometry((50, 45))
    assert geometry.padded_hw != geometry.resized_hw
    sizes = geometry.padded_hw, geometry.resized_hw, geometry.own_hw
    masks = A2D().predict(logits, geometry, torch.tensor([False, True, False]))
    assert torch.equal(masks, query_masks(logits[:, 0], *sizes))


def test_masks_are_cut_before_they_are_resized():
    logits = torch.randn(2, 6, 9, generator=torch.manual_seed(0))
    large = F.interpolate(logits[None], (24, 36), mode="bilinear", align_corners=False)[0] > 0
    masks = query_masks(logits, (24, 36), (20, 30), (50, 45))
    rows, columns = np.arange(50) * 20 // 50, np.arange(45) * 30 // 45
    assert torch.equal(masks, large[:, rows][:, :, columns])
