"""Protocol "dmmi": the test of DMMI's release; LAVT's, with a rule for no-target expressions (Ref-ZOM).

Source         Y. Hu et al. "Beyond One-to-One: Rethinking the Referring Image Segmentation". ICCV 2023: `test.py`,
               `transforms.py`.
With target    oIoU, mIoU, Prec@.5 to Prec@.9, where the paper says "higher than" and the code "at least".
No target      Acc: share with an empty predicted mask. They are left out of the other metrics.
"""

from refseg import metrics
from refseg.metrics import Counts
from refseg.protocols.lavt import LAVT


class DMMI(LAVT):
    """LAVT's metrics, with Acc."""

    name = "dmmi"
    about = "squashed to 480x480, probability above 0.5; no-target expressions in Acc only"
    headline = ("oIoU", "mIoU", "Acc")
    counts_no_target = False

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics of expressions with a target, and Acc of the others."""
        summary = super().summarize(counts.where(counts.has_target))
        if not bool(counts.has_target.all()):
            summary["Acc"] = metrics.no_target_accuracy(counts.has_target, counts.has_prediction)
        return summary
