"""The pass: a checkpoint answers every expression of a data set; each image is encoded once for all of its own.

A frame of a clip is an image; a network that takes clips sees the frames around it as well.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.datasets.drawn_scenes.dataset import Scene
from refseg.evaluation.object_answers import answer_by_objects
from refseg.evaluation.rows import ImageAnswers
from refseg.evaluation.scoring import STANDARD, score_image
from refseg.inference.crf import DenseCRF
from refseg.inference.predict import Prediction, SampleQuery, exists_probability, is_unfamiliar, predict_samples
from refseg.inference.prefetch import prefetch_map
from refseg.protocols.protocol import Protocol
from refseg.samples import Sample


def answer(
    checkpoint: Checkpoint,
    samples: Iterable[Sample],
    protocols: Sequence[Protocol] = (STANDARD,),
    crf: DenseCRF | None = None,
    keep_masks: bool = False,
    numbers: Iterable[int] | None = None,
    batch_images: int | None = None,
    workers: int = 0,
) -> Iterator[ImageAnswers]:
    """Yields the answers to all expressions, image after image.

    Where both the network and the sample know objects at the image's own size, and `standard` alone is asked for,
    pixels are counted per pair of objects; otherwise logits become masks as each protocol says. The counts are the
    same. With a `crf`, objects' masks are no longer the answers'.

    Args:
        checkpoint: what answers.
        samples: images with expressions; those without any have no answers.
        protocols: how answers are scored, `standard` among them.
        crf: what draws masks to the edges of the image after the network, if anything does.
        keep_masks: keep the answers as run-length codes.
        numbers: of the images in the data set; from 0 on if not given.
        batch_images: how many images the network gets at once, BATCH_IMAGES if not given.
        workers: threads that decode, resize and count beside the network.
    """
    numbered = zip(count() if numbers is None else numbers, samples, strict=False)
    predictions = predict_samples(checkpoint, numbered, False, crf, batch_images, workers)
    only_standard = crf is None and not keep_masks and [protocol.name for protocol in protocols] == [STANDARD.name]
    if only_standard and checkpoint.network.knows_objects:
        yield from _by_objects_where_known(checkpoint, predictions, protocols, workers)
    else:
        yield from answer_by_masks(checkpoint, predictions, protocols, keep_masks, workers)


def _by_objects_where_known(
    checkpoint: Checkpoint,
    predictions: Iterable[Prediction[SampleQuery]],
    protocols: Sequence[Protocol],
    workers: int,
) -> Iterator[ImageAnswers]:
    for prediction in predictions:
        if _knows_objects(prediction):
            yield from answer_by_objects(checkpoint, prediction)
        else:
            yield from answer_by_masks(checkpoint, [prediction], protocols, workers=workers)


def answer_by_masks(
    checkpoint: Checkpoint,
    predictions: Iterable[Prediction[SampleQuery]],
    protocols: Sequence[Protocol],
    keep_masks: bool = False,
    workers: int = 0,
) -> Iterator[ImageAnswers]:
    """Yields the rows of these images, through masks; for every network and sample."""

    def score(one: tuple[Prediction[SampleQuery], int]) -> ImageAnswers:
        return score_image(**scoring_arguments(checkpoint, *one), protocols=protocols, keep_masks=keep_masks)

    images = ((prediction, image) for prediction in predictions for image in range(len(prediction.queries)))
    return prefetch_map(score, images, workers)


def scoring_arguments(checkpoint: Checkpoint, prediction: Prediction[SampleQuery], image: int) -> dict[str, Any]:
    """Returns the arguments of `score_image` for one of the images, or frames, of a prediction."""
    query, where = prediction.queries[image], prediction.expressions_of(image)
    geometry, threshold = query.image.geometry, checkpoint.network.threshold
    logits, none = prediction.output.logits[where].cpu(), prediction.predicts_none[where]
    return {
        "index": query.number,
        "sample": query.sample,
        "predict": lambda protocol, part: protocol.predict(logits[part], geometry, none[part], threshold),
        "predicts_none": none,
        "exists": exists_probability(checkpoint, prediction.output.exists.double()).tolist()[where],
        "seconds": prediction.seconds / len(prediction.expressions),
        "unfamiliar": is_unfamiliar(checkpoint, prediction.features, image, geometry),
    }


def _knows_objects(prediction: Prediction[SampleQuery]) -> bool:
    geometries = [query.image.geometry for query in prediction.queries]
    own_size = all(geometry.own_hw == geometry.padded_hw for geometry in geometries)
    return own_size and all(isinstance(query.sample, Scene) for query in prediction.queries)
