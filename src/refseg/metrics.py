"""Metrics of referring segmentation: per-expression counts of pixels in, one number in [0, 1] out.

Every function reads whole vectors, one entry per expression of a split: the mean of per-batch values is another number.
Counts are 64-bit integers and ratios are taken in double precision. How masks become counts, and which of these metrics
a published table means, is the business of `refseg.protocols`; `running_metrics` holds the same metrics across ranks.
"""

import math
from collections.abc import Hashable, Sequence
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


def count_pixels(predictions: Tensor, truths: Tensor) -> Counts:
    """Counts of masks (N, H, W) bool against masks of the same size; no referent = an empty true mask.

    Raises:
        ValueError: if the sizes differ.
    """
    if predictions.shape != truths.shape:
        raise ValueError(f"masks of shape {tuple(predictions.shape)} cannot be compared with {tuple(truths.shape)}")
    predictions, truths = predictions.bool().flatten(1), truths.bool().flatten(1)
    return Counts((predictions & truths).sum(1), (predictions | truths).sum(1), truths.any(1), predictions.any(1))


def iou(intersection: Tensor, union: Tensor) -> Tensor:
    """IoU of each expression, (N,) float64; 1 where both masks are empty.

    >>> iou(torch.tensor([1, 0]), torch.tensor([4, 0]))
    tensor([0.2500, 1.0000], dtype=torch.float64)
    """
    return torch.where(union == 0, 1.0, intersection.double() / union.double())


def overall_iou(intersection: Tensor, union: Tensor) -> float:
    """Overall IoU (oIoU; cIoU over all expressions): all intersections over all unions, so large referents weigh more.

    Raises:
        ValueError: if no union has a pixel, since the ratio is then undefined.

    >>> round(overall_iou(torch.tensor([1, 9]), torch.tensor([2, 10])), 4)
    0.8333
    """
    pixels = int(union.sum())
    if pixels == 0:
        raise ValueError("overall IoU is undefined: there is no pixel in any union")
    return int(intersection.sum()) / pixels


def mean_iou(intersection: Tensor, union: Tensor) -> float:
    """Mean of each expression's IoU (mIoU; gIoU over all expressions); summed exactly, so that order plays no part.

    Raises:
        ValueError: if there is no expression.

    >>> mean_iou(torch.tensor([1, 9]), torch.tensor([2, 10]))
    0.7
    """
    return _share(iou(intersection, union), "mean IoU")


def precision_at(threshold: float, intersection: Tensor, union: Tensor) -> float:
    """Prec@X: share of expressions whose IoU is at least X.

    Raises:
        ValueError: if there is no expression.

    >>> precision_at(0.5, torch.tensor([1, 9, 1]), torch.tensor([2, 10, 3])) == 2 / 3
    True
    """
    return _share(iou(intersection, union) >= threshold, f"Prec@{threshold}")


def no_target_accuracy(has_target: Tensor, has_prediction: Tensor) -> float:
    """N-acc: share of no-target expressions answered by an empty mask. Answering nothing wins it: read it with T-acc.

    Raises:
        ValueError: if every expression has a target.
    """
    return _share(~has_prediction[~has_target], "N-acc")


def target_accuracy(has_target: Tensor, has_prediction: Tensor) -> float:
    """T-acc: share of expressions with a target that are answered by some mask, right or wrong.

    Raises:
        ValueError: if no expression has a target.
    """
    return _share(has_prediction[has_target], "T-acc")


def _share(values: Tensor, name: str) -> float:
    if len(values) == 0:
        raise ValueError(f"{name} is undefined: there is no expression to average over")
    return math.fsum(values.tolist()) / len(values)


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
    names = ["mIoU", *(f"Prec@{threshold}" for threshold in PRECISION_THRESHOLDS)]
    return {"oIoU": sums[:, 0] / sums[:, 1], **dict(zip(names, means.T, strict=True))}


def interval(values: NDArray[np.float64], percent: float = 95.0) -> tuple[float, float]:
    """The central interval that holds `percent` of these bootstrap values."""
    tail = (100 - percent) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
