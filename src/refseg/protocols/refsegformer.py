"""Protocol "refsegformer": the test of RefSegformer's release on R-RefCOCO, which has sentences about absent things.

Source         J. Wu et al. "Toward Robust Referring Image Segmentation". IEEE Transactions on Image Processing 2024:
               `utils/validation.py`, `dataset/transform.py`.
Compared at    480 x 480; image and true mask are squashed to it.
Foreground     the higher of two logits, resized to 480 bilinearly, corners aligned; a tie is background. Empty where
               the network answers none.
With target    oIoU over all expressions; mIoU = mean over refs of the mean IoU of a ref's expressions.
No target      mRR (r in the release) = mean over refs of the share of a ref's sentences that are answered by nothing.
All            rIoU = mean over refs of the intersections of a ref's expressions over their unions and all the pixels
               that are answered to its sentences without target.
Departs        The release counts pixels answered to a sentence without target on its network's own grid, a sixteenth
               of those at 480 x 480, so that its rIoU is higher where there are any; here they are counted at 480. Refs
               without such sentences, of which its mean would be NaN, are left out of mRR. Its Prec@X compares sums of
               IoUs and is not computed.

A ref is all sentences about one annotation; the ids of expressions begin with it ("REF-SENTENCE").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refseg import metrics
from refseg.metrics import Counts
from refseg.preprocessing.geometry import Geometry
from refseg.protocols.lavt import LAVT

if TYPE_CHECKING:
    from torch import Tensor


class RefSegformer(LAVT):
    """Metrics of papers on R-RefCOCO; without refs all expressions are taken for those of one."""

    name = "refsegformer"
    about = "squashed to 480x480, probability above 0.5, emptied where it answers none; means over refs"
    headline: ClassVar[tuple[str, ...]] = ("mIoU", "mRR", "rIoU", "oIoU")
    counts_no_target = False

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Thresholds logits on the square at 0; empty where no target is predicted."""
        masks = super().predict(logits, geometry, predicts_none, threshold)
        return masks & ~predicts_none.to(masks.device)[:, None, None]

    def from_masks(self, masks: Tensor, predicts_none: Tensor) -> Tensor:
        """Resizes masks to the square, empty where no target is predicted."""
        return super().from_masks(masks & ~predicts_none.to(masks.device)[:, None, None], predicts_none)

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics as if all expressions were about one ref; `by_ref` knows better."""
        return by_ref(counts, [""] * len(counts.union)).summarize()


@dataclass(frozen=True)
class RefCounts:
    """Counts and means of R refs.

    Attributes:
        refs: their names, in the order of their first expression.
        intersection, union: (R,) pixels of the expressions with a target, added up.
        invented: (R,) pixels answered to those without.
        iou: (R,) mean IoU of the expressions with a target, NaN without any.
        rejected: (R,) share of those without a target that are answered by nothing, NaN without any.
    """

    refs: Sequence[str]
    intersection: NDArray[np.int64]
    union: NDArray[np.int64]
    invented: NDArray[np.int64]
    iou: NDArray[np.float64]
    rejected: NDArray[np.float64]

    def summarize(self, chosen: Sequence[int] | None = None) -> dict[str, float]:
        """Computes the metrics of these refs, or of some of them by their numbers; empty without any."""
        some = np.arange(len(self.refs)) if chosen is None else np.asarray(chosen, np.int64)
        intersection, union, invented = self.intersection[some], self.union[some], self.invented[some]
        summary: dict[str, float] = {}
        has_target = ~np.isnan(self.iou[some])
        if has_target.any():
            summary["oIoU"] = metrics.overall_iou(intersection, union)
            summary["mIoU"] = metrics.mean(self.iou[some][has_target], "mIoU")
        if (rejected := self.rejected[some][~np.isnan(self.rejected[some])]).size:
            summary["mRR"] = metrics.mean(rejected, "mRR")
        if has_target.any():
            of_all = metrics.ratio(intersection[has_target], (union + invented)[has_target])
            summary["rIoU"] = metrics.mean(np.nan_to_num(of_all), "rIoU")
        return summary


def by_ref(counts: Counts, refs: Sequence[str]) -> RefCounts:
    """Adds up the counts of N expressions by their refs (N,)."""
    columns: Any = [np.asarray(column) for column in counts]
    intersection, union, has_target, has_prediction = columns
    numbers: dict[str, int] = {}
    of_expression = np.array([numbers.setdefault(ref, len(numbers)) for ref in refs], np.int64)
    ious = np.asarray(RefSegformer().ious(Counts(*columns)), np.float64)

    def total(values: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(of_expression[where], values[where], len(numbers)).astype(np.float64)

    with_target, without = total(np.ones(len(union)), has_target), total(np.ones(len(union)), ~has_target)
    return RefCounts(
        list(numbers),
        total(intersection, has_target).astype(np.int64),
        total(union, has_target).astype(np.int64),
        total(union, ~has_target).astype(np.int64),
        metrics.ratio(total(ious, has_target), with_target),
        metrics.ratio(total(~has_prediction, ~has_target), without),
    )


def ref_of(id: str) -> str:
    """Returns the ref in the id of an expression.

    >>> ref_of("12-3")
    '12'
    """
    return id.rpartition("-")[0]
