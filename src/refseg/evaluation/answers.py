"""The pass: a checkpoint answers every expression of a data set; each image is encoded once for all of its own.

A frame of a clip is an image; a network that takes clips sees the frames around it as well.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.datasets.drawn_scenes.dataset import Scene
from refseg.evaluation.object_answers import answer_by_objects
from refseg.evaluation.rows import ImageAnswers
from refseg.evaluation.scoring import STANDARD, score_image
from refseg.inference.crf import DenseCRF
from refseg.inference.predict import Asked, ask, is_unfamiliar, probabilities
from refseg.inference.prefetch import ahead
from refseg.networks.selector.selector import Selector
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
    """Answers all expressions, image after image.

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
        batch_images: how many images the network gets at once, IMAGES_AT_ONCE if not given.
        workers: threads that decode, resize and count beside the network.
    """
    asked = ask(checkpoint, samples, False, crf, numbers, batch_images, workers)
    only_standard = crf is None and not keep_masks and [protocol.name for protocol in protocols] == [STANDARD.name]
    if only_standard and isinstance(checkpoint.network, Selector):
        yield from _by_objects_where_known(checkpoint, asked, protocols, workers)
    else:
        yield from answer_by_masks(checkpoint, asked, protocols, keep_masks, workers)


def _by_objects_where_known(
    checkpoint: Checkpoint, asked: Iterable[Asked], protocols: Sequence[Protocol], workers: int
) -> Iterator[ImageAnswers]:
    for some in asked:
        if _knows_objects(some):
            yield from answer_by_objects(checkpoint, some)
        else:
            yield from answer_by_masks(checkpoint, [some], protocols, workers=workers)


def answer_by_masks(
    checkpoint: Checkpoint,
    asked: Iterable[Asked],
    protocols: Sequence[Protocol],
    keep_masks: bool = False,
    workers: int = 0,
) -> Iterator[ImageAnswers]:
    """The rows of these images, through masks; for every network and sample."""

    def score(one: tuple[Asked, int]) -> ImageAnswers:
        return score_image(**of_masks(checkpoint, *one), protocols=protocols, keep_masks=keep_masks)

    images = ((some, image) for some in asked for image in range(len(some.samples)))
    return ahead(score, images, workers)


def of_masks(checkpoint: Checkpoint, some: Asked, image: int) -> dict[str, Any]:
    """What `score_image` takes of the answers about one of the images, or frames, that were asked about."""
    where, geometry, threshold = some.expressions_of(image), some.geometries[image], checkpoint.network.threshold
    logits, none = some.output.logits[where].cpu(), some.answers_none[where]
    return {
        "index": some.numbers[image],
        "sample": some.samples[image],
        "predict": lambda protocol, part: protocol.predict(logits[part], geometry, none[part], threshold),
        "answers_none": none,
        "exists": probabilities(checkpoint, some.output)[where],
        "seconds": some.seconds / len(some.answers_none),
        "unfamiliar": is_unfamiliar(checkpoint, some.features, image, geometry),
    }


def _knows_objects(asked: Asked) -> bool:
    own_size = all(geometry.own_hw == geometry.padded_hw for geometry in asked.geometries)
    scenes = all(isinstance(sample, Scene) for sample in asked.samples)
    return own_size and scenes
