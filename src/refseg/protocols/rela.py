"""Protocol "rela": the test of ReLA's release on gRefCOCO, which has no-target expressions.

Source         C. Liu et al. "GRES: Generalized Referring Expression Segmentation". CVPR 2023:
               `gres_model/evaluation/refer_evaluation.py`, `gres_model/data/dataset_mappers/refcoco_mapper.py`.
Compared at    480 x 480; the image is squashed to it, and the true mask drawn on it from scaled polygons.
Foreground     the higher of two probabilities, from logits resized to 480 bilinearly; a tie is background.
None           the network's own prediction of no target; the mask is not emptied by it.
No target      predicted none: IoU 1, and no pixel counts; else IoU 0, and the whole prediction is union.
With target    predicted none: no intersection, IoU 0, but the union of the whole mask; else intersection over union,
               0 without union.
All            gIoU = mean IoU, cIoU = all intersections over all unions. N-acc = share of no-target expressions
               predicted none, T-acc = share of the others not predicted none; both 0 where all have a target.
               Prec@.7 to Prec@.9 (IoU at least X) of expressions with a target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refseg import metrics
from refseg.metrics import Counts, Values
from refseg.preprocessing.geometry import Geometry
from refseg.protocols.protocol import Protocol, own_logits
from refseg.protocols.squashed import SIDE, squashed_above, squashed_masks
from refseg.samples import Sample

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLDS = (0.7, 0.8, 0.9)


class ReLA(Protocol):
    """Metrics of papers on gRefCOCO; `Counts.has_prediction` is False where the network predicts none."""

    name = "rela"
    about = "drawn on 480x480, probability above 0.5; none is what the network answers, whatever its mask"
    headline = ("gIoU", "cIoU", "N-acc", "T-acc")
    fractions = ("N-acc", "T-acc")

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Compares the two probabilities on the square; masks are not emptied."""
        return squashed_above(own_logits(logits, threshold), geometry, False, _is_foreground)

    def from_masks(self, masks: Tensor, predicts_none: Tensor) -> Tensor:
        """Resizes masks to the square by nearest neighbour, since they have no polygons."""
        return squashed_masks(masks)

    def truth(self, sample: Sample, index: int) -> NDArray[np.bool_]:
        """Draws the true mask on the square."""
        return sample.mask_at(index, (SIDE, SIDE))

    def count(self, predictions: Tensor, truths: Tensor, has_target: Tensor, predicts_none: Tensor) -> Counts:
        """Counts pixels by the rules for no-target expressions (see above)."""
        counts = super().count(predictions, truths, has_target, predicts_none)
        intersection = counts.intersection.where(has_target & ~predicts_none, 0)
        union = counts.union.where(has_target | ~predicts_none, 0)
        return Counts(intersection, union, has_target, ~predicts_none)

    def ious(self, counts: Counts) -> Values:
        """Computes the IoU by the rules for no-target expressions (see above)."""
        ious = metrics.where(counts.union == 0, 0.0, metrics.ratio(counts.intersection, counts.union))
        return metrics.where(counts.has_target, ious, metrics.double(~counts.has_prediction))

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics over all expressions; T-acc and Prec@X only if one has a target."""
        if not len(counts.union):
            return {}
        ious, has_target = self.ious(counts), counts.has_target
        summary = {
            "gIoU": metrics.mean(ious, "gIoU"),
            "cIoU": metrics.overall_iou(counts.intersection, counts.union),
        }
        every, some = bool(has_target.all()), bool(has_target.any())
        summary["N-acc"] = 0.0 if every else metrics.no_target_accuracy(has_target, counts.has_prediction)
        if some:
            summary["T-acc"] = 0.0 if every else metrics.target_accuracy(has_target, counts.has_prediction)
            summary |= metrics.precisions(ious[has_target], THRESHOLDS)
        return summary


def _is_foreground(logits: Tensor) -> Tensor:
    """Returns where the foreground's probability is the higher one; logits within rounding of 0 are a tie."""
    half = logits / 2
    return half.sigmoid() > (-half).sigmoid()
