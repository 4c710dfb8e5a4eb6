"""The one way to logits: images and expressions to predictions."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from refseg.blocks.autocast import computing_in
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.familiarity import unpadded
from refseg.datasets.storage.annotated_frames import AnnotatedFrame
from refseg.errors import InvalidInput
from refseg.inference.chunks import expressions_at_once, fuse_in_parts
from refseg.inference.crf import DenseCRF
from refseg.inference.network_input import NetworkInput, encode, sampling_of
from refseg.inference.prefetch import prefetch_map
from refseg.inference.word_weights import ViewedWords, read_words, recorded_outputs
from refseg.networks.network import Network, Output
from refseg.preprocessing.geometry import Geometry, Size
from refseg.samples import Sample
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import UNKNOWN, split_words

BATCH_IMAGES = 8  # images that are encoded at once where nothing else is asked for
MAX_PIXELS = 2**24  # of them together, where images are not resized: 16 of 1024 x 1024, one photograph of a camera
WORDLESS = "object"  # replaces an expression without any word; one of a hundred thousand real ones has none


@dataclass
class Query:
    """An image, or a clip, with expressions about it.

    Attributes:
        frames: K frames of the clip; one of an image.
        expressions: expressions that the tokenizer accepts.
    """

    frames: Sequence[NetworkInput]
    expressions: Sequence[str]

    @property
    def image(self) -> NetworkInput:
        """The frame that is answered."""
        return self.frames[len(self.frames) // 2]

    @property
    def size_hw(self) -> Size:
        """Height and width of the frames as the network takes them."""
        return self.image.pixels.shape[-2], self.image.pixels.shape[-1]


@dataclass
class SampleQuery(Query):
    """A sample with its number in the data set."""

    number: int
    sample: Sample


Q = TypeVar("Q", bound=Query)
Item = TypeVar("Item")


@dataclass
class Prediction(Generic[Q]):
    """Output of a network for M expressions about B images of one size.

    Attributes:
        queries: the B images.
        expressions: the M expressions, image after image.
        features: output of `encode_image`.
        output: output of `fuse`, after the CRF if there is one.
        predicts_none: (M,) bool on the CPU, True where existence is not above the threshold of the checkpoint.
        image_of_expression: (M,) int64 on the CPU.
        seconds: time that the network took.
        viewed_words: the network's weights of the words, if they were asked for.
    """

    queries: Sequence[Q]
    expressions: Sequence[str]
    features: Any
    output: Output
    predicts_none: Tensor
    image_of_expression: Tensor
    seconds: float
    viewed_words: ViewedWords = ()

    def expressions_of(self, image: int) -> slice:
        """Returns the places of an image's expressions among the M; all expressions of the queries must be there."""
        start = sum(len(query.expressions) for query in self.queries[:image])
        return slice(start, start + len(self.queries[image].expressions))


def predict(
    checkpoint: Checkpoint,
    queries: Iterable[Q],
    *,
    batch_images: int = BATCH_IMAGES,
    split_expressions: bool = False,
    without_words: bool = False,
    exists_threshold_logit: float | None = None,
    crf: DenseCRF | None = None,
    view_words: bool = False,
) -> Iterator[Prediction[Q]]:
    """Predicts masks; successive images of one size are encoded together, each once for all of its expressions.

    Args:
        checkpoint: network with its tokenizer and preprocessing.
        queries: images or clips with expressions; those without any are skipped.
        batch_images: number of images that are encoded at once, at most.
        split_expressions: whether a prediction holds no more expressions than are fused at once, so that memory is
            bounded for any number of them, in the place of all expressions of its images.
        without_words: whether each expression is replaced by one word that the network does not know.
        exists_threshold_logit: threshold of existence below which the network empties masks; that of the checkpoint if
            not given.
        crf: refines the masks.
        view_words: whether the network's weights of the words are told, for expressions that are split.
    """
    network = checkpoint.network
    asked = (query for query in queries if query.expressions)
    for batch in batches(asked, lambda query: query.size_hw, batch_images, max_batch_pixels(checkpoint)):
        begin = time.perf_counter()
        with evaluation_mode(network):
            features = encode(network, [query.frames for query in batch])
        yield from predict_encoded(
            checkpoint,
            batch,
            features,
            split_expressions=split_expressions,
            without_words=without_words,
            exists_threshold_logit=exists_threshold_logit,
            crf=crf,
            view_words=view_words,
            begin=begin,
        )


