"""Protocol "a2d": the test of MTTR's and ReferFormer's releases on A2D Sentences and JHMDB Sentences.

Source         A. Botach et al. "End-to-End Referring Video Object Segmentation with Multimodal Transformers".
               CVPR 2022: `models/postprocessing.py`, `metrics.py`, `trainer.py`.
               J. Wu et al. "Language as Queries for Referring Video Object Segmentation". CVPR 2022.
Sample         one instance in one annotated frame with a true mask, and the masks and scores of all queries.
Compared at    the true mask's own size. Logits are resized bilinearly to the padded input; the binary mask, probability
               above 0.5, is resized without the padding by nearest neighbour from there.
mAP            COCO's average precision of masks: all candidates of the data set ranked together, 101 recall points, IoU
               thresholds .5 to .95, at most 100 candidates a sample; -1 for a range of areas without true masks.
Best candidate That of the highest score, the last among equals: oIoU, mIoU, Prec@.5 to Prec@.9 (IoU above X), where
               IoU = (intersection + 1e-6) / (union + 1e-6) in float32, so 1 when both masks are empty.
"""

from __future__ import annotations

import io
import operator
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from refseg import metrics
from refseg.lazy import LazyModule
from refseg.metrics import Counts, Values
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.restore import resize_logits
from refseg.protocols.protocol import Protocol, own_logits

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
else:
    torch = LazyModule("torch")
    F = LazyModule("torch.nn.functional")

EPSILON = 1e-6
COCO_NAMES = ("mAP", "AP@0.5", "AP@0.75", "AP small", "AP medium", "AP large")


