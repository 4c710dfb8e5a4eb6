"""Protocol "standard": ours, for comparisons that nobody's release dictates.

Compared at    the true mask's own size; logits go there directly from the network's grid (padding cut off, then
               bilinear with align_corners=False, as `refseg.preprocessing` does it), stored masks have that size.
Foreground     logit > 0, probability > 0.5. A model that answers "nothing" has its mask emptied before any counting.
IoU            intersection over union in double precision, 1 when both masks are empty.
With target    oIoU, mIoU, Prec@.5 to Prec@.9 (IoU at least X), T-acc; 95 % intervals by bootstrap over images.
No target      N-acc.
All            gIoU = mean IoU, cIoU = all intersections over all unions.
What has no expression to stand on is absent.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from refseg import metrics
from refseg.errors import InvalidInput
from refseg.metrics import PRECISION_THRESHOLDS, Counts


class Standard:
    """The protocol as three steps: logits to masks, masks to counts, counts of a whole split to metrics."""

    name = "standard"

    def predict(self, logits: Tensor, answers_none: Tensor | None = None) -> Tensor:
        """Predicted masks (N, H, W) bool.

        Args:
            logits: (N, H, W), already at the true masks' size.
            answers_none: (N,) bool, True where the model says that the expression refers to nothing.
        """
        masks = logits > 0
        return masks if answers_none is None else masks & ~answers_none[:, None, None]

    def count(self, predictions: Tensor, truths: Tensor) -> Counts:
        """Counts of predicted masks (N, H, W) bool against true ones.

        Raises:
            InvalidInput: if the sizes differ: this protocol resizes no mask.
        """
        if predictions.shape != truths.shape:
            given, wanted = ("x".join(map(str, masks.shape[-2:])) for masks in (predictions, truths))
            raise InvalidInput(
                f"{len(predictions)} predicted masks of {given} pixels cannot be compared with {len(truths)} true ones "
                f"of {wanted}; protocol 'standard' resizes no mask: store one per expression, at the image's own size"
            )
        return metrics.count_pixels(predictions, truths)

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Every metric that is defined for these expressions, in [0, 1]."""
        summary: dict[str, float] = {}
        with_target = counts.where(counts.has_target)
        if len(with_target.union):
            pixels = with_target.intersection, with_target.union
            summary["oIoU"] = metrics.overall_iou(*pixels)
            summary["mIoU"] = metrics.mean_iou(*pixels)
            for threshold in PRECISION_THRESHOLDS:
                summary[f"Prec@{threshold}"] = metrics.precision_at(threshold, *pixels)
            summary["T-acc"] = metrics.target_accuracy(counts.has_target, counts.has_prediction)
        if not bool(counts.has_target.all()):
            summary["N-acc"] = metrics.no_target_accuracy(counts.has_target, counts.has_prediction)
        if len(counts.union):
            summary["gIoU"] = metrics.mean_iou(counts.intersection, counts.union)
        if torch.any(counts.union > 0):
            summary["cIoU"] = metrics.overall_iou(counts.intersection, counts.union)
        return summary

    def intervals(self, counts: Counts, image_ids: Sequence[Hashable]) -> dict[str, tuple[float, float]]:
        """95 % intervals of oIoU, mIoU and Prec@X; `image_ids` (N,) names the image of each expression."""
        values = metrics.bootstrap(counts, image_ids)
        return {name: metrics.interval(drawn) for name, drawn in values.items()}
