"""The pass over clips: their annotated frames are answered as images are; of the masks, a few frames are in memory."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby

import torch
from torch import Tensor

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.datasets.storage.annotated_frames import frames_of
from refseg.evaluation.answers import of_masks
from refseg.evaluation.clip_scoring import Save, ScoredFrame, join, score_frame, surest
from refseg.evaluation.rows import ImageAnswers
from refseg.inference.crf import DenseCRF
from refseg.inference.predict import Asked, ask_numbered
from refseg.inference.prefetch import ahead
from refseg.preprocessing.restore import to_image_size
from refseg.protocols.video_protocol import Scoring
from refseg.samples import Clip


def answer_clips(
    checkpoint: Checkpoint,
    clips: Iterable[tuple[int, Clip]],
    protocols: Sequence[Scoring],
    crf: DenseCRF | None = None,
    save: Save | None = None,
    batch_images: int | None = None,
    workers: int = 0,
) -> Iterator[ImageAnswers]:
    """Answers all expressions in the frames where their truth is known, video after video.

    Args:
        checkpoint: what answers; a network of images answers each frame by itself.
        clips: with their numbers in the data set; those without a known truth have no answers.
        protocols: how answers are scored, `standard` among them.
        crf: what draws masks to the edges of the frame after the network, if anything does.
        save: is given the answers to each frame, to keep them; from many threads.
        batch_images: how many frames are answered at once.
        workers: threads that count beside the network.
    """

    def score(one: tuple[Asked, int]) -> tuple[int, ScoredFrame]:
        some, image = one

        @cache
        def own_logits() -> Tensor:
            where = some.expressions_of(image)
            logits, none = some.output.logits[where].cpu(), some.answers_none[where]
            return torch.where(none[:, None, None], -1.0, to_image_size(logits, some.geometries[image]))

        scored = score_frame(
            **of_masks(checkpoint, some, image),
            labels=lambda numbers: surest(own_logits())(numbers),
            protocols=protocols,
            save=save,
        )
        return some.numbers[image], scored

    frames = ((number, frame) for number, clip in clips for frame in frames_of(clip))
    asked = ask_numbered(checkpoint, frames, False, crf, batch_images, workers)
    return joined(
        ahead(score, ((some, image) for some in asked for image in range(len(some.samples))), workers), protocols
    )


def joined(scored: Iterable[tuple[int, ScoredFrame]], protocols: Sequence[Scoring]) -> Iterator[ImageAnswers]:
    """Frames with the numbers of their videos, one video after the other, as the answers to videos."""
    for number, frames in groupby(scored, key=lambda one: one[0]):
        yield join(number, [frame for _, frame in frames], protocols)
