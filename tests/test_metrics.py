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
    mean_iou,
    no_target_accuracy,
    overall_iou,
    precision_at,
    target_accuracy,
)

masks = arrays(bool, (4, 5, 6)).map(torch.from_numpy)


@st.composite
def pixels(draw):
    union = draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
    return torch.tensor([draw(st.integers(0, u)) for u in union]), torch.tensor(union)


@given(masks, masks)
def test_iou_is_symmetric(a, b):
    torch.testing.assert_close(iou(*count_pixels(a, b)[:2]), iou(*count_pixels(b, a)[:2]), rtol=0, atol=0)


@given(masks)
def test_a_mask_scores_one_against_itself_even_when_it_is_empty(mask):
    assert mean_iou(*count_pixels(mask, mask)[:2]) == 1


@given(pixels())
def test_all_metrics_lie_between_zero_and_one(counts):
    assert all(0 <= value <= 1 for value in (overall_iou(*counts), mean_iou(*counts), precision_at(0.5, *counts)))


@given(pixels(), st.randoms())
def test_the_order_of_expressions_changes_nothing(counts, random):
    order = list(range(len(counts[0])))
    random.shuffle(order)
    shuffled = [column[order] for column in counts]
    assert mean_iou(*counts) == mean_iou(*shuffled) and overall_iou(*counts) == overall_iou(*shuffled)


@given(pixels())
def test_precision_falls_as_the_threshold_rises(counts):
    values = [precision_at(threshold, *counts) for threshold in (0.5, 0.6, 0.7, 0.8, 0.9)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("tenths", range(1, 10))
def test_an_iou_exactly_at_the_threshold_passes(tenths):
    assert precision_at(tenths / 10, torch.tensor([tenths * 41]), torch.tensor([410])) == 1


def test_large_referents_weigh_more_in_overall_iou_only():
    counts = torch.tensor([900, 0]), torch.tensor([1000, 10])
    assert overall_iou(*counts) == 900 / 1010 and mean_iou(*counts) == 0.45


def test_sums_beyond_32_bits_are_exact():
    assert overall_iou(torch.full((3,), 2**31), torch.full((3,), 2**32)) == 0.5


def test_answering_nothing_wins_one_accuracy_and_loses_the_other():
    has_target, has_prediction = torch.tensor([True, True, False]), torch.tensor([False] * 3)
    assert no_target_accuracy(has_target, has_prediction) == 1 and target_accuracy(has_target, has_prediction) == 0


@pytest.mark.parametrize(
    "undefined",
    [
        lambda: overall_iou(torch.tensor([0]), torch.tensor([0])),
        lambda: mean_iou(torch.tensor([]), torch.tensor([])),
        lambda: no_target_accuracy(torch.tensor([True]), torch.tensor([True])),
        lambda: target_accuracy(torch.tensor([False]), torch.tensor([True])),
    ],
)
def test_what_has_no_expression_to_stand_on_is_an_error(undefined):
    with pytest.raises(ValueError, match="undefined"):
        undefined()


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
