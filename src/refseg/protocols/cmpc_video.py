"""Protocol "cmpc_video": the test of CMPC-V's release on A2D Sentences: CMPC's, frame by frame, with ten thresholds.

Source         S. Liu et al. "Cross-Modal Progressive Comprehension for Referring Segmentation". TPAMI 2021.
Sample         an expression about an annotated frame; frames with an empty true mask are left out.
All            as "cmpc", Prec@.5 to Prec@.95 (IoU at least X). mAP is derived, the mean of these ten, not the
               ranked average precision of "a2d".
"""

import math

from refseg.metrics import Counts, precision_name
from refseg.protocols.cmpc import CMPC


class CMPCVideo(CMPC):
    """CMPC's metrics, with ten thresholds and their mean."""

    name = "cmpc_video"
    headline = ("mAP", "oIoU", "mIoU")
    skips_empty = True
    thresholds = tuple(x / 100 for x in range(50, 100, 5))

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics over every expression, with the mean of the precisions."""
        summary = super().summarize(counts)
        values = [summary[precision_name(x)] for x in self.thresholds if summary]
        return summary | ({"mAP": math.fsum(values) / len(values)} if values else {})
