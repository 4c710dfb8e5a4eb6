"""Protocol "cris": the test of CRIS's release.

Source         Z. Wang et al. "CRIS: CLIP-Driven Referring Image Segmentation". CVPR 2022: `engine/engine.py`,
               `utils/dataset.py`, with OpenCV 4.
Compared at    the true mask's own size. Probabilities are resized to it by two cubics: to the network's input,
               corners aligned, and from there by a warp whose positions OpenCV 4 rounds to 1/32 of a pixel (OpenCV 5
               does not). Outside the input they are 0.
Foreground     probability above 0.35.
IoU            intersection over union + 1e-6, so 0 when both masks are empty.
All            mIoU (the release prints it as "IoU"), Prec@.5 to Prec@.9 (IoU above X, X and the mean in float32), over
               every expression.
"""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from refseg import metrics
from refseg.lazy import LazyModule
from refseg.metrics import PRECISION_THRESHOLDS, Counts, Values
from refseg.preprocessing.above import Step, threshold_maps, to_steps
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.resampling import Taps, cubic, interpolation, resample
from refseg.protocols.protocol import Protocol, own_logits

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
else:
    torch = LazyModule("torch")
    F = LazyModule("torch.nn.functional")

FOREGROUND = 0.35
REACH = FOREGROUND / 2.3  # a cubic's value is at most 19 / 16 of the largest along an axis, and twice two axes are 2.29
EPSILON = 1e-6
THRESHOLDS = tuple(float(np.float32(x)) for x in PRECISION_THRESHOLDS)
UNITS, POSITIONS = 1024, 32  # per pixel, in OpenCV 4: fixed-point units, and positions that it interpolates at


class CRIS(Protocol):
    """Metrics of CRIS."""

    name = "cris"
    about = "at the image's own size by cubics, probability above 0.35; no union: 0"
    headline = ("mIoU",)

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Thresholds probabilities at the image's own size at 0.35."""
        probability = own_logits(logits, threshold).sigmoid()[:, 0]
        steps = _steps(geometry, (logits.shape[-2], logits.shape[-1]))
        return threshold_maps(probability, steps, FOREGROUND, REACH, lambda some: _foreground(some, geometry))

    def ious(self, counts: Counts) -> Values:
        """Computes intersection over union + 1e-6."""
        return metrics.double(counts.intersection) / (metrics.double(counts.union) + EPSILON)

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics over every expression."""
        if not len(counts.union):
            return {}
        ious = self.ious(counts)
        precisions = metrics.precisions(ious, THRESHOLDS, operator.gt)
        return {"mIoU": metrics.mean(ious, "mIoU")} | {name: float(np.float32(x)) for name, x in precisions.items()}


def _foreground(probability: Tensor, geometry: Geometry) -> Tensor:
    """Returns where probabilities (N, h, w), resized to the image, are above 0.35."""
    resized = probability[:, None]
    if probability.shape[-2:] != geometry.padded_hw:
        resized = F.interpolate(resized, geometry.padded_hw, mode="bicubic", align_corners=True)
    return resample(resized, *_warp(geometry))[:, 0] > FOREGROUND


@lru_cache(maxsize=64)
def _steps(geometry: Geometry, grid_hw: Size) -> list[Step]:
    """Returns the interpolations of `_foreground`."""
    steps = [_warp(geometry)]
    if grid_hw != geometry.padded_hw:
        rows, columns = (
            interpolation(side, cells, "bicubic", align_corners=True)
            for side, cells in zip(geometry.padded_hw, grid_hw, strict=True)
        )
        steps.insert(0, (rows, columns))
    return to_steps(steps)


def _warp(geometry: Geometry) -> tuple[Taps, Taps]:
    """Returns the taps of rows and columns in the network's input; OpenCV rounds rows once, columns twice."""
    (height, width), (row, column) = geometry.own_hw, geometry.placed()
    rows = (UNITS * (row[0] * torch.arange(height).double() + row[1])).round()
    columns = (UNITS * column[0] * torch.arange(width).double()).round() + round(UNITS * column[1])
    return _read(rows, geometry.padded_hw[0]), _read(columns, geometry.padded_hw[1])


def _read(units: Tensor, size: int) -> Taps:
    step = UNITS // POSITIONS
    return cubic((units.long() + step // 2).div(step, rounding_mode="floor").double() / POSITIONS, size, "zeros")