def predict_encoded(
    checkpoint: Checkpoint,
    queries: Sequence[Q],
    features: Any,
    *,
    split_expressions: bool = False,
    without_words: bool = False,
    exists_threshold_logit: float | None = None,
    crf: DenseCRF | None = None,
    view_words: bool = False,
    begin: float | None = None,
) -> Iterator[Prediction[Q]]:
    """Predicts masks of images of one size whose features are computed already.

    Args:
        checkpoint: network with its tokenizer and preprocessing.
        queries: the B images of the features; some may have no expressions.
        features: output of `encode_image`.
        split_expressions: as of `predict`.
        without_words: as of `predict`.
        exists_threshold_logit: as of `predict`.
        crf: refines the masks.
        view_words: as of `predict`.
        begin: when the prediction began, by `time.perf_counter`; now if not given.
    """
    network = checkpoint.network
    if exists_threshold_logit is not None:
        network = network.at_threshold(exists_threshold_logit)
    device, begin = next(network.parameters()).device, begin or time.perf_counter()
    size_hw = queries[0].size_hw
    seen = [checkpoint.preprocessing.denormalise(query.image.pixels) for query in queries] if crf else []
    views = [view for view in network.views() if view.kind == "words"] if view_words else []
    pairs = [(k, text) for k, query in enumerate(queries) for text in query.expressions]
    count = max_prediction_expressions(network, size_hw) if split_expressions else max(1, len(pairs))
    for start in range(0, len(pairs), count):
        images, expressions = zip(*pairs[start : start + count], strict=True)
        image_of_expression = torch.tensor(images)
        if without_words:
            tokens = torch.full((len(expressions), 1), UNKNOWN)
            word_mask = torch.ones_like(tokens, dtype=torch.bool)
        else:
            tokens, word_mask = checkpoint.tokenizer(expressions)
        tokens, word_mask, of_image = tokens.to(device), word_mask.to(device), image_of_expression.to(device)
        with evaluation_mode(network), recorded_outputs(views) as outputs:
            words = network.encode_words(tokens, word_mask)
            output = fuse_in_parts(network, features, words, word_mask, of_image, size_hw).float()
            viewed_words = read_words(views, outputs, len(expressions))
        _check_finite(output, checkpoint.name)
        if crf is not None:
            output.logits = crf.refine(output.logits, [seen[k] for k in images])
        yield Prediction(
            queries=queries,
            expressions=expressions,
            features=features,
            output=output,
            predicts_none=(output.exists <= checkpoint.network.exists_threshold_logit).cpu(),
            image_of_expression=image_of_expression,
            seconds=time.perf_counter() - begin,
            viewed_words=viewed_words,
        )
        begin = time.perf_counter()


def _check_finite(output: Output, name: str) -> None:
    """Refuses values that are no numbers, which would be scored, or calibrated on, as if they said "nothing"."""
    least, most = output.logits.aminmax()  # NaN if there is any
    if not bool(output.exists.isfinite().all() & least.isfinite() & most.isfinite()):
        raise InvalidInput(
            f"the weights of {name} give values that are not finite; they are damaged, or their training failed: get "
            "them again, or use others"
        )


