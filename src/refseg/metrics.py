"""Metrics of referring segmentation in [0, 1], from pixel counts per expression.

Functions take vectors with one entry per expression of a whole split; averages of per-batch values differ. Counts are
64-bit integers, ratios are in double precision. `refseg.protocols` turns masks into counts and tells which metric a
published table means; `training.running_metrics` computes the same metrics across ranks.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from refseg.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

Values: TypeAlias = Any
"""(N,), an entry per expression: a tensor, or a NumPy array, which needs no torch."""

PRECISION_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


class Counts(NamedTuple):
    """Pixel counts of N expressions.

    Attributes:
        intersection: (N,) int64, pixels in both the predicted and the true mask.
        union: (N,) int64, pixels in either mask.
        has_target: (N,) bool, False for no-target expressions.
        has_prediction: (N,) bool, False for an empty predicted mask.
    """

    intersection: Values
    union: Values
    has_target: Values
    has_prediction: Values

    def where(self, chosen: Values) -> Counts:
        """Selects the expressions where `chosen` (N,) bool is True."""
        return Counts(*(column[chosen] for column in self))


def count_pixels(predictions: Tensor, truths: Tensor, has_target: Tensor) -> Counts:
    """Counts the pixels of predicted and true masks.

    Args:
        predictions: (N, H, W) bool.
        truths: (N, H, W) bool.
        has_target: (N,) bool, from the data set: a referent may have no visible pixel.

    Raises:
        ValueError: if the sizes differ.
    """
    if predictions.shape != truths.shape:
        raise ValueError(f"masks of shape {tuple(predictions.shape)} cannot be compared with {tuple(truths.shape)}")
    predictions, truths = predictions.bool(), truths.bool()
    if predictions.device.type == "cpu":  # NumPy counts bits many times faster than torch
        pairs = list(zip(predictions.numpy(), truths.numpy(), strict=True))
        numbers = [[np.count_nonzero(mask) for mask in (one & other, one, other)] for one, other in pairs]
        intersection, predicted, true = torch.tensor(numbers, dtype=torch.int64).view(-1, 3).unbind(1)
    else:
        intersection, predicted, true = (masks.sum((1, 2)) for masks in (predictions & truths, predictions, truths))
    return Counts(intersection, predicted + true - intersection, has_target, predicted > 0)


def double(values: Values) -> Values:
    """Converts numbers or truth values to 64-bit floating point."""
    return values.astype(np.float64) if isinstance(values, np.ndarray) else values.double()


def ratio(numerator: Values, denominator: Values) -> Values:
    """Divides in double precision; 0 / 0 is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return double(numerator) / double(denominator)


def where(condition: Values, value: Values | float, other: Values | float) -> Values:
    """Selects from `value` where the condition holds, and from `other` elsewhere."""
    choose = np.where if isinstance(condition, np.ndarray) else torch.where
    chosen: Values = choose(condition, value, other)
    return chosen


def iou(intersection: Values, union: Values) -> Values:
    """Computes the IoU of each expression, (N,) float64; 1 where both masks are empty.

    >>> iou(torch.tensor([1, 0]), torch.tensor([4, 0]))
    tensor([0.2500, 1.0000], dtype=torch.float64)
    """
    return where(union == 0, 1.0, ratio(intersection, union))


def overall_iou(intersection: Values, union: Values) -> float:
    """Computes the overall IoU (oIoU, or cIoU): all intersections over all unions, NaN without pixels.

    Large referents weigh more.

    >>> round(overall_iou(torch.tensor([1, 9]), torch.tensor([2, 10])), 4)
    0.8333
    """
    pixels = int(union.sum())
    return int(intersection.sum()) / pixels if pixels else math.nan


def mean(values: Values, name: str) -> float:
    """Averages a metric over expressions (N,); the sum is exact, so their order does not matter.

    Raises:
        ValueError: without expressions; the message has the metric's name.

    >>> mean(torch.tensor([0.5, 0.9], dtype=torch.float64), "mIoU")
    0.7
    """
    if len(values) == 0:
        raise ValueError(f"{name} is undefined: there is no expression to average over")
    return math.fsum(values.tolist()) / len(values)


