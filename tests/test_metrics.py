import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refseg.metrics import (
    Counts,
    bootstrap,
    count_pixels,
    interval,
    iou,
    mean,
    no_target_accuracy,
    overall_iou,
    overall_mean_precisions,
    precisions,
    target_accuracy,
)

masks = arrays(bool, (4, 5, 6)).map(torch.from_numpy)


@st.composite
def pixels(draw):
    union = draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
    return torch.tensor([draw(st.integers(0, u)) for u in union]), torch.tensor(union)


def ious_of(a, b):
    return iou(*count_pixels(a, b, torch.ones(len(a), dtype=torch.bool))[:2])


@given(masks, masks)
def test_iou_is_symmetric(a, b):
    assert torch.equal(ious_of(a, b), ious_of(b, a))


@given(masks)
def test_a_mask_scores_one_against_itself_even_when_it_is_empty(mask):
    assert (ious_of(mask, mask) == 1).all()


def test_an_expression_has_a_target_if_the_data_set_says_so():
    empty = torch.zeros(2, 3, 4) > 0
    counts = count_pixels(empty, empty, torch.tensor([True, False]))
    assert counts.has_target.tolist() == [True, False] and not counts.has_prediction.any()


def summary(intersection, union):
    has_target = torch.ones(len(union), dtype=torch.bool)
    return overall_mean_precisions(Counts(intersection, union, has_target, has_target), iou(intersection, union))


@given(pixels())
def test_all_metrics_lie_between_zero_and_one(counts):
    assert all(0 <= value <= 1 for value in summary(*counts).values())


@given(pixels(), st.randoms())
def test_the_order_of_expressions_changes_nothing(counts, random):
    order = list(range(len(counts[0])))
    random.shuffle(order)
    shuffled = [column[order] for column in counts]
    assert summary(*counts) == summary(*shuffled)


@given(pixels())
def test_precision_falls_as_the_threshold_rises(counts):
    values = list(precisions(iou(*counts)).values())
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("tenths", range(1, 10))
def test_an_iou_exactly_at_the_threshold_passes(tenths):
    ious = iou(torch.tensor([tenths * 41]), torch.tensor([410]))
    assert precisions(ious, [tenths / 10]) == {f"Prec@{tenths / 10}": 1}


def test_large_referents_weigh_more_in_overall_iou_only():
    counts = torch.tensor([900, 0]), torch.tensor([1000, 10])
    assert overall_iou(*counts) == 900 / 1010 and summary(*counts)["mIoU"] == 0.45


def test_sums_beyond_32_bits_are_exact():
    assert overall_iou(torch.full((3,), 2**31), torch.full((3,), 2**32)) == 0.5


def test_answering_nothing_wins_one_accuracy_and_loses_the_other():
    has_target, has_prediction = torch.tensor([True, True, False]), torch.tensor([False] * 3)
    assert no_target_accuracy(has_target, has_prediction) == 1 and target_accuracy(has_target, has_prediction) == 0


@pytest.mark.parametrize(
    "undefined",
    [
        lambda: mean(torch.tensor([]), "mIoU"),
        lambda: precisions(torch.tensor([])),
        lambda: no_target_accuracy(torch.tensor([True]), torch.tensor([True])),
        lambda: target_accuracy(torch.tensor([False]), torch.tensor([True])),
    ],
)
def test_what_has_no_expression_to_stand_on_is_an_error(undefined):
    with pytest.raises(ValueError, match="undefined"):
        undefined()


def test_overall_iou_without_a_pixel_is_nan():
    assert math.isnan(overall_iou(torch.tensor([0]), torch.tensor([0])))


def counts_of(intersection, union, has_target=None):
    has_target = torch.tensor(has_target or [True] * len(union))
    return Counts(torch.tensor(intersection), torch.tensor(union), has_target, torch.ones_like(has_target))


def test_the_interval_of_one_image_is_its_value():
    values = bootstrap(counts_of([1, 9], [2, 10]), ["a", "a"])
    assert interval(values["oIoU"]) == (10 / 12, 10 / 12)


def test_the_bootstrap_draws_images_and_not_expressions():
    together = bootstrap(counts_of([0, 10, 0, 10], [10] * 4), ["a", "a", "b", "b"])
    apart = bootstrap(counts_of([0, 10, 0, 10], [10] * 4), ["a", "b", "c", "d"])
    assert interval(together["mIoU"]) == (0.5, 0.5) and interval(apart["mIoU"]) == (0.0, 1.0)


def test_an_image_without_a_target_expression_takes_no_part_in_the_bootstrap():
    alone = bootstrap(counts_of([1, 9], [2, 10]), ["a", "b"])
    beside = bootstrap(counts_of([1, 0, 9], [2, 50, 10], [True, False, True]), ["a", "none", "b"])
    assert (alone["oIoU"] == beside["oIoU"]).all()


def test_no_interval_is_invented_without_targets():
    assert bootstrap(counts_of([0], [5], [False]), ["a"]) == {}
