"""Protocol "ref_l4": the test of Ref-L4's release, which compares boxes.

Source         J. Chen et al. "Revisiting Referring Expression Comprehension Evaluation in the Era of Large Multimodal
               Models". 2024: `ref_l4/evaluation.py`.
Compared       the box of the answered mask with the true box, in fractions of pixels. A mask is made as in "standard".
IoU            of the two boxes, 0 without an answer; areas are counted in ten-thousandths of a pixel.
All            Acc@.5, Acc@.75, Acc@.9: share of expressions with an IoU above that; mAcc: mean over .5 to .95 by .05.
Departs        Acc of small, medium and large boxes stands in the breakdown by type of expression. The mean over
               classes, which goes by the authors' own table of equal classes, is not computed.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refseg import metrics
from refseg.lazy import LazyModule
from refseg.masks.boxes import mask_box
from refseg.metrics import Counts, Values
from refseg.preprocessing.geometry import Geometry
from refseg.protocols.standard import Standard
from refseg.samples import Sample

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

UNIT = 10_000
"""Parts of a pixel in which areas are counted."""
ACCURACIES = (0.5, 0.75, 0.9)
MEAN_OVER = tuple(percent / 100 for percent in range(50, 100, 5))


class RefL4(Standard):
    """Metrics of Ref-L4; what is compared are boxes (N, 4): left, top, right, bottom, all 0 where there is none."""

    name = "ref_l4"
    about = "the box of the mask at the image's own size (logit above 0), with the true box; IoU above X"
    headline = ("Acc@0.5", "mAcc")
    leaves_out_ignored = False

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Returns the boxes (N, 4) of the masks."""
        return _boxes(super().predict(logits, geometry, predicts_none, threshold))

    def from_masks(self, masks: Tensor, predicts_none: Tensor) -> Tensor:
        """Returns the boxes (N, 4) of stored masks."""
        return _boxes(super().from_masks(masks, predicts_none))

    def truth(self, sample: Sample, index: int) -> NDArray[Any]:
        """Returns the true box (4,)."""
        return np.array(sample.box(index) or (0, 0, 0, 0), np.float64)

    def count(self, predictions: Tensor, truths: Tensor, has_target: Tensor, predicts_none: Tensor) -> Counts:
        """Counts the areas of boxes (N, 4), or of those of masks (N, h, w), in parts of a pixel."""
        ours, theirs = (boxes if boxes.ndim == 2 else _boxes(boxes) for boxes in (predictions.cpu(), truths.cpu()))
        low, high = torch.maximum(ours[:, :2], theirs[:, :2]), torch.minimum(ours[:, 2:], theirs[:, 2:])
        intersection = _area(torch.cat([low, high], 1))
        union = _area(ours) + _area(theirs) - intersection
        return Counts(intersection, union, has_target, _area(ours) > 0)

    def ious(self, counts: Counts) -> Values:
        """Computes intersection over union, 0 without both boxes."""
        return metrics.where(counts.union == 0, 0.0, metrics.ratio(counts.intersection, counts.union))

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the accuracies over all expressions."""
        if not len(counts.union):
            return {}
        ious = self.ious(counts)
        every = metrics.precisions(ious, MEAN_OVER, operator.gt)
        some = metrics.precisions(ious, ACCURACIES, operator.gt)
        accuracies = {name.replace("Prec", "Acc"): value for name, value in some.items()}
        return accuracies | {"mAcc": sum(every.values()) / len(every)}

    def intervals(self, counts: Counts, image_ids: Sequence[Hashable]) -> dict[str, tuple[float, float]]:
        """Computes none."""
        return {}


def _boxes(masks: Tensor) -> Tensor:
    found = [mask_box(mask) or (0, 0, 0, 0) for mask in masks.cpu().numpy()]
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 4)


def _area(boxes: Tensor) -> Tensor:
    width, height = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).unbind(1)
    return (width * height * UNIT).round().long()
