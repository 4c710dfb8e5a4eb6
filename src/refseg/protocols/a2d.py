"""Protocol "a2d": the test of MTTR's and ReferFormer's releases on A2D Sentences and JHMDB Sentences.

Source         A. Botach et al. "End-to-End Referring Video Object Segmentation with Multimodal Transformers".
               CVPR 2022: `models/postprocessing.py`, `metrics.py`, `trainer.py`.
               J. Wu et al. "Language as Queries for Referring Video Object Segmentation". CVPR 2022.
Sample         one instance in one annotated frame that has a truth, with the masks and scores of all queries.
Compared at    the true mask's own size. Logits go bilinearly to the padded input; the binary mask, probability above
               0.5, goes by nearest, without the padding, from there.
mAP            COCO's average precision of masks: all candidates of the data set ranked together, 101 recall points, IoU
               thresholds .5 to .95, at most 100 candidates a sample; -1 for a range of areas without truth.
Best candidate That of the highest score, the last among equals: oIoU, mIoU, Prec@.5 to Prec@.9 (IoU above X), where
               IoU = (intersection + 1e-6) / (union + 1e-6) in float32, so 1 when both masks are empty.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torch.nn import functional as F

from refseg import metrics
from refseg.metrics import Counts
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.restore import resize_logits
from refseg.protocols.protocol import Protocol, own_logits

EPSILON = 1e-6
COCO_NAMES = ("mAP", "AP@0.5", "AP@0.75", "AP small", "AP medium", "AP large")


class A2D(Protocol):
    """Answers that are one candidate each; their ranking is `ranked`'s."""

    name = "a2d"
    about = "at the frame's own size, probability above 0.5, the best query; mAP over all queries; no union: 1"
    headline = ("mAP", "oIoU", "mIoU")
    skips_empty = True
    percent = False
    digits = 4

    def predict(self, logits: Tensor, geometry: Geometry, answers_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Masks cut at the size of the network's input, then nearest at the frame's own."""
        masks = resize_logits(own_logits(logits, threshold), geometry.padded_hw)[:, 0].sigmoid() > 0.5
        if geometry.scale is None:
            top, left = geometry.offset_hw or (0, 0)
            return _without_padding(masks[:, top:, left:], geometry.resized_hw, geometry.own_hw)
        axes = zip(geometry.placed(), geometry.own_hw, geometry.padded_hw, strict=True)
        rows, columns = (
            (slope * torch.arange(own) + start).round().long().clamp(0, side - 1) for (slope, start), own, side in axes
        )
        return masks[:, rows][:, :, columns]

    def ious(self, counts: Counts) -> Tensor:
        """Of the best candidates, lifted by the epsilon."""
        return ious(counts.intersection, counts.union)

    def summarize(self, counts: Counts) -> dict[str, float]:
        """oIoU, mIoU and Prec@X of the best candidates."""
        return best_summary(counts.intersection, counts.union)


def query_masks(logits: Tensor, padded_hw: Size, resized_hw: Size, own_hw: Size) -> Tensor:
    """Masks (Q, H, W) bool of queries' logits (Q, h, w).

    Args:
        logits: at the network's resolution.
        padded_hw: of the network's input.
        resized_hw: of the frame in its upper left corner.
        own_hw: of the frame itself.
    """
    return _without_padding(resize_logits(logits[:, None], padded_hw)[:, 0].sigmoid() > 0.5, resized_hw, own_hw)


def ious(intersection: Tensor, union: Tensor) -> Tensor:
    """The IoU (N,) of each sample, float32, of pixels (N,) int64."""
    return (intersection.float() + EPSILON) / (union.float() + EPSILON)


def best_summary(intersection: Tensor, union: Tensor) -> dict[str, float]:
    """oIoU, mIoU and Prec@X of the best candidate of each sample, whose pixels these (N,) are."""
    if not len(union):
        return {}
    values = ious(intersection, union).double()
    return {
        "oIoU": metrics.overall_iou(intersection, union),
        "mIoU": metrics.mean(values, "mIoU"),
        **metrics.precisions(values, passes=torch.gt),
    }


@dataclass(frozen=True, slots=True)
class Candidate:
    """One mask for a sample.

    Attributes:
        score: how sure the network is of it.
        intersection, union: pixels with the truth.
        area: its own pixels.
    """

    score: float
    intersection: int
    union: int
    area: int


@dataclass(frozen=True, slots=True)
class Judged:
    """A sample: its id, the pixels of its truth, and the candidates for it."""

    id: str
    area: int
    candidates: Sequence[Candidate]


def judge(id: str, truth: NDArray[np.bool_], candidates: NDArray[np.bool_], scores: Tensor) -> Judged:
    """A sample of its truth (H, W), its candidates (Q, H, W) and their scores (Q,)."""
    found = [
        Candidate(score, int((mask & truth).sum()), int((mask | truth).sum()), int(mask.sum()))
        for mask, score in zip(candidates, scores.tolist(), strict=True)
    ]
    return Judged(id, int(truth.sum()), found)


def ranked(samples: Sequence[Judged]) -> dict[str, float]:
    """Every metric of samples in any order, in [0, 1], or -1 where there is no truth of that size.

    Raises:
        ValueError: if two have the same id.
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
    pixels = torch.tensor([(one.intersection, one.union) for one in best])
    return _average_precisions(samples) | best_summary(*pixels.unbind(1))


class _Evaluation(COCOeval):
    """COCO's, of pixels that have been counted."""

    def computeIoU(self, image: int, category: int) -> Any:
        """IoU of a sample's candidates, the surest first, with its truth."""
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
    """COCO's index of masks: the number of its sample, pixels, score and IoU of each."""
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
    """Masks (N, h, w) bool, cut to the frame in their upper left corner, at its own size."""
    cut = masks[:, None, : resized_hw[0], : resized_hw[1]]
    return F.interpolate(cut.float(), own_hw, mode="nearest")[:, 0] > 0
