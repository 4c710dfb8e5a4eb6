"""One video: the answers to its expressions, frame by frame and under several protocols at once, to rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from refseg.array_types import LabelImage
from refseg.datasets.ref_davis import by_annotator
from refseg.datasets.storage.annotated_frames import AnnotatedFrame
from refseg.errors import InvalidInput, for_caller
from refseg.evaluation.rows import ImageAnswers, Row, Score
from refseg.evaluation.scoring import STANDARD, Predict, score_image
from refseg.lazy import LazyModule
from refseg.protocols.davis import DAVIS
from refseg.protocols.protocol import Protocol
from refseg.protocols.video_protocol import Fit, FrameAnswers, Scoring, VideoProtocol
from refseg.samples import Clip

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

Save = Callable[[FrameAnswers], None]


@dataclass(frozen=True)
class ScoredFrame:
    """Scores of one frame, without its masks.

    Attributes:
        clip, t: the frame.
        asked: numbers of the expressions in the clip.
        answers: rows under the protocols that score frames.
        left: by name, what the protocols of whole videos keep of it.
    """

    clip: Clip
    t: int
    asked: tuple[int, ...]
    answers: ImageAnswers
    left: Mapping[str, Any]


def check_clips(clips: Sequence[Clip], protocols: Iterable[Scoring]) -> None:
    """Checks that clips can be scored.

    Raises:
        InvalidInput: if not: nothing is known of them, or a protocol asks for more.
    """
    if not any(clip.annotated_frames(number) for clip in clips for number in range(len(clip.expressions))):
        write = for_caller("--submission answers.zip", "refseg.evaluation.submission.write_submission")
        raise InvalidInput(
            f"the truth of this split is not given out, so nothing can be scored; {write} writes what the server of "
            "the challenge takes"
        )
    if of_videos := [protocol for protocol in protocols if isinstance(protocol, VideoProtocol)]:
        for clip in clips:
            for protocol in of_videos:
                protocol.check(clip)


def score_frame(
    index: int,
    sample: AnnotatedFrame,
    predict: Predict,
    labels: Callable[[Sequence[int]], LabelImage],
    predicts_none: Tensor,
    exists: Sequence[float | None],
    seconds: float,
    protocols: Sequence[Scoring],
    save: Save | None = None,
    unfamiliar: bool | None = None,
) -> ScoredFrame:
    """Scores one frame, as `score_image`; `labels` as in `FrameAnswers`, `save` is given the answers to keep them."""
    of_frames = [protocol for protocol in protocols if isinstance(protocol, Protocol)]
    of_videos = [protocol for protocol in protocols if isinstance(protocol, VideoProtocol)]
    answers = score_image(index, sample, predict, predicts_none, exists, seconds, of_frames, False, unfamiliar)
    left = {}
    if of_videos or save:
        every = slice(0, len(sample.expressions))
        truths = np.stack([sample.mask(i) for i in range(every.stop)])
        frame = FrameAnswers(sample.clip, sample.t, truths, predict(STANDARD, every).cpu().numpy(), labels)
        left = {protocol.name: protocol.score_frame(frame) for protocol in of_videos}
        if save:
            save(frame)
    return ScoredFrame(sample.clip, sample.t, sample.asked, answers, left)


def join(index: int, frames: Sequence[ScoredFrame], protocols: Sequence[Scoring]) -> ImageAnswers:
    """Returns the rows of a video, from the scores of all of its frames in order."""
    clip = frames[0].clip
    fits = {
        protocol.name: protocol.score_clip(clip, [frame.left[protocol.name] for frame in frames])
        for protocol in protocols
        if isinstance(protocol, VideoProtocol)
    }
    annotators = _annotators(clip) if any(isinstance(protocol, DAVIS) for protocol in protocols) else {}
    skipping = {protocol.name for protocol in protocols if isinstance(protocol, Protocol) and protocol.skips_empty}
    rows: list[Row] = []
    for place, frame in enumerate(frames):
        for number, row in zip(frame.asked, frame.answers.rows, strict=True):
            counted = {name: score for name, score in row.scores.items() if row.has_target or name not in skipping}
            fitting = {name: of_frames[place].get(number) for name, of_frames in fits.items()}
            whole = {name: _score(fit) for name, fit in fitting.items() if fit}
            rows.append(
                replace(
                    row,
                    id=clip.expression_id(number),
                    image_id=clip.clip_id,
                    scores={**whole, **counted},
                    frame=clip.frame_name(frame.t),
                    annotator=annotators.get(number, ""),
                )
            )
    unfamiliar = Counter(frame.answers.unfamiliar for frame in frames).most_common(1)[0][0]
    found = {row.id for row in rows if row.has_target}
    named = [clip.expression_id(number) for number, one in enumerate(clip.expressions) if one.targets]
    return ImageAnswers(index, rows, unfamiliar, nowhere=sum(id not in found for id in named))


def first_mask_wins(masks: Sequence[Any]) -> Callable[[Sequence[int]], LabelImage]:
    """Labels, as in `FrameAnswers`, of masks (H, W) alone: where they overlap, the first one has the pixel."""

    def labels(numbers: Sequence[int]) -> LabelImage:
        found = np.zeros(masks[0].shape, np.uint8)
        for k, number in reversed(list(enumerate(numbers, start=1))):
            found[masks[number]] = k
        return found

    return labels


def highest_logit_wins(logits: Tensor) -> Callable[[Sequence[int]], LabelImage]:
    """The same of logits (M, H, W) at the frame's own size, above 0 where the answer is: the largest has the pixel."""

    def labels(numbers: Sequence[int]) -> LabelImage:
        most, k = logits[list(numbers)].max(0)
        return torch.where(most > 0, k + 1, 0).to(torch.uint8).cpu().numpy()

    return labels


def _annotators(clip: Clip) -> dict[int, str]:
    lists = by_annotator(clip)
    return {number: str(k) for k, texts in enumerate(lists, start=1) for number in texts} if len(lists) > 1 else {}


def _score(fit: Fit) -> Score:
    return Score(fit.intersection, fit.union, fit.has_prediction, fit.region, fit.contour)
