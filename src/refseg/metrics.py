"""Metrics of referring segmentation: per-expression counts of pixels in, one number in [0, 1] out.

Every function reads whole vectors, one entry per expression of a split: the mean of per-batch values is another number.
Counts are 64-bit integers and ratios are taken in double precision. How masks become counts, and which of these metrics
a published table means, is the business of `refseg.protocols`; `running_metrics` holds the same metrics across ranks.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PRECISION_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


class Counts(NamedTuple):
    """What scoring needs to know about N expressions.

    Attributes:
        intersection: (N,) int64, pixels in both the predicted and the true mask.
        union: (N,) int64, pixels in either.
        has_target: (N,) bool, False where the expression refers to nothing.
        has_prediction: (N,) bool, False where the answer is an empty mask.
    """

    intersection: Tensor
    union: Tensor
    has_target: Tensor
    has_prediction: Tensor

    def where(self, chosen: Tensor) -> "Counts":
        """The counts of the expressions that `chosen` (N,) marks."""
        return Counts(*(column[chosen] for column in self))


def count_pixels(predictions: Tensor, truths: Tensor, has_target: Tensor) -> Counts:
    """Counts of masks (N, H, W) bool against masks of the same size.

    Args:
        predictions: (N, H, W) bool.
        truths: (N, H, W) bool.
        has_target: (N,) bool, as the data set has it: a referent may have no visible pixel.

    Raises:
        ValueError: if the sizes differ.
    """
    if predictions.shape != truths.shape:
        raise ValueError(f"masks of shape {tuple(predictions.shape)} cannot be compared with {tuple(truths.shape)}")
    predictions, truths = predictions.bool(), truths.bool()
    if predictions.device.type == "cpu":  # where NumPy counts bits many times as fast as torch
        pairs = list(zip(predictions.numpy(), truths.numpy(), strict=True))
        numbers = [[np.count_nonzero(mask) for mask in (one & other, one, other)] for one, other in pairs]
        intersection, predicted, true = torch.tensor(numbers, dtype=torch.int64).view(-1, 3).unbind(1)
    else:
        intersection, predicted, true = (masks.sum((1, 2)) for masks in (predictions & truths, predictions, truths))
    return Counts(intersection, predicted + true - intersection, has_target, predicted > 0)


def iou(intersection: Tensor, union: Tensor) -> Tensor:
    """IoU of each expression, (N,) float64; 1 where both masks are empty.

    >>> iou(torch.tensor([1, 0]), torch.tensor([4, 0]))
    tensor([0.2500, 1.0000], dtype=torch.float64)
    """
    return torch.where(union == 0, 1.0, intersection.double() / union.double())


def overall_iou(intersection: Tensor, union: Tensor) -> float:
    """Overall IoU (oIoU; cIoU over all expressions): all intersections over all unions, so large referents weigh more.

    NaN if no union has a pixel.

    >>> round(overall_iou(torch.tensor([1, 9]), torch.tensor([2, 10])), 4)
    0.8333
    """
    pixels = int(union.sum())
    return int(intersection.sum()) / pixels if pixels else math.nan


def mean(values: Tensor, name: str) -> float:
    """The mean over expressions (N,) of a metric of this name; summed exactly, so that order plays no part.

    Raises:
        ValueError: if there is no expression.

    >>> mean(torch.tensor([0.5, 0.9], dtype=torch.float64), "mIoU")
    0.7
    """
    if len(values) == 0:
        raise ValueError(f"{name} is undefined: there is no expression to average over")
    return math.fsum(values.tolist()) / len(values)


def precisions(
    ious: Tensor,
    thresholds: Sequence[float] = PRECISION_THRESHOLDS,
    passes: Callable[[Tensor, float], Tensor] = torch.ge,
) -> dict[str, float]:
    """Prec@X of each X, by name: share of expressions whose IoU (N,) is at least X, or whatever `passes` it.

    >>> precisions(torch.tensor([0.5, 0.9, 0.1], dtype=torch.float64), [0.5])
    {'Prec@0.5': 0.6666666666666666}
    """
    return {precision_name(x): mean(passes(ious, x), precision_name(x)) for x in thresholds}


def overall_mean_precisions(
    counts: Counts, ious: Tensor, thresholds: Sequence[float] = PRECISION_THRESHOLDS
) -> dict[str, float]:
    """oIoU, mIoU and Prec@X of expressions with these IoUs (N,); nothing of no expressions."""
    if not len(ious):
        return {}
    oiou = overall_iou(counts.intersection, counts.union)
    return {"oIoU": oiou, "mIoU": mean(ious, "mIoU"), **precisions(ious, thresholds)}


def precision_name(threshold: float) -> str:
    """Of Prec@X, without what rounding leaves of X.

    >>> precision_name(0.7000000000000002)
    'Prec@0.7'
    """
    return f"Prec@{threshold:.4g}"


def no_target_accuracy(has_target: Tensor, has_prediction: Tensor) -> float:
    """N-acc: share of no-target expressions answered by an empty mask. Answering nothing wins it: read it with T-acc.

    Raises:
        ValueError: if every expression has a target.
    """
    return mean(~has_prediction[~has_target], "N-acc")


def target_accuracy(has_target: Tensor, has_prediction: Tensor) -> float:
    """T-acc: share of expressions with a target that are answered by some mask, right or wrong.

    Raises:
        ValueError: if no expression has a target.
    """
    return mean(has_prediction[has_target], "T-acc")


def bootstrap(counts: Counts, image_ids: Sequence[Hashable], resamples: int = 1000) -> dict[str, NDArray[np.float64]]:
    """oIoU, mIoU and Prec@X of resampled images, `resamples` values each; of expressions with a target only.

    Images are drawn, not expressions, because expressions about one image are not independent. The draws depend on the
    number of images alone: two systems on the same expressions meet the same resamples, and the interval of their
    difference is `interval(a["oIoU"] - b["oIoU"])`.

    Args:
        counts: of N expressions.
        image_ids: the image of each expression, (N,).
        resamples: how often to draw as many images as there are.

    Returns:
        An empty dictionary if no expression has a target.
    """
    with_target = counts.where(counts.has_target)
    if len(with_target.union) == 0:
        return {}
    kept = counts.has_target.tolist()
    rows: dict[Hashable, int] = {}
    of_image = [rows.setdefault(image, len(rows)) for image, keep in zip(image_ids, kept, strict=True) if keep]
    ious = iou(with_target.intersection, with_target.union).numpy()
    per_expression = np.stack(
        [with_target.intersection.numpy(), with_target.union.numpy(), np.ones_like(ious), ious]
        + [ious >= threshold for threshold in PRECISION_THRESHOLDS],
        axis=1,
    )
    per_image = np.zeros((len(rows), per_expression.shape[1]))
    np.add.at(per_image, of_image, per_expression)
    draws = np.random.default_rng(0).integers(0, len(rows), (resamples, len(rows)))
    sums = np.stack([per_image[draw].sum(0) for draw in draws])
    means = sums[:, 3:] / sums[:, 2:3]
    names = ["mIoU", *map(precision_name, PRECISION_THRESHOLDS)]
    return {"oIoU": sums[:, 0] / sums[:, 1], **dict(zip(names, means.T, strict=True))}


def interval(values: NDArray[np.float64], percent: float = 95.0) -> tuple[float, float]:
    """The central interval that holds `percent` of these bootstrap values."""
    tail = (100 - percent) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