class A2D(Protocol):
    """Metrics of the best candidates; `ranked` computes average precisions."""

    name = "a2d"
    about = "at the frame's own size, probability above 0.5, the best query; mAP over all queries; no union: 1"
    headline = ("mAP", "oIoU", "mIoU")
    skips_empty = True
    percent = False
    digits = 4

    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Thresholds at the size of the network's input, then resizes to the frame by nearest neighbour."""
        masks = resize_logits(own_logits(logits, threshold), geometry.padded_hw)[:, 0].sigmoid() > 0.5
        if geometry.scale is None:
            top, left = geometry.offset_hw or (0, 0)
            return _without_padding(masks[:, top:, left:], geometry.resized_hw, geometry.own_hw)
        axes = zip(geometry.placed(), geometry.own_hw, geometry.padded_hw, strict=True)
        rows, columns = (
            (slope * torch.arange(own) + start).round().long().clamp(0, side - 1) for (slope, start), own, side in axes
        )
        return masks[:, rows][:, :, columns]

    def ious(self, counts: Counts) -> Values:
        """Computes the IoU of the best candidates, with 1e-6 added to intersection and union."""
        return ious(counts.intersection, counts.union)

    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes oIoU, mIoU and Prec@X of the best candidates."""
        return best_summary(counts.intersection, counts.union)


def query_masks(logits: Tensor, padded_hw: Size, resized_hw: Size, own_hw: Size) -> Tensor:
    """Computes the masks (Q, H, W) bool of queries.

    Args:
        logits: (Q, h, w), at the network's resolution.
        padded_hw: size of the network's input.
        resized_hw: size of the frame in its upper left corner.
        own_hw: size of the frame itself.
    """
    return _without_padding(resize_logits(logits[:, None], padded_hw)[:, 0].sigmoid() > 0.5, resized_hw, own_hw)


def ious(intersection: Values, union: Values) -> Values:
    """Computes the IoU (N,) float32 of each sample, from pixel counts (N,) int64."""
    return (_single(intersection) + EPSILON) / (_single(union) + EPSILON)


def best_summary(intersection: Values, union: Values) -> dict[str, float]:
    """Computes oIoU, mIoU and Prec@X from the pixel counts (N,) of the best candidate of each sample."""
    if not len(union):
        return {}
    values = metrics.double(ious(intersection, union))
    return {
        "oIoU": metrics.overall_iou(intersection, union),
        "mIoU": metrics.mean(values, "mIoU"),
        **metrics.precisions(values, passes=operator.gt),
    }


def _single(values: Values) -> Values:
    return values.astype(np.float32) if isinstance(values, np.ndarray) else values.float()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A predicted mask of a sample.

    Attributes:
        score: the network's confidence.
        intersection, union: pixel counts with the true mask.
        area: number of its pixels.
    """

    score: float
    intersection: int
    union: int
    area: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A sample: its id, the area of its true mask in pixels, and its candidates."""

    id: str
    area: int
    candidates: Sequence[Candidate]


def judge(id: str, truth: NDArray[np.bool_], candidates: NDArray[np.bool_], scores: Tensor) -> Judged:
    """Compares the candidates (Q, H, W), with scores (Q,), to the true mask (H, W) of a sample."""
    found = [
        Candidate(score, int((mask & truth).sum()), int((mask | truth).sum()), int(mask.sum()))
        for mask, score in zip(candidates, scores.tolist(), strict=True)
    ]
    return Judged(id, int(truth.sum()), found)


def ranked(samples: Sequence[Judged]) -> dict[str, float]:
    """Computes all metrics of samples in any order, in [0, 1], or -1 without true masks of that size.

    Raises:
        ValueError: if two samples have the same id.
    """
    samples = sorted(samples, key=lambda sample: sample.id)
    if not samples:
        return {}
    if len({sample.id for sample in samples}) < len(samples):
        raise ValueError("there are samples of the same id")
    nothing = (Candidate(0.0, 0, sample.area, 0) for sample in samples)
    best = [
        max(reversed(sample.candidates), key=lambda one: one.score, default=none)
        for sample, none in zip(samples, nothing, strict=True)
    ]
    pixels = np.array([(one.intersection, one.union) for one in best], np.int64)
    return _average_precisions(samples) | best_summary(*pixels.T)


class _Evaluation(COCOeval):
    """COCO's evaluation on given pixel counts."""

    def computeIoU(self, image: int, category: int) -> Any:
        """Returns the IoU of a sample's candidates with its true mask, highest score first."""
        found = self._dts[image, category]
        order = np.argsort([-one["score"] for one in found], kind="mergesort")[: self.params.maxDets[-1]]
        return np.array([[found[k]["iou"]] for k in order]) if len(order) else []


def _average_precisions(samples: Sequence[Judged]) -> dict[str, float]:
    truths = [(number, sample.area, 1.0, 1.0) for number, sample in enumerate(samples)]
    found = [
        (number, one.area, one.score, one.intersection / max(one.union, 1))
        for number, sample in enumerate(samples)
        for one in sample.candidates
    ]
    with redirect_stdout(io.StringIO()):  # COCO's code prints
        evaluation = _Evaluation(_coco(len(samples), truths), _coco(len(samples), found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_NAMES, evaluation.stats.tolist(), strict=False))


def _coco(images: int, masks: Sequence[tuple[int, int, float, float]]) -> Any:
    """Builds COCO's index of masks, each given by the number of its sample, area, score and IoU."""
    index = COCO()
    annotations: list[Mapping[str, Any]] = [
        {"id": number, "image_id": image, "category_id": 1, "area": area, "iscrowd": 0, "score": score, "iou": iou}
        for number, (image, area, score, iou) in enumerate(masks, start=1)
    ]
    index.dataset = {
        "images": [{"id": number} for number in range(images)],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    index.createIndex()
    return index


def _without_padding(masks: Tensor, resized_hw: Size, own_hw: Size) -> Tensor:
    """Crops masks (N, h, w) bool to the frame in their upper left corner and resizes them to its own size."""
    cut = masks[:, None, : resized_hw[0], : resized_hw[1]]
    return F.interpolate(cut.float(), own_hw, mode="nearest")[:, 0] > 0
