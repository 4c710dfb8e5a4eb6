"""Protocol "cmpc": the test of CMPC's release; CMSA-Net scores the same way.

Source         S. Liu et al. "Cross-Modal Progressive Comprehension for Referring Segmentation". TPAMI 2021:
               `trainval_model.py`, `util/im_processing.py`, `util/eval_tools.py`, with scikit-image 0.14.
Compared at    the true mask's own size. The binary mask at the network's input is resized to it bilinearly, and every
               pixel above 0 counts: masks grow by about a pixel of the input on each side.
Foreground     logit at least 1e-9 at the size of the input, to which logits are resized as in TensorFlow 1 (corners).
IoU            intersection over union; 0/0 is NaN, makes mIoU NaN and fails Prec@X.
All            oIoU, mIoU, Prec@.5 to Prec@.9 (IoU at least X), over every expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from refseg import metrics
from refseg.lazy import LazyModule
from refseg.metrics import PRECISION_THRESHOLDS, Counts, Values
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.resampling import Taps, linear, resample
from refseg.protocols.protocol import Protocol, own_logits

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

FOREGROUND = 1e-9


class CMPC(Protocol):
    """Metrics of CMPC without DenseCRF."""

    name = "cmpc"
    about = "at the image's own size, all that the resized mask touches; no union: nan"
    headline: ClassVar[tuple[str, ...]] = ("oIoU",)
    percent = False
    digits = 6
    thresholds: ClassVar[Sequence[float]] = PRECISION_THRESHOLDS

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Thresholds logits at the size of the network's input; keeps every pixel that the resized mask touches."""
        logits, grid = own_logits(logits, threshold), logits.shape[-2:]
        axes = zip(geometry.padded_hw, grid, strict=True)
        rows, columns = (linear(torch.arange(side).double() * cells / side, cells) for side, cells in axes)
        masks = resample(logits, rows, columns)[:, 0] >= FOREGROUND
        return resample(masks.float(), *_taps_from_input(geometry)) > 0

    def ious(self, counts: Counts) -> Values:
        """Computes intersection over union, NaN where both masks are empty."""
        return metrics.ratio(counts.intersection, counts.union)

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics over every expression."""
        return metrics.overall_mean_precisions(counts, self.ious(counts), self.thresholds)


def _taps_from_input(geometry: Geometry) -> tuple[Taps, Taps]:
    """Returns the taps of the image's rows and columns in the network's input."""
    if geometry.offset_hw is None:
        return geometry.taps((torch.arange(geometry.own_hw[0]), torch.arange(geometry.own_hw[1])), geometry.padded_hw)
    # The release resizes the whole input to the image's longer side and crops the middle.
    scale = max(own / side for own, side in zip(geometry.own_hw, geometry.padded_hw, strict=True))
    rows, columns = (_middle(own, side, scale) for own, side in zip(geometry.own_hw, geometry.padded_hw, strict=True))
    return rows, columns


def _middle(own: int, side: int, scale: float) -> Taps:
    large = round(side * scale)
    return linear((torch.arange(own) + (large - own) // 2 + 0.5).double() * side / large - 0.5, side)
