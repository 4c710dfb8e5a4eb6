"""Protocols "davis" and "davis-semi": region and boundary of objects in clips; J, F and J&F.

Source         J. Pont-Tuset et al. "The 2017 DAVIS Challenge on Video Object Segmentation". arXiv 1704.00675, and its
               tool `davis2017-evaluation`.
Masks          label images at the frame's size: 0 background, 255 void, else the object.
J              intersection over union of an object in a frame, 1 when both masks are empty.
F              harmonic mean of the shares of either boundary within a disk of ceil(0.008 * diagonal) pixels of the
               other. 1 without any boundary, 0 with one only.
Object         mean over frames; recall: share of frames above 0.5; decay: first minus last quarter of the frames, whose
               bounds the tool keeps in 8 bits, so that it is wrong for more than 256 frames.
All            means over the objects of all clips, not over clips; J&F is the mean of J and F.

"davis"        All frames. Void is cut out of both masks. Predicted labels are matched to true ones, so swapped
               identities and surplus labels cost nothing. The tool's default, and that of Ref-DAVIS17,
               where the figures of four annotators are averaged.
"davis-semi"   Without the first and the last frame. Void is background. Label by label.

Data sets      The k-th expressions of all objects of a clip are annotator k's, and their predictions are one label
               image. Objects without an expression are left out, and so are those not in the first frame, as in the
               tool.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import LabelImage
from refseg.datasets.ref_davis import by_annotator
from refseg.datasets.storage.clip_dataset import LabelledClip
from refseg.errors import InvalidInput
from refseg.protocols.hungarian import assign
from refseg.protocols.video_protocol import Fit, FrameAnswers, Masks, Values, VideoProtocol, averaged
from refseg.samples import Clip

Counted = NDArray[np.int64]
VOID = 255
NEAR = 0.008  # radius of the disk, as a share of the diagonal
RECALL = 0.5  # value above which a frame counts for recall
QUARTERS = 4


class DAVIS(VideoProtocol):
    """J and F over all frames; predicted objects are matched to true ones."""

    name = "davis"
    about = "J and F of objects in all frames, predicted objects matched to true ones; both masks empty: 1"

    def check(self, clip: Clip) -> None:
        """Checks that a clip has labels and every expression one referent.

        Raises:
            InvalidInput: if it cannot be scored.
        """
        for expression in clip.expressions:
            if not isinstance(clip, LabelledClip) or len(expression.targets) != 1:
                raise InvalidInput(
                    f"protocol {self.name!r} scores single objects by their labels; {expression.text!r} in "
                    f"{clip.clip_id} names {len(expression.targets)}: choose mevis"
                )
        super().check(clip)

    def score_frame(self, answers: FrameAnswers) -> Any:
        """Compares all predicted with all true objects, for each annotator."""
        compared = []
        for texts in by_annotator(answers.clip):
            found, true = answers.labels(texts), _true(answers.clip, texts, answers.t)
            compared.append(pairs(found, true, len(texts), len(texts)))
        return compared

    def score_clip(self, clip: Clip, frames: Sequence[Any]) -> Sequence[Mapping[int, Fit]]:
        """Returns the fit of each true object with the prediction matched to it."""
        fits: list[dict[int, Fit]] = [{} for _ in frames]
        for number, texts in enumerate(by_annotator(clip)):
            of_texts = [frame[number] for frame in frames]
            scored = _scored(clip, texts)
            for answer, k in zip(*matched(of_texts, scored), strict=True):
                for fit, frame in zip(fits, of_texts, strict=True):
                    fit[texts[k]] = frame.fit(answer, k)
        return fits

    def score_track(self, region: Values, contour: Values) -> dict[str, float]:
        """Computes J and F with recall and decay."""
        return of_object(region, contour)


class DAVISSemi(DAVIS):
    """J and F without the first and the last frame, object by object."""

    name = "davis-semi"
    about = "J and F of objects in all frames but the first and last, object by object; both masks empty: 1"

    def score_frame(self, answers: FrameAnswers) -> Any:
        """Computes the fit of each object."""
        fits: dict[int, Fit] = {}
        for texts in by_annotator(answers.clip):
            found = answers.labels(texts)
            true = _true(answers.clip, texts, answers.t)
            fits |= zip(texts, fits_of(_split(found, len(texts)), _split(true, len(texts))), strict=True)
        return fits

    def score_clip(self, clip: Clip, frames: Sequence[Any]) -> Sequence[Mapping[int, Fit]]:
        """Returns the fits of objects in the first frame, without the first and the last frame."""
        known = {texts[k] for texts in by_annotator(clip) for k in _scored(clip, texts)}
        inner = [{index: fit for index, fit in frame.items() if index in known} for frame in frames[1:-1]]
        return [{}, *inner, {}][: len(frames)]


def region(prediction: Masks, truth: Masks) -> Values:
    """Computes J (T,) of masks (T, H, W)."""
    union = (prediction | truth).sum((1, 2))
    return np.where(union == 0, 1.0, (prediction & truth).sum((1, 2)) / np.maximum(union, 1))


def boundary(masks: Masks) -> Masks:
    """Marks pixels (T, H, W) that differ from their right, lower or lower right neighbour within the image."""
    last = np.pad(masks, ((0, 0), (0, 1), (0, 1)), mode="edge")
    return (masks != last[:, :-1, 1:]) | (masks != last[:, 1:, :-1]) | (masks != last[:, 1:, 1:])


def near(boundaries: Masks) -> Masks:
    """Dilates boundaries (T, H, W) by the disk."""
    count, height, width = boundaries.shape
    radius = math.ceil(NEAR * math.hypot(height, width))
    touched = np.zeros((count, height + 2 * radius, width + 2 * radius), np.bool_)
    place = np.ravel_multi_index(boundaries.nonzero(), touched.shape)
    for down in range(2 * radius + 1):
        half = math.isqrt(radius**2 - (down - radius) ** 2)
        for across in range(radius - half, radius + half + 1):
            touched.reshape(-1)[place + down * touched.shape[2] + across] = True
    return touched[:, radius : radius + height, radius : radius + width]


@dataclass(frozen=True)
class Outline:
    """Boundaries (T, H, W) of masks, and the same dilated (`near`)."""

    boundary: Masks
    near: Masks

    @classmethod
    def of(cls, masks: Masks) -> "Outline":
        """Finds the outlines of masks (T, H, W)."""
        found = boundary(masks)
        return cls(found, near(found))


def contour(prediction: Outline, truth: Outline) -> Values:
    """Computes F (T,) of the outlines of T pairs of masks, or of one mask with each of T."""
    count, true = prediction.boundary.sum((1, 2)), truth.boundary.sum((1, 2))
    precision = (prediction.boundary & truth.near).sum((1, 2)) / np.maximum(count, 1)
    recall = (truth.boundary & prediction.near).sum((1, 2)) / np.maximum(true, 1)
    total = precision + recall
    mean = 2 * precision * recall / np.where(total == 0, 1, total)
    return np.where((count == 0) & (true == 0), 1.0, mean)


def region_and_contour(prediction: Masks, truth: Masks) -> tuple[Values, Values]:
    """Computes J and F (T,) of masks (T, H, W)."""
    return region(prediction, truth), contour(Outline.of(prediction), Outline.of(truth))


def fits_of(answers: Masks, truths: Masks) -> list[Fit]:
    """Computes the fits of predicted masks (M, H, W) with true ones (M, H, W)."""
    j, f = region_and_contour(answers, truths)
    counts = [(int((a & b).sum()), int((a | b).sum()), bool(a.any())) for a, b in zip(answers, truths, strict=True)]
    return [Fit(*count, *values) for count, *values in zip(counts, j.tolist(), f.tolist(), strict=True)]


@dataclass(frozen=True)
class Pairs:
    """Agreement of n predicted with N true objects of a frame.

    Attributes:
        intersection, union: (n, N) pixel counts.
        region, contour: (n, N) J and F.
        sizes: (n,) pixel counts of the predicted objects, void included.
    """

    intersection: Counted
    union: Counted
    region: Values
    contour: Values
    sizes: Counted

    def fit(self, answer: int, true: int) -> Fit:
        """Returns the fit of one predicted with one true object."""
        both, either = int(self.intersection[answer, true]), int(self.union[answer, true])
        j, f = float(self.region[answer, true]), float(self.contour[answer, true])
        return Fit(both, either, bool(self.sizes[answer]), j, f)


def pairs(prediction: LabelImage, truth: LabelImage, found: int, objects: int) -> Pairs:
    """Compares labels 1 to `found` of a prediction (H, W) with 1 to `objects` of a truth (H, W), without void."""
    counted = truth != VOID
    predicted, true = _split(prediction, found), _split(truth, objects)
    sizes = predicted.sum((1, 2))
    predicted &= counted
    ours, theirs = Outline.of(predicted), Outline.of(true)
    each = [slice(k, k + 1) for k in range(found)]
    f = [contour(Outline(ours.boundary[one], ours.near[one]), theirs) for one in each]
    return Pairs(
        intersection=_table([(predicted[one] & true).sum((1, 2)) for one in each], objects),
        union=_table([(predicted[one] | true).sum((1, 2)) for one in each], objects),
        region=_table([region(predicted[one], true) for one in each], objects),
        contour=_table(f, objects),
        sizes=sizes,
    )


def matched(frames: Sequence[Pairs], scored: Sequence[int]) -> tuple[list[int], list[int]]:
    """Matches predicted objects of a clip to the true ones of `scored`; returns both, pair by pair.

    Labels beyond the largest predicted one are used only where true objects outnumber predicted ones.
    """
    sizes = np.sum([frame.sizes for frame in frames], axis=0)
    count = max(int(np.flatnonzero(sizes).max(initial=-1)) + 1, len(scored))
    if not scored:
        return [], []
    fit = np.mean([(frame.region + frame.contour)[:count, scored] / 2 for frame in frames], axis=0)
    answers, true = assign(-fit)
    return answers.tolist(), [scored[k] for k in true]


def unsupervised(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[Values, Values]:
    """Computes J and F (objects, T) by "davis" from labels (T, H, W), in the order of the matched predicted labels.

    Raises:
        InvalidInput: if the sizes differ.
    """
    check_sizes(prediction, truth)
    objects = _largest(truth[:1])
    found = max(_largest(prediction), objects)
    frames = [pairs(*labels, found, objects) for labels in zip(prediction, truth, strict=True)]
    answers, true = matched(frames, range(objects))
    shape = len(answers), len(frames)
    j, f = (
        [[getattr(frame, name)[pair] for frame in frames] for pair in zip(answers, true, strict=True)]
        for name in ("region", "contour")
    )
    return np.array(j).reshape(shape), np.array(f).reshape(shape)


def semi_supervised(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[Values, Values]:
    """Computes J and F (objects, T - 2) by "davis-semi" from labels (T, H, W); errors as in `unsupervised`."""
    check_sizes(prediction, truth)
    objects = _largest(truth[:1])
    frames = [
        region_and_contour(_split(p, objects), _split(t, objects)) for p, t in zip(prediction, truth, strict=True)
    ]
    j, f = (np.array([frame[measure] for frame in frames[1:-1]]).reshape(-1, objects).T for measure in (0, 1))
    return j, f


def summarize_objects(clips: Sequence[tuple[Values, Values]]) -> dict[str, float]:
    """Averages the results of "davis" or "davis-semi" for each clip to J, F, their recall and decay, and J&F."""
    return averaged([("", of_object(j, f)) for clip in clips for j, f in zip(*clip, strict=True)])


def of_object(j: Values, f: Values) -> dict[str, float]:
    """Computes J and F of one object with recall and decay, from its values (T,)."""
    return {
        name + part: float(of(values))
        for name, values in (("J", j), ("F", f))
        for part, of in (("", np.mean), (" recall", _recall), (" decay", decay))
    }


def check_sizes(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
    """Checks that labels (T, H, W) can be compared.

    Raises:
        InvalidInput: if the sizes differ.
    """
    if prediction.shape != truth.shape:
        given, wanted = (" x ".join(map(str, labels.shape)) for labels in (prediction, truth))
        raise InvalidInput(f"predicted labels (frames x height x width) are {given}, the true ones {wanted}")


def decay(frames: Values) -> float:
    """Computes the mean of the first minus that of the last quarter of values (T,); NaN if 8-bit bounds empty one."""
    bounds = np.round(np.linspace(1, len(frames), QUARTERS + 1) + 1e-10).astype(np.int64) - 1
    k = (bounds % 256).tolist()
    first, last = frames[k[0] : k[1] + 1], frames[k[-2] : k[-1] + 1]
    return float(first.mean() - last.mean()) if len(first) and len(last) else math.nan


def _recall(frames: Values) -> float:
    return float((frames > RECALL).mean())


def _split(labels: LabelImage, objects: int) -> Masks:
    """Returns the masks (objects, H, W) of labels 1, 2, ..."""
    return np.arange(1, objects + 1, dtype=np.uint8)[:, None, None] == labels


def _largest(labels: NDArray[np.uint8]) -> int:
    return int(np.where(labels == VOID, 0, labels).max(initial=0))


def _table(rows: Sequence[Any], columns: int) -> Any:
    return np.stack(rows) if rows else np.empty((0, columns))


def _true(clip: Clip, texts: Sequence[int], t: int) -> LabelImage:
    """Returns the true labels (H, W) of the expressions' referents, numbered from 1 in their order."""
    assert isinstance(clip, LabelledClip)
    number = np.zeros(256, np.uint8)
    number[VOID] = VOID
    for k, index in enumerate(texts, start=1):
        number[clip.expressions[index].targets[0]] = k
    return number[clip.labels(t)]


def _scored(clip: Clip, texts: Sequence[int]) -> list[int]:
    """Returns the positions in `texts` of objects up to the first frame's largest label."""
    assert isinstance(clip, LabelledClip)
    most = _largest(clip.labels(0))
    return [k for k, index in enumerate(texts) if clip.expressions[index].targets[0] <= most]
