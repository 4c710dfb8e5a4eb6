"""Protocol "standard": our own, for comparisons that follow no release.

Compared at    the true mask's own size; logits go there directly from the network's grid (padding cut off, then
               bilinear with align_corners=False, as `refseg.preprocessing` does it), stored masks have that size.
Foreground     logit > 0, probability > 0.5, or above the network's own threshold. Masks are emptied before counting
               where the network predicts no target.
IoU            intersection over union in double precision, 1 when both masks are empty.
With target    oIoU, mIoU, Prec@.5 to Prec@.9 (IoU at least X), T-acc; 95 % intervals by bootstrap over images.
No target      N-acc.
All            gIoU = mean IoU, cIoU = all intersections over all unions.
Ignored        pixels that a data set does not score (`Sample.ignored`) are left out of both masks.
Metrics without an expression to average over are absent.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, ClassVar

from refseg import metrics
from refseg.metrics import Counts, Values
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.restore import mask_at_image_size
from refseg.protocols.protocol import Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Standard(Protocol):
    """Metrics that this project reports."""

    name = "standard"
    about = "at the image's own size, logit above 0 (the network's own threshold), emptied where it answers none"
    headline: ClassVar[tuple[str, ...]] = ("oIoU", "mIoU", "gIoU")
    counts_no_target = False
    leaves_out_ignored = True

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Thresholds logits at the image's own size at 0."""
        if bool(predicts_none.any()):
            logits = logits.masked_fill(predicts_none.to(logits.device)[:, None, None, None], -1.0)
        return mask_at_image_size(logits, geometry)

    def from_masks(self, masks: Tensor, predicts_none: Tensor) -> Tensor:
        """Empties the masks where no target is predicted."""
        return masks & ~predicts_none.to(masks.device)[:, None, None]

    def ious(self, counts: Counts) -> Values:
        """Computes intersection over union, 1 where both masks are empty."""
        return metrics.iou(counts.intersection, counts.union)

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics of expressions with a target, without one, and of all."""
        summary: dict[str, float] = {}
        with_target = counts.where(counts.has_target)
        if len(with_target.union):
            summary |= metrics.overall_mean_precisions(with_target, self.ious(with_target))
            if not (with_target.union > 0).any():
                del summary["oIoU"]
            summary["T-acc"] = metrics.target_accuracy(counts.has_target, counts.has_prediction)
        if not bool(counts.has_target.all()):
            summary["N-acc"] = metrics.no_target_accuracy(counts.has_target, counts.has_prediction)
        if len(counts.union):
            summary["gIoU"] = metrics.mean(self.ious(counts), "gIoU")
        if (counts.union > 0).any():
            summary["cIoU"] = metrics.overall_iou(counts.intersection, counts.union)
        return summary

    def intervals(self, counts: Counts, image_ids: Sequence[Hashable]) -> dict[str, tuple[float, float]]:
        """Computes 95 % intervals of oIoU, mIoU and Prec@X by bootstrap over images."""
        values = metrics.bootstrap(counts, image_ids)
        return {name: metrics.interval(drawn) for name, drawn in values.items()}