def max_prediction_expressions(network: Network, size_hw: Size) -> int:
    """Returns the number of expressions about images or clips of this size that a prediction holds, if it is split."""
    return max(1, expressions_at_once(size_hw, network) // network.frames)


def max_batch_pixels(checkpoint: Checkpoint) -> float:
    """Returns the number of pixels of the images that are encoded at once, at most; infinity where all are resized."""
    return MAX_PIXELS if checkpoint.preprocessing.resize == "none" else math.inf


def batches(
    images: Iterable[Item], size_of: Callable[[Item], Size], batch_images: int, max_pixels: float
) -> Iterator[list[Item]]:
    """Yields successive images of one size, so many at most and as few as their pixels demand, but at least one.

    >>> list(batches("aabbb", {"a": (4, 5), "b": (2, 5)}.get, batch_images=16, max_pixels=20))
    [['a'], ['a'], ['b', 'b'], ['b']]
    """
    batch: list[Item] = []
    for image in images:
        height, width = size_of(image)
        if batch and size_of(batch[0]) != (height, width):
            yield batch
            batch = []
        batch.append(image)
        if len(batch) >= min(batch_images, max_pixels // (height * width)):
            yield batch
            batch = []
    if batch:
        yield batch


def predict_samples(
    checkpoint: Checkpoint,
    samples: Iterable[tuple[int, Sample]],
    without_words: bool = False,
    crf: DenseCRF | None = None,
    batch_images: int | None = None,
    workers: int = 0,
) -> Iterator[Prediction[SampleQuery]]:
    """Predicts masks of all expressions of samples, in order, as if each of them referred to something.

    Masks are not emptied: protocols do that, where `predicts_none` is True. Expressions are truncated to what the
    network reads.

    Args:
        checkpoint: network with its tokenizer and preprocessing.
        samples: images, or annotated frames, with their numbers in the data set.
        without_words: whether each expression is replaced by one word that the network does not know.
        crf: refines the masks.
        batch_images: number of images that are encoded at once, BATCH_IMAGES if not given.
        workers: threads that decode and resize images ahead of the network.
    """
    return predict(
        checkpoint,
        _sample_queries(checkpoint, ((k, sample) for k, sample in samples if sample.expressions), workers),
        batch_images=batch_images or BATCH_IMAGES,
        without_words=without_words,
        exists_threshold_logit=-math.inf,
        crf=crf,
    )


def truncate(tokenizer: Tokenizer, expression: str) -> str:
    """Returns the expression without the end that the network cannot read: scoring needs an answer to each of them.

    >>> from refseg.text.vocabulary import Vocabulary
    >>> truncate(Vocabulary(["red", "star"], max_words=2), "red star on the left")
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
def evaluation_mode(network: Network) -> Iterator[Network]:
    """Puts a network into evaluation mode, without gradients and in its precision; afterwards all is as it was."""
    training = [module for module in network.modules() if module.training]
    if training:
        network.eval()
    try:
        with torch.inference_mode(), computing_in(network.compute_dtype, next(network.parameters()).device):
            yield network
    finally:
        for module in training:
            module.training = True


def exists_probability(checkpoint: Checkpoint, exists: Tensor) -> Tensor:
    """Returns the calibrated probability of existence (M,) for its logits (M,)."""
    return (exists / checkpoint.calibration.temperature).sigmoid()


@torch.inference_mode()
def is_unfamiliar(checkpoint: Checkpoint, features: Any, image: int, geometry: Geometry) -> bool | None:
    """Whether the weights do not know such images as this one of the features, padding left out; None if unknown."""
    coarse = checkpoint.network.familiarity_features(features)
    if checkpoint.familiarity is None or coarse is None:
        return None
    return not checkpoint.familiarity.is_familiar(unpadded(coarse[image : image + 1].float(), geometry)).item()


def _sample_queries(
    checkpoint: Checkpoint, numbered: Iterator[tuple[int, Sample]], workers: int
) -> Iterator[SampleQuery]:
    """Inputs of samples, on threads; the frames of clips one after the other, since videos are decoded so."""
    preprocessing = checkpoint.preprocessing

    def query(number: int, sample: Sample, frames: list[NetworkInput]) -> SampleQuery:
        expressions = [truncate(checkpoint.tokenizer, expression.text) for expression in sample.expressions]
        return SampleQuery(frames, expressions, number, sample)

    def image_query(one: tuple[int, Sample]) -> SampleQuery:
        annotated = one[1].annotated_objects() if checkpoint.network.needs_annotations else None
        return query(*one, [NetworkInput(*preprocessing(one[1].image), annotated=annotated)])

    first = next(numbered, None)
    if first is None:
        return
    numbered = chain([first], numbered)
    if not isinstance(first[1], AnnotatedFrame):
        yield from prefetch_map(image_query, numbered, workers)
        return
    sampling = sampling_of(checkpoint.network, preprocessing)
    clip_id, known = "", dict[int, NetworkInput]()
    for number, sample in numbered:
        assert isinstance(sample, AnnotatedFrame)
        clip = sample.clip
        wanted = sampling.around(sample.t, len(clip))
        known = {t: frame for t, frame in known.items() if t >= wanted[0] and clip.clip_id == clip_id}
        clip_id = clip.clip_id
        for t in wanted:
            if t not in known:
                known[t] = NetworkInput(*preprocessing(clip.frame(t)))
        yield query(number, sample, [known[t] for t in wanted])
