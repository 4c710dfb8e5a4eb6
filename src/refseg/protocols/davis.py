"""Protocols "davis" and "davis-semi": region and boundary of objects in clips; J, F and J&F.

Source         J. Pont-Tuset et al. "The 2017 DAVIS Challenge on Video Object Segmentation". arXiv 1704.00675, and its
               tool `davis2017-evaluation`.
Masks          label images at the frame's size: 0 background, 255 void, else the object.
J              intersection over union of an object in a frame, 1 when both masks are empty.
F              harmonic mean of the shares of either boundary that lie near the other: within a disk of
               ceil(0.008 * diagonal) pixels. 1 without any boundary, 0 with one only.
Object         mean over frames; recall: share of frames above 0.5; decay: first less last quarter of the frames, whose
               bounds the tool keeps in 8 bits, so that it is wrong for more than 256 frames.
All            means over the objects of all clips, not over clips; J&F is the mean of J and F.

"davis"        All frames. Void is cut out of both masks. Predicted labels are matched to true ones, so a swap of
               identities costs nothing, and neither do surplus labels. The tool's default, and that of Ref-DAVIS17,
               where the figures of four annotators are averaged.
"davis-semi"   Without the first and the last frame. Void is background. Label by label.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from refseg.errors import InvalidInput
from refseg.protocols.assignment import assign

Labels = NDArray[np.uint8]  # (T, H, W)
Masks = NDArray[np.bool_]  # (T, H, W)
Values = NDArray[np.float64]
VOID = 255
NEAR = 0.008  # of the diagonal
RECALL = 0.5
QUARTERS = 4


def region(prediction: Masks, truth: Masks) -> Values:
    """J (T,) of masks (T, H, W)."""
    union = (prediction | truth).sum((1, 2))
    return np.where(union == 0, 1.0, (prediction & truth).sum((1, 2)) / np.maximum(union, 1))


def boundary(masks: Masks) -> Masks:
    """Pixels (T, H, W) that differ from their right, lower or lower right neighbour, as far as there is one."""
    last = np.pad(masks, ((0, 0), (0, 1), (0, 1)), mode="edge")
    return (masks != last[:, :-1, 1:]) | (masks != last[:, 1:, :-1]) | (masks != last[:, 1:, 1:])


def near(boundaries: Masks) -> Masks:
    """Pixels (T, H, W) of boundaries (T, H, W) and all that lie near them."""
    radius = math.ceil(NEAR * math.hypot(*boundaries.shape[1:]))
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = torch.from_numpy((x * x + y * y <= radius * radius).astype(np.float32))[None, None]
    touched = F.conv2d(torch.from_numpy(boundaries.astype(np.float32))[:, None], disk, padding=radius)
    return (touched[:, 0] > 0.5).numpy()


class Outline:
    """The boundaries (T, H, W) of masks (T, H, W), and what lies near them."""

    def __init__(self, masks: Masks):
        self.boundary = boundary(masks)
        self.near = near(self.boundary)


def contour(prediction: Outline, truth: Outline) -> Values:
    """F (T,) of two masks' outlines."""
    count, true = prediction.boundary.sum((1, 2)), truth.boundary.sum((1, 2))
    precision = (prediction.boundary & truth.near).sum((1, 2)) / np.maximum(count, 1)
    recall = (truth.boundary & prediction.near).sum((1, 2)) / np.maximum(true, 1)
    total = precision + recall
    mean = 2 * precision * recall / np.where(total == 0, 1, total)
    return np.where((count == 0) & (true == 0), 1.0, mean)


def region_and_contour(prediction: Masks, truth: Masks) -> tuple[Values, Values]:
    """J and F (T,) of masks (T, H, W)."""
    return region(prediction, truth), contour(Outline(prediction), Outline(truth))


def unsupervised(prediction: Labels, truth: Labels) -> tuple[Values, Values]:
    """J and F (objects, T) of "davis"; objects in the order of the predicted labels that are matched to them.

    Raises:
        InvalidInput: if the sizes differ, here and below.
    """
    check_sizes(prediction, truth)
    seen = truth != VOID
    true = [(truth == label) & seen for label in _objects(truth[:1])]
    found = [(prediction == label) & seen for label in _objects(prediction)]
    found += [np.zeros_like(seen)] * (len(true) - len(found))
    if not true:
        return np.empty((0, len(truth))), np.empty((0, len(truth)))
    ours, theirs = ([Outline(mask) for mask in masks] for masks in (found, true))
    j = np.array([[region(mask, other) for other in true] for mask in found])
    f = np.array([[contour(outline, other) for other in theirs] for outline in ours])
    matched = assign(-(j.mean(2) + f.mean(2)) / 2)
    return j[matched], f[matched]


def semi_supervised(prediction: Labels, truth: Labels) -> tuple[Values, Values]:
    """J and F (objects, T - 2) of "davis-semi", object by object."""
    check_sizes(prediction, truth)
    inner = slice(1, -1)
    pairs = [(prediction[inner] == label, truth[inner] == label) for label in _objects(truth[:1])]
    shape = len(pairs), len(truth[inner])
    j, f = zip(*[region_and_contour(*pair) for pair in pairs], strict=True) if pairs else ((), ())
    return np.array(j).reshape(shape), np.array(f).reshape(shape)


def summarize_objects(clips: Sequence[tuple[Values, Values]]) -> dict[str, float]:
    """J, F, their recall and decay, and J&F, of what "davis" or "davis-semi" gave for each clip."""
    summary: dict[str, float] = {}
    for name, measure in (("J", 0), ("F", 1)):
        objects = [frames for clip in clips for frames in clip[measure]]
        if not objects:
            return {}
        for part, of_object in (("", np.mean), (" recall", _recall), (" decay", decay)):
            summary[name + part] = float(np.mean([of_object(frames) for frames in objects]))
    return with_mean(summary)


def with_mean(summary: Mapping[str, float]) -> dict[str, float]:
    """J, F and what else there is of them, led by J&F."""
    return {"J&F": (summary["J"] + summary["F"]) / 2, **summary}


def check_sizes(prediction: Labels, truth: Labels) -> None:
    """Refuses labels (T, H, W) that cannot be compared.

    Raises:
        InvalidInput: if the sizes differ.
    """
    if prediction.shape != truth.shape:
        given, wanted = (" x ".join(map(str, labels.shape)) for labels in (prediction, truth))
        raise InvalidInput(f"predicted labels (frames x height x width) are {given}, the true ones {wanted}")


def decay(frames: Values) -> float:
    """Mean of the first less that of the last quarter of values (T,); NaN where 8 bits leave no frame in one."""
    bounds = np.round(np.linspace(1, len(frames), QUARTERS + 1) + 1e-10).astype(np.int64) - 1
    k = (bounds % 256).tolist()
    first, last = frames[k[0] : k[1] + 1], frames[k[-2] : k[-1] + 1]
    return float(first.mean() - last.mean()) if len(first) and len(last) else math.nan


def _objects(labels: Labels) -> range:
    """1 to the largest label, of frames (T, H, W)."""
    return range(1, int(np.where(labels == VOID, 0, labels).max(initial=0)) + 1)


def _recall(frames: Values) -> float:
    return float((frames > RECALL).mean())
