"""VideoProtocol: the interface of protocols of whole videos, from masks to J and F, to metrics.

All frames of a video are predicted and all are annotated. Masks of one frame are in memory at a time; of each frame
only a few numbers are kept.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import LabelImage
from refseg.counting import counted
from refseg.errors import InvalidInput, for_caller
from refseg.protocols.protocol import Protocol
from refseg.samples import Clip

Masks = NDArray[np.bool_]  # (M, H, W)
Values = NDArray[np.float64]  # (T,)


@dataclass(frozen=True)
class FrameAnswers:
    """Predictions for all M expressions about frame t of a clip.

    Attributes:
        clip, t: clip and index of the frame.
        truths, masks: (M, H, W) bool, true and predicted masks.
        labels: function from indices of expressions to one label image (H, W) of their predictions: k on the k-th of
            them, counted from 1, and 0 elsewhere; where predictions overlap, one of them has the pixel.
    """

    clip: Clip
    t: int
    truths: Masks
    masks: Masks
    labels: Callable[[Sequence[int]], LabelImage]


@dataclass(frozen=True, slots=True)
class Fit:
    """Agreement of the predicted and the true mask of an expression in one frame.

    Attributes:
        intersection, union: pixel counts of the two masks.
        has_prediction: whether the predicted mask has any pixel.
        region, contour: J and F.
    """

    intersection: int
    union: int
    has_prediction: bool
    region: float
    contour: float


@dataclass(frozen=True)
class Track:
    """One expression through the T frames of a video.

    Attributes:
        annotator: "" if there is only one.
        region, contour: (T,) J and F.
        seen, answered: (T,) bool, whether the true and the predicted mask have a pixel.
    """

    annotator: str
    region: Values
    contour: Values
    seen: NDArray[np.bool_]
    answered: NDArray[np.bool_]


class VideoProtocol(ABC):
    """Base class of the protocols of whole videos; attributes as in `Protocol`."""

    name: str
    about: str
    headline: ClassVar[tuple[str, ...]] = ("J&F", "J", "F")
    percent: ClassVar[bool] = False
    digits: ClassVar[int] = 5
    fractions: ClassVar[tuple[str, ...]] = ()
    counts_no_target: ClassVar[bool] = True

    def check(self, clip: Clip) -> None:
        """Checks that a clip can be scored.

        Raises:
            InvalidInput: if frames are not annotated.
        """
        every = tuple(range(len(clip)))
        for index, expression in enumerate(clip.expressions):
            known = clip.annotated_frames(index)
            if known != every:
                every_frame = for_caller("--set annotated=all", "annotated='all'")
                raise InvalidInput(
                    f"protocol {self.name!r} scores whole videos, and of {expression.text!r} in {clip.clip_id} "
                    f"{counted(len(known), 'frame', len(every))} are annotated; choose one that scores frames, such as "
                    f"cmpc_video (of drawn_clips all are with {every_frame})"
                )

    @abstractmethod
    def score_frame(self, answers: FrameAnswers) -> Any:
        """Computes the numbers that are kept of one frame; thread-safe."""

    @abstractmethod
    def score_clip(self, clip: Clip, frames: Sequence[Any]) -> Sequence[Mapping[int, Fit]]:
        """Computes the fit of each expression in each frame from the results of `score_frame`; some may be left out."""

    @abstractmethod
    def score_track(self, region: Values, contour: Values) -> dict[str, float]:
        """Computes the metrics of one expression from its J and F (T,)."""

    def score(self, track: Track) -> dict[str, float]:
        """Computes the metrics of one expression; by default from J and F alone."""
        return self.score_track(track.region, track.contour)

    def summarize(self, tracks: Sequence[Track]) -> dict[str, float]:
        """Averages metrics over the expressions of each annotator, then over annotators; J&F first."""
        return averaged([(track.annotator, self.score(track)) for track in tracks])


Scoring = Protocol | VideoProtocol
"""A protocol of images or of videos."""


def averaged(found: Sequence[tuple[str, Mapping[str, float]]]) -> dict[str, float]:
    """Averages metrics of expressions, given with their annotators, for each annotator and over them; J&F first."""
    by_annotator: dict[str, list[Mapping[str, float]]] = {}
    for annotator, values in found:
        by_annotator.setdefault(annotator, []).append(values)
    means = [_mean(values) for values in by_annotator.values()]
    if not means:
        return {}
    summary = _mean(means)
    return {"J&F": (summary["J"] + summary["F"]) / 2, **summary}


def _mean(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: math.fsum(values[name] for values in found) / len(found) for name in found[0]}