def precisions(
    ious: Values,
    thresholds: Sequence[float] = PRECISION_THRESHOLDS,
    passes: Callable[[Values, float], Values] = operator.ge,
) -> dict[str, float]:
    """Computes Prec@X by name: the share of expressions whose IoU (N,) is at least X, or as `passes` compares.

    >>> precisions(torch.tensor([0.5, 0.9, 0.1], dtype=torch.float64), [0.5])
    {'Prec@0.5': 0.6666666666666666}
    """
    return {precision_name(x): mean(passes(ious, x), precision_name(x)) for x in thresholds}


def overall_mean_precisions(
    counts: Counts, ious: Values, thresholds: Sequence[float] = PRECISION_THRESHOLDS
) -> dict[str, float]:
    """Computes oIoU, mIoU and Prec@X of expressions with these IoUs (N,); empty without expressions."""
    if not len(ious):
        return {}
    oiou = overall_iou(counts.intersection, counts.union)
    return {"oIoU": oiou, "mIoU": mean(ious, "mIoU"), **precisions(ious, thresholds)}


def precision_name(threshold: float) -> str:
    """Returns the name of Prec@X, with X free of rounding errors.

    >>> precision_name(0.7000000000000002)
    'Prec@0.7'
    """
    return f"Prec@{threshold:.4g}"


def no_target_accuracy(has_target: Values, has_prediction: Values) -> float:
    """Computes N-acc, the share of no-target expressions with an empty predicted mask.

    It is 1 for empty masks everywhere, so read it with T-acc.

    Raises:
        ValueError: if every expression has a target.
    """
    return mean(~has_prediction[~has_target], "N-acc")


def target_accuracy(has_target: Values, has_prediction: Values) -> float:
    """Computes T-acc, the share of expressions with a target whose predicted mask is not empty.

    Raises:
        ValueError: if no expression has a target.
    """
    return mean(has_prediction[has_target], "T-acc")


def bootstrap(counts: Counts, image_ids: Sequence[Hashable], resamples: int = 1000) -> dict[str, NDArray[np.float64]]:
    """Bootstraps oIoU, mIoU and Prec@X over images, `resamples` values each, for expressions with a target.

    Images are resampled, not expressions, since expressions about one image are not independent. The resamples depend
    on the number of images alone, so the interval of the difference of two systems on the same expressions is
    `interval(a["oIoU"] - b["oIoU"])`.

    Args:
        counts: of N expressions.
        image_ids: the image of each expression, (N,).
        resamples: number of resamples, each of as many images as there are.

    Returns:
        An empty dictionary if no expression has a target.
    """
    with_target = counts.where(counts.has_target)
    if len(with_target.union) == 0:
        return {}
    kept = counts.has_target.tolist()
    rows: dict[Hashable, int] = {}
    image_rows = [rows.setdefault(image, len(rows)) for image, keep in zip(image_ids, kept, strict=True) if keep]
    ious = np.asarray(iou(with_target.intersection, with_target.union))
    per_expression = np.stack(
        [np.asarray(with_target.intersection), np.asarray(with_target.union), np.ones_like(ious), ious]
        + [ious >= threshold for threshold in PRECISION_THRESHOLDS],
        axis=1,
    )
    per_image = np.zeros((len(rows), per_expression.shape[1]))
    np.add.at(per_image, image_rows, per_expression)
    draws = np.random.default_rng(0).integers(0, len(rows), (resamples, len(rows)))
    sums = np.stack([per_image[draw].sum(0) for draw in draws])
    means = sums[:, 3:] / sums[:, 2:3]
    names = ["mIoU", *map(precision_name, PRECISION_THRESHOLDS)]
    return {"oIoU": sums[:, 0] / sums[:, 1], **dict(zip(names, means.T, strict=True))}


def interval(values: NDArray[np.float64], percent: float = 95.0) -> tuple[float, float]:
    """Returns the central interval that holds `percent` of the bootstrap values."""
    tail = (100 - percent) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
