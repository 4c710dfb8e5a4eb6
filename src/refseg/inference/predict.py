"""The one way to logits: images and expressions to predictions."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import torch
from torch import Tensor

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.familiarity import unpadded
from refseg.datasets.storage.annotated_frames import AnnotatedFrame
from refseg.errors import InvalidInput
from refseg.inference.chunks import fuse_in_parts
from refseg.inference.crf import DenseCRF
from refseg.inference.network_input import Seen, encode, sampling_of
from refseg.inference.prefetch import ahead
from refseg.networks.network import Network, Output
from refseg.preprocessing.geometry import Geometry
from refseg.samples import Sample
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import UNKNOWN, split_words

IMAGES_AT_ONCE = 8


WORDLESS = "object"  # is asked where an expression has no word at all, as one of a hundred thousand real ones


@dataclass
class Asked:
    """A few images with all their expressions, and what the network says; M expressions in all.

    Attributes:
        numbers: of the images in the data set.
        samples: the images.
        geometries: how each was resized for the network.
        features: what `encode_image` gives.
        output: for the expressions in order, image after image; its masks are not emptied.
        answers_none: (M,) bool on the CPU, True where the network says that the expression refers to nothing.
        image_of_expression: (M,) int64.
        seconds: that the network took.
    """

    numbers: list[int]
    samples: list[Sample]
    geometries: list[Geometry]
    features: Any
    output: Output
    answers_none: Tensor
    image_of_expression: Tensor
    seconds: float

    def expressions_of(self, image: int) -> slice:
        """Where the expressions of an image stand among the M."""
        start = sum(len(sample.expressions) for sample in self.samples[:image])
        return slice(start, start + len(self.samples[image].expressions))


@dataclass
class _Prepared:
    """A sample with its number, and what the network sees of it: an image, or the frames of a clip."""

    number: int
    sample: Sample
    frames: list[Seen]
    shown: Seen


def ask(
    checkpoint: Checkpoint,
    samples: Iterable[Sample],
    without_words: bool = False,
    crf: DenseCRF | None = None,
    numbers: Iterable[int] | None = None,
    batch_images: int | None = None,
    workers: int = 0,
) -> Iterator[Asked]:
    """The network's output for all samples that have expressions, a few images of one size at a time.

    Args:
        checkpoint: the network with its tokenizer and preprocessing.
        samples: images with expressions.
        without_words: every expression is replaced by a single word that the network does not know.
        crf: what draws masks to the edges of the image after the network, if anything does.
        numbers: of the images in the data set; from 0 on if not given.
        batch_images: how many images the network gets at once, IMAGES_AT_ONCE if not given.
        workers: threads that decode and resize images ahead of the network.
    """
    return ask_numbered(
        checkpoint, zip(numbers or count(), samples, strict=False), without_words, crf, batch_images, workers
    )


def ask_numbered(
    checkpoint: Checkpoint,
    samples: Iterable[tuple[int, Sample]],
    without_words: bool = False,
    crf: DenseCRF | None = None,
    batch_images: int | None = None,
    workers: int = 0,
) -> Iterator[Asked]:
    """As `ask`, of samples with their numbers."""
    some = ((k, sample) for k, sample in samples if sample.expressions)
    device = next(checkpoint.network.parameters()).device
    for batch in _same_size(_prepared(checkpoint, some, workers), batch_images or IMAGES_AT_ONCE):
        expressions = [expression.text for one in batch for expression in one.sample.expressions]
        begin = time.perf_counter()
        if without_words:
            tokens = torch.full((len(expressions), 1), UNKNOWN)
            word_mask = torch.ones_like(tokens, dtype=torch.bool)
        else:
            tokens, word_mask = checkpoint.tokenizer([readable(checkpoint.tokenizer, text) for text in expressions])
        image_of_expression = torch.arange(len(batch)).repeat_interleave(
            torch.tensor([len(one.sample.expressions) for one in batch])
        )
        with answering(checkpoint.network) as own:
            network = own.at_threshold(-math.inf)  # as if every expression referred to something: a protocol empties
            features, word_mask = encode(network, [one.frames for one in batch]), word_mask.to(device)
            words = network.encode_words(tokens.to(device), word_mask)
            of_image = image_of_expression.to(device)
            output = fuse_in_parts(network, features, words, word_mask, of_image, batch[0].shown.pixels.shape[-2:])
        if crf is not None:
            looks = [checkpoint.preprocessing.denormalise(one.shown.pixels) for one in batch]
            output.logits = crf.refine(output.logits, [looks[image] for image in image_of_expression.tolist()])
        yield Asked(
            numbers=[one.number for one in batch],
            samples=[one.sample for one in batch],
            geometries=[one.shown.geometry for one in batch],
            features=features,
            output=output,
            answers_none=(output.exists <= checkpoint.network.exists_threshold_logit).cpu(),
            image_of_expression=image_of_expression,
            seconds=time.perf_counter() - begin,
        )


def readable(tokenizer: Tokenizer, expression: str) -> str:
    """The expression, without the end that the network cannot read: scoring needs an answer to every expression.

    >>> from refseg.text.vocabulary import Vocabulary
    >>> readable(Vocabulary(["red", "star"], max_words=2), "red star on the left")
    'red star'
    """
    words = split_words(expression)
    if not words:
        return WORDLESS
    try:
        tokenizer.ids(expression)
    except InvalidInput:
        return " ".join(words[: tokenizer.max_words])
    return expression


@contextmanager
def answering(network: Network) -> Iterator[Network]:
    """The network in evaluation mode and without gradients; afterwards in the mode that it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.inference_mode():
            yield network
    finally:
        for module, training in modes:
            module.training = training


