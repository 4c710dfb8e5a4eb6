"""Protocol "lavt": the test of LAVT's release.

Source         Z. Yang et al. "LAVT: Language-Aware Vision Transformer for Referring Image Segmentation". CVPR 2022:
               `test.py`, `transforms.py`.
Compared at    480 x 480; image and true mask are squashed to it, so a referent weighs by its share of the image.
Foreground     the higher of two logits, resized to 480 bilinearly, corners aligned; a tie is background.
IoU            intersection over union, 0 when both masks are empty.
All            oIoU, mIoU, Prec@.5 to Prec@.9 (IoU at least X), over every expression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from refseg import metrics
from refseg.metrics import Counts, Values
from refseg.preprocessing.geometry import Geometry
from refseg.protocols.protocol import Protocol, own_logits
from refseg.protocols.squashed import squashed_above, squashed_mask, squashed_masks
from refseg.samples import Sample

if TYPE_CHECKING:
    from torch import Tensor


class LAVT(Protocol):
    """Metrics of LAVT and of the papers after it."""

    name = "lavt"
    about = "squashed to 480x480, probability above 0.5; no union: 0"
    headline: ClassVar[tuple[str, ...]] = ("oIoU", "mIoU")
    align_corners: ClassVar[bool] = True

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Thresholds logits on the square at 0."""
        return squashed_above(own_logits(logits, threshold), geometry, self.align_corners, lambda square: square > 0)

    def from_masks(self, masks: Tensor, predicts_none: Tensor) -> Tensor:
        """Resizes masks to the square in the same way as the true ones."""
        return squashed_masks(masks)

    def truth(self, sample: Sample, index: int) -> NDArray[np.bool_]:
        """Returns the true mask on the square."""
        return squashed_mask(sample.mask(index))

    def ious(self, counts: Counts) -> Values:
        """Computes intersection over union, 0 where both masks are empty."""
        return metrics.where(counts.union == 0, 0.0, metrics.ratio(counts.intersection, counts.union))

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics over every expression."""
        return metrics.overall_mean_precisions(counts, self.ious(counts))
