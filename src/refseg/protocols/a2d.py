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
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torch.nn import functional as F

from refseg import metrics
from refseg.preprocessing import Size

EPSILON = 1e-6
COCO_NAMES = ("mAP", "AP@0.5", "AP@0.75", "AP small", "AP medium", "AP large")


def query_masks(logits: Tensor, padded_hw: Size, resized_hw: Size, own_hw: Size) -> Tensor:
    """Masks (Q, H, W) bool of queries' logits (Q, h, w).

    Args:
        logits: at the network's resolution.
        padded_hw: of the network's input.
        resized_hw: of the frame in its upper left corner.
        own_hw: of the frame itself.
    """
    large = F.interpolate(logits[None].float(), padded_hw, mode="bilinear", align_corners=False)
    masks = (large.sigmoid() > 0.5)[..., : resized_hw[0], : resized_hw[1]]
    return F.interpolate(masks.float(), own_hw, mode="nearest")[0] > 0


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


@dataclass
class _Judged:
    """A sample, with masks as run lengths."""

    truth: Mapping[str, Any]
    candidates: Sequence[Mapping[str, Any]]
    scores: Sequence[float]
    intersection: int
    union: int


class A2D:
    """Collects samples, one by one and in any order."""

    name = "a2d"
    about = "at the frame's own size, probability above 0.5, the best query; mAP over all queries; no union: 1"
    headline = ("mAP", "oIoU", "mIoU")

    def __init__(self) -> None:
        self._samples: dict[str, _Judged] = {}

    def add(self, sample_id: str, truth: NDArray[np.bool_], candidates: NDArray[np.bool_], scores: Tensor) -> None:
        """Takes a sample: its truth (H, W), its candidates (Q, H, W) and their scores (Q,).

        Raises:
            ValueError: if there was one of this id.
        """
        if sample_id in self._samples:
            raise ValueError(f"there was a sample {sample_id!r} already")
        values = scores.tolist()
        order = sorted(range(len(values)), key=values.__getitem__)
        best = candidates[order[-1]] if order else np.zeros_like(truth)
        self._samples[sample_id] = _Judged(
            truth=_encoded(truth),
            candidates=[_encoded(mask) for mask in candidates],
            scores=values,
            intersection=int((best & truth).sum()),
            union=int((best | truth).sum()),
        )

    def summarize(self) -> dict[str, float]:
        """Every metric, in [0, 1], or -1 where there is no truth of that size."""
        judged = [self._samples[sample_id] for sample_id in sorted(self._samples)]
        if not judged:
            return {}
        pixels = torch.tensor([(sample.intersection, sample.union) for sample in judged])
        return _average_precisions(judged) | best_summary(*pixels.unbind(1))


def _average_precisions(judged: Sequence[_Judged]) -> dict[str, float]:
    images = [
        {"id": number, "height": sample.truth["size"][0], "width": sample.truth["size"][1]}
        for number, sample in enumerate(judged)
    ]
    truths = [(number, sample.truth, 1.0) for number, sample in enumerate(judged)]
    found = [
        (number, mask, score)
        for number, sample in enumerate(judged)
        for mask, score in zip(sample.candidates, sample.scores, strict=True)
    ]
    with redirect_stdout(io.StringIO()):  # COCO's code prints
        evaluation = COCOeval(_coco(images, truths), _coco(images, found), "segm")
        evaluation.params.useCats = 0
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(COCO_NAMES, evaluation.stats.tolist(), strict=False))


def _coco(images: Sequence[Mapping[str, int]], masks: Sequence[tuple[int, Mapping[str, Any], float]]) -> Any:
    """COCO's index of masks, each with the number of its sample and its score."""
    index = COCO()
    index.dataset = {
        "images": images,
        "categories": [{"id": 1}],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": 1,
                "segmentation": mask,
                "area": int(rle.area(mask)),
                "iscrowd": 0,
                "score": score,
            }
            for number, (image, mask, score) in enumerate(masks, start=1)
        ],
    }
    index.createIndex()
    return index


def _encoded(mask: NDArray[np.bool_]) -> Mapping[str, Any]:
    run_lengths: Mapping[str, Any] = rle.encode(np.asfortranarray(mask, np.uint8))
    return run_lengths