def probabilities(checkpoint: Checkpoint, output: Output) -> list[float]:
    """The calibrated probability of existence of each expression."""
    return (output.exists.double() / checkpoint.calibration.temperature).sigmoid().tolist()


def is_unfamiliar(checkpoint: Checkpoint, features: Any, image: int, geometry: Geometry) -> bool | None:
    """Do the weights call this image of the features unlike what they know? None if they do not tell."""
    familiarity = checkpoint.familiarity
    if familiarity is None or not hasattr(features, "coarse"):
        return None
    return not familiarity.is_familiar(unpadded(features.coarse[image : image + 1], geometry)).item()


def _prepared(checkpoint: Checkpoint, some: Iterator[tuple[int, Sample]], workers: int) -> Iterator[_Prepared]:
    """What the network sees, on threads; the frames of clips one after the other, since videos are decoded so."""
    preprocessing = checkpoint.preprocessing

    def of_image(numbered: tuple[int, Sample]) -> _Prepared:
        seen = Seen(*preprocessing(numbered[1].image))
        return _Prepared(*numbered, [seen], seen)

    first = next(some, None)
    if first is None:
        return
    every = chain([first], some)
    if not isinstance(first[1], AnnotatedFrame):
        yield from ahead(of_image, every, workers)
        return
    sampling = sampling_of(checkpoint.network, preprocessing)
    clip_id, known = "", dict[int, Seen]()
    for number, sample in every:
        assert isinstance(sample, AnnotatedFrame)
        clip = sample.clip
        wanted = sampling.around(sample.t, len(clip))
        known = {t: seen for t, seen in known.items() if t >= wanted[0] and clip.clip_id == clip_id}
        clip_id = clip.clip_id
        for t in wanted:
            if t not in known:
                known[t] = Seen(*preprocessing(clip.frame(t)))
        yield _Prepared(number, sample, [known[t] for t in wanted], known[sample.t])


def _same_size(prepared: Iterable[_Prepared], most: int) -> Iterator[list[_Prepared]]:
    """Images in order, in groups that the network can take as one batch."""
    together: list[_Prepared] = []
    for one in prepared:
        if together and (len(together) == most or together[0].shown.pixels.shape != one.shown.pixels.shape):
            yield together
            together = []
        together.append(one)
    if together:
        yield together
