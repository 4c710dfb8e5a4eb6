"""The pass over clips: their annotated frames are answered as images are; of the masks, a few frames are in memory."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby

import torch
from torch import Tensor

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.datasets.storage.annotated_frames import iter_annotated_frames
from refseg.evaluation.answers import scoring_arguments
from refseg.evaluation.clip_scoring import Save, ScoredFrame, highest_logit_wins, join, score_frame
from refseg.evaluation.rows import ImageAnswers
from refseg.inference.crf import DenseCRF
from refseg.inference.predict import Prediction, SampleQuery, predict_samples
from refseg.inference.prefetch import prefetch_map
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
    """Yields the answers to all expressions in the annotated frames, video after video.

    Args:
        checkpoint: what answers; a network of images answers each frame by itself.
        clips: with their numbers in the data set; those without a known truth have no answers.
        protocols: how answers are scored, `standard` among them.
        crf: what draws masks to the edges of the frame after the network, if anything does.
        save: is given the answers to each frame, to keep them; from many threads.
        batch_images: how many frames are answered at once.
        workers: threads that count beside the network.
    """

    def score(one: tuple[Prediction[SampleQuery], int]) -> tuple[int, ScoredFrame]:
        prediction, image = one
        query = prediction.queries[image]

        @cache
        def own_logits() -> Tensor:
            where = prediction.expressions_of(image)
            logits, none = prediction.output.logits[where].cpu(), prediction.predicts_none[where]
            return torch.where(none[:, None, None], -1.0, to_image_size(logits, query.image.geometry))

        scored = score_frame(
            **scoring_arguments(checkpoint, prediction, image),
            labels=lambda numbers: highest_logit_wins(own_logits())(numbers),
            protocols=protocols,
            save=save,
        )
        return query.number, scored

    frames = ((number, frame) for number, clip in clips for frame in iter_annotated_frames(clip))
    predictions = predict_samples(checkpoint, frames, False, crf, batch_images, workers)
    images = ((prediction, image) for prediction in predictions for image in range(len(prediction.queries)))
    return join_frames(prefetch_map(score, images, workers), protocols)


def join_frames(scored: Iterable[tuple[int, ScoredFrame]], protocols: Sequence[Scoring]) -> Iterator[ImageAnswers]:
    """Joins scored frames, given with the numbers of their videos, to the answers of each video."""
    for number, frames in groupby(scored, key=lambda one: one[0]):
        yield join(number, [frame for _, frame in frames], protocols)
