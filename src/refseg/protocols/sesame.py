"""Protocol "sesame": the test of SESAME's release on FP-RefCOCO, which has sentences with a false premise.

Source         T. Wu et al. "See, Say, and Segment: Teaching LMMs to Overcome False Premises". CVPR 2024:
               `eval_sesame.py`, `utils.py`.
Compared at    the true mask's own size; logits above 0, emptied where the network answers none, as in "standard".
See            share of all expressions of which the answer says rightly whether the referent is there; an answer whose
               mask is empty says that it is not.
Segment        cIoU = all intersections over all unions, of all expressions: whatever is answered to one without target
               is union.
Departs        Say, which reads the sentence that a language model answers, is not computed. Where two polygons of an
               object overlap the release leaves the overlap out of the truth; here a mask is their union.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refseg import metrics
from refseg.metrics import Counts
from refseg.protocols.standard import Standard

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class SESAME(Standard):
    """Metrics of papers on FP-RefCOCO."""

    name = "sesame"
    about = "at the image's own size, logit above 0 (the network's own threshold); whether it answers none, and cIoU"
    headline = ("See", "cIoU")

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics over all expressions."""
        if not len(counts.union):
            return {}
        return {
            "See": metrics.mean(counts.has_target == counts.has_prediction, "See"),
            "cIoU": metrics.overall_iou(counts.intersection, counts.union),
        }

    def intervals(self, counts: Counts, image_ids: Sequence[Hashable]) -> dict[str, tuple[float, float]]:
        """Computes none."""
        return {}
