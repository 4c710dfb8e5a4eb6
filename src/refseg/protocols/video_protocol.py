"""What every protocol of whole videos is: masks of each frame to J and F of each expression, those to metrics.

All frames of a video are answered and all are annotated. Of the masks, one frame is in memory at a time: what a frame
leaves are a few numbers.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import LabelImage
from refseg.errors import InvalidInput
from refseg.protocols.protocol import Protocol
from refseg.samples import Clip

Masks = NDArray[np.bool_]  # (M, H, W)
Values = NDArray[np.float64]  # (T,)


@dataclass(frozen=True)
class FrameAnswers:
    """The answers to all M expressions about frame t of a clip.

    Attributes:
        clip, t: the frame.
        truths, masks: (M, H, W) bool, what is meant and what is answered.
        labels: of some expressions' numbers, one label image (H, W) of their answers: k on that of the k-th of them,
            counted from 1, 0 on none; where answers overlap, one of them has the pixel.
    """

    clip: Clip
    t: int
    truths: Masks
    masks: Masks
    labels: Callable[[Sequence[int]], LabelImage]


@dataclass(frozen=True, slots=True)
class Fit:
    """How the answer to an expression fits in one frame.

    Attributes:
        intersection, union: pixels of answer and truth.
        has_prediction: has the answer any pixel?
        region, contour: J and F.
    """

    intersection: int
    union: int
    has_prediction: bool
    region: float
    contour: float


@dataclass(frozen=True)
class Track:
    """J and F (T,) of one expression about a video, frame after frame, and whose text it is ("" if that is one's)."""

    annotator: str
    region: Values
    contour: Values


class VideoProtocol(ABC):
    """One way of scoring whole videos. What its attributes are, `contract.Protocol` says."""

    name: str
    about: str
    headline: ClassVar[tuple[str, ...]] = ("J&F", "J", "F")
    percent: ClassVar[bool] = False
    digits: ClassVar[int] = 5
    fractions: ClassVar[tuple[str, ...]] = ()

    def check(self, clip: Clip) -> None:
        """Is this a clip that can be scored?

        Raises:
            InvalidInput: if not.
        """
        every = tuple(range(len(clip)))
        for index, expression in enumerate(clip.expressions):
            known = clip.annotated_frames(index)
            if known != every:
                raise InvalidInput(
                    f"protocol {self.name!r} scores whole videos, and of {expression.text!r} in {clip.clip_id} "
                    f"{len(known)} of {len(every)} frames are annotated; choose one that scores frames, such as "
                    "cmpc_video (of drawn_clips all are with --set annotated=all)"
                )

    @abstractmethod
    def score_frame(self, answers: FrameAnswers) -> Any:
        """What one frame leaves; many threads may ask."""

    @abstractmethod
    def score_clip(self, clip: Clip, frames: Sequence[Any]) -> Sequence[Mapping[int, Fit]]:
        """How each expression of the clip is answered in each frame, of what the frames left; some count nowhere."""

    @abstractmethod
    def score_track(self, region: Values, contour: Values) -> dict[str, float]:
        """The metrics of one expression, of its J and F (T,)."""

    def summarize(self, tracks: Sequence[Track]) -> dict[str, float]:
        """Means over expressions, J&F first; where there are annotators, those of each are averaged."""
        return averaged([(track.annotator, self.score_track(track.region, track.contour)) for track in tracks])


Scoring = Protocol | VideoProtocol
"""Anything that masks are scored by."""


def averaged(found: Sequence[tuple[str, Mapping[str, float]]]) -> dict[str, float]:
    """Metrics of expressions and whose texts they are, averaged for each annotator, and these; led by J&F."""
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
