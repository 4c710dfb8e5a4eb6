"""The pass: a checkpoint answers every expression of a data set; each image is encoded once for all of its own.

A frame of a clip is an image; a network that takes clips sees the frames around it as well.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.checkpoints import Checkpoint
from refseg.crf import DenseCRF
from refseg.datasets.annotated_frames import AnnotatedFrame
from refseg.datasets.drawn_scenes import Scene
from refseg.encoders.tokenizer import Tokenizer
from refseg.encoders.vocabulary import UNKNOWN, split_words
from refseg.errors import InvalidInput
from refseg.evaluation.ahead import ahead
from refseg.evaluation.kinds_of_error import is_at_edge, kind_of_error
from refseg.evaluation.overlap import count_sets, overlap
from refseg.evaluation.rows import FoundInImage, ImageAnswers, scores_of
from refseg.evaluation.scoring import STANDARD, row, score_image
from refseg.familiarity import unpadded
from refseg.networks.contract import Network, Output
from refseg.networks.in_parts import fuse_in_parts
from refseg.networks.selector import Selector
from refseg.preprocessing import Geometry
from refseg.protocols.contract import Protocol
from refseg.samples import Objects, Sample
from refseg.video.seen import Seen, encode, sampling_of

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
            looks = [checkpoint.preprocessing.colours(one.shown.pixels) for one in batch]
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

    >>> from refseg.encoders.vocabulary import Vocabulary
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


def answer_by_objects(checkpoint: Checkpoint, asked: Asked) -> Iterator[ImageAnswers]:
    """The rows of these images, through pixels per pair of found and true objects; under `standard`."""
    network = checkpoint.network
    assert isinstance(network, Selector)
    exists = probabilities(checkpoint, asked.output)
    scenes = [sample for sample in asked.samples if isinstance(sample, Scene)]
    id_maps = network.id_map(asked.features).cpu().numpy()
    chosen = network.chosen(asked.output).cpu().numpy()
    selectable = asked.features.selectable.cpu().numpy()
    matched = network.match(asked.features, true_objects(scenes, asked.features.centres.device)).cpu().numpy()
    for image, scene in enumerate(scenes):
        where, objects = asked.expressions_of(image), len(scene.centres)
        table = overlap(id_maps[image], scene.id_map, chosen.shape[1], objects)
        meant = meant_objects(scene)
        right = np.zeros((len(meant), chosen.shape[1]), bool)  # the found objects that should be chosen
        for slot, thing in enumerate(matched[image]):
            if thing >= 0:
                right[:, slot] = meant[:, thing]
        is_missed = ~np.isin(np.arange(objects), matched[image])
        missed = (meant & is_missed).any(1)
        causes = np.where(missed, "missed", np.where((right == chosen[where]).all(1), "mask", "choice"))
        best = count_sets(table, right, meant)
        counts = count_sets(table, chosen[where], meant)
        sizes = table[:, 1:].sum(0)
        taken_in = (chosen[where].astype(np.int64) @ table[1:, 1:]) / np.maximum(sizes, 1)
        rows = []
        for i, score in enumerate(scores_of(counts, STANDARD.ious(counts))):
            true = int(sizes[meant[i]].sum())
            error = kind_of_error(
                score.intersection,
                score.union,
                true,
                bool(meant[i].any()),
                partial(taken_in[i].__getitem__, meant[i] & (sizes > 0)),
                partial(taken_in[i].__getitem__, ~meant[i]),
                partial(_at_edge, id_maps[image], chosen[where][i], scene, i),
            )
            perfect = int(best.intersection[i]), int(best.union[i])
            seconds, cause = asked.seconds / len(exists), str(causes[i])
            each = {STANDARD.name: score}
            rows.append(row(scene, i, true, exists[where][i], seconds, error, each, cause, perfect))
        yield ImageAnswers(
            index=asked.numbers[image],
            rows=rows,
            unfamiliar=is_unfamiliar(checkpoint, asked.features, image, asked.geometries[image]),
            found=FoundInImage(
                objects=objects,
                found=int(selectable[image].sum()),
                ious=_instance_ious(table, matched[image]),
                missed=int(is_missed.sum()),
            ),
        )


def probabilities(checkpoint: Checkpoint, output: Output) -> list[float]:
    """The calibrated probability of existence of each expression."""
    return (output.exists.double() / checkpoint.calibration.temperature).sigmoid().tolist()


def is_unfamiliar(checkpoint: Checkpoint, features: Any, image: int, geometry: Geometry) -> bool | None:
    """Do the weights call this image of the features unlike what they know? None if they do not tell."""
    familiarity = checkpoint.familiarity
    if familiarity is None or not hasattr(features, "coarse"):
        return None
    return not familiarity.is_familiar(unpadded(features.coarse[image : image + 1], geometry)).item()


def meant_objects(scene: Scene) -> NDArray[np.bool_]:
    """Which of the n objects each of a scene's expressions refers to, (M, n)."""
    meant = np.zeros((len(scene.expressions), len(scene.centres)), bool)
    for means, expression in zip(meant, scene.expressions, strict=True):
        means[[number - 1 for number in expression.targets]] = True
    return meant


def true_objects(scenes: list[Scene], device: torch.device | str = "cpu") -> Objects:
    """The true objects of scenes of one size, padded to the largest count."""
    most = max(len(scene.centres) for scene in scenes)

    def padded(arrays: list[NDArray[Any]]) -> Tensor:
        rows = [np.concatenate([a, np.zeros((most - len(a), *a.shape[1:]), a.dtype)]) for a in arrays]
        return torch.from_numpy(np.stack(rows)).to(device)

    return Objects(
        id_map=torch.from_numpy(np.stack([scene.id_map for scene in scenes])).long().to(device),
        centres=padded([scene.centres for scene in scenes]),
        radii=padded([scene.radii for scene in scenes]),
        attributes=padded([scene.attributes for scene in scenes]),
        present=padded([np.ones(len(scene.centres), bool) for scene in scenes]),
    )


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


def _knows_objects(asked: Asked) -> bool:
    own_size = all(geometry.own_hw == geometry.padded_hw for geometry in asked.geometries)
    scenes = all(isinstance(sample, Scene) for sample in asked.samples)
    return own_size and scenes


def _at_edge(id_map: NDArray[np.integer], chosen: NDArray[np.bool_], scene: Scene, i: int) -> bool:
    return is_at_edge(np.isin(id_map, np.flatnonzero(chosen) + 1), scene.mask(i))


def _instance_ious(table: NDArray[np.int64], matched: NDArray[np.integer]) -> tuple[float, ...]:
    ious = np.zeros(table.shape[1] - 1)
    for slot, thing in enumerate(matched):
        if thing >= 0:
            both = table[slot + 1, thing + 1]
            ious[thing] = both / (table[slot + 1].sum() + table[:, thing + 1].sum() - both)
    return tuple(ious.tolist())
