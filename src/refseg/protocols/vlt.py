"""Protocol "vlt": the test of VLT's release.

Source         H. Ding et al. "Vision-Language Transformer and Query Generation for Referring Segmentation". ICCV 2021:
               `callbacks/eval.py`.
Compared at    the true mask's own size. Probabilities are resized to it by two bilinear steps: to the network's input
               and, without its padding, from there.
Foreground     probability above 0.35; another threshold is part of the name: "vlt@0.5".
IoU            (intersection + 1e-10) / (union + 1e-10), so 1 when both masks are empty.
All            mIoU, Prec@.5 to Prec@.95 (IoU above X, which an IoU of exactly X is, by the 1e-10), over every
               expression.
"""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from refseg import metrics
from refseg.lazy import LazyModule
from refseg.metrics import Counts, Values
from refseg.preprocessing.above import Step, threshold_maps
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.resampling import MapTaps, interpolation
from refseg.preprocessing.restore import crop_padding, resize_logits
from refseg.protocols.protocol import Protocol, own_logits

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

FOREGROUND = 0.35
SIGMOID_EPSILON = 1e-9  # in the release's sigmoid, against 0/0
EPSILON = 1e-10
THRESHOLDS = tuple(np.arange(0.5, 1, 0.05).tolist())  # with rounding errors, which are larger than EPSILON


class VLT(Protocol):
    """Metrics of VLT."""

    headline = ("mIoU",)
    percent = False
    digits = 4

    def __init__(self, foreground: float = FOREGROUND):
        self.foreground = foreground
        self.name = "vlt" if foreground == FOREGROUND else f"vlt@{foreground:g}"
        self.about = f"at the image's own size, bilinear, probability above {foreground:g}; no union: 1"

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Thresholds probabilities at the image's own size."""
        probability = (1 + SIGMOID_EPSILON) / (1 + torch.exp(-own_logits(logits, threshold)) + SIGMOID_EPSILON)
        steps = _steps(geometry, (logits.shape[-2], logits.shape[-1]))
        return threshold_maps(
            probability[:, 0], steps, self.foreground, self.foreground, lambda some: self._in_full(some, geometry)
        )

    def _in_full(self, probability: Tensor, geometry: Geometry) -> Tensor:
        """Returns where probabilities (N, h, w), resized to the image, are above the foreground's."""
        return resize_logits(crop_padding(probability[:, None], geometry), geometry.own_hw)[:, 0] > self.foreground

    def ious(self, counts: Counts) -> Values:
        """Computes IoU with 1e-10 added to intersection and union."""
        return (metrics.double(counts.intersection) + EPSILON) / (metrics.double(counts.union) + EPSILON)

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics over every expression."""
        if not len(counts.union):
            return {}
        ious = self.ious(counts)
        return {"mIoU": metrics.mean(ious, "mIoU")} | metrics.precisions(ious, THRESHOLDS, operator.gt)


@lru_cache(maxsize=64)
def _steps(geometry: Geometry, grid_hw: Size) -> list[Step]:
    """Returns the two interpolations of probabilities: to the input, whose padding is cut off, and to the image."""
    axes = []
    for axis, cells in enumerate(grid_hw):
        own, resized, padded = geometry.own_hw[axis], geometry.resized_hw[axis], geometry.padded_hw[axis]
        begin = (geometry.offset_hw or (0, 0))[axis]
        to_input = MapTaps.of(interpolation(padded, cells, "bilinear", align_corners=False))
        to_image = MapTaps.of(interpolation(own, resized, "bilinear", align_corners=False))
        axes.append((to_input.at(slice(begin, begin + resized)), to_image))
    rows, columns = axes
    return list(zip(rows, columns, strict=True))
