"""The pass: a checkpoint answers every expression of a data set; each image is encoded once for all of its own."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.checkpoints import Checkpoint
from refseg.crf import DenseCRF
from refseg.datasets.drawn_scenes import SIZES, Scene
from refseg.datasets.drawn_scenes.objects import SIZE
from refseg.encoders.vocabulary import UNKNOWN
from refseg.evaluation.overlap import count_sets, overlap
from refseg.metrics import Counts
from refseg.networks.contract import Network, Output
from refseg.networks.in_parts import fuse_in_parts
from refseg.networks.selector import Selector
from refseg.preprocessing import Geometry, restore
from refseg.protocols.standard import Standard
from refseg.samples import Objects, Sample

IMAGES_AT_ONCE = 8


@dataclass(frozen=True)
class Row:
    """One expression and how it was answered.

    Attributes:
        image_id, expression, type, kind: from the sample.
        part: part of a held-out split, or "".
        size: of the objects it refers to, "mixed" if they differ, "" where the sample does not know.
        intersection, union: pixels of answer and truth.
        has_target: does it refer to anything.
        predicted_empty: was it answered by nothing.
        exists: the calibrated probability that it refers to something.
        seconds: its share of the time that its batch of images took.
        cause: what a wrong answer is due to: "missed" (an object that is meant was not found), "choice" (another set
            of objects), "mask" (the right set); "" for a network that knows no objects.
        perfect: intersection and union if every object that is meant and was found had been chosen; None as above.
    """

    image_id: str
    expression: str
    type: str
    kind: str
    part: str
    size: str
    intersection: int
    union: int
    has_target: bool
    predicted_empty: bool
    exists: float
    seconds: float
    cause: str = ""
    perfect: tuple[int, int] | None = None


@dataclass(frozen=True)
class FoundInImage:
    """How well the objects of one image were found, before any expression was read.

    Attributes:
        objects: number of true objects.
        found: number of found ones.
        ious: IoU of each true object with the found one that matches it, 0 for a missed one.
        missed: number of true objects that no found one matches.
    """

    image_id: str
    objects: int
    found: int
    ious: tuple[float, ...]
    missed: int


@dataclass
class Answers:
    """Everything that a pass yields; `finder` has an entry per image if the network knows objects."""

    rows: list[Row]
    finder: list[FoundInImage]


@dataclass
class Asked:
    """A few images with all their expressions, and what the network says; M expressions in all.

    Attributes:
        samples: the images.
        geometries: how each was resized for the network.
        features: what `encode_image` gives.
        output: for the expressions in order, image after image.
        image_of_expression: (M,) int64.
        seconds: that the network took.
    """

    samples: list[Sample]
    geometries: list[Geometry]
    features: Any
    output: Output
    image_of_expression: Tensor
    seconds: float

    def expressions_of(self, image: int) -> slice:
        """Where the expressions of an image stand among the M."""
        start = sum(len(sample.expressions) for sample in self.samples[:image])
        return slice(start, start + len(self.samples[image].expressions))


def ask(
    checkpoint: Checkpoint, samples: Iterable[Sample], without_words: bool = False, crf: DenseCRF | None = None
) -> Iterator[Asked]:
    """The network's output for all samples that have expressions, a few images of one size at a time.

    Args:
        checkpoint: the network with its tokenizer and preprocessing.
        samples: images with expressions.
        without_words: every expression is replaced by a single word that the network does not know.
        crf: what draws masks to the edges of the image after the network, if anything does.
    """
    for together in _same_size(checkpoint, samples):
        batch = [sample for sample, _, _ in together]
        expressions = [expression.text for sample in batch for expression in sample.expressions]
        device = next(checkpoint.network.parameters()).device
        begin = time.perf_counter()
        if without_words:
            tokens = torch.full((len(expressions), 1), UNKNOWN)
            word_mask = torch.ones_like(tokens, dtype=torch.bool)
        else:
            tokens, word_mask = checkpoint.tokenizer(expressions)
        image_of_expression = torch.arange(len(batch)).repeat_interleave(
            torch.tensor([len(sample.expressions) for sample in batch])
        )
        with answering(checkpoint.network) as network:
            images = torch.stack([pixels for _, pixels, _ in together]).to(device)
            features, word_mask = network.encode_image(images), word_mask.to(device)
            words = network.encode_words(tokens.to(device), word_mask)
            of_image = image_of_expression.to(device)
            output = fuse_in_parts(network, features, words, word_mask, of_image, images.shape[-2:])
        if crf is not None:
            looks = [checkpoint.preprocessing.colours(pixels) for _, pixels, _ in together]
            output.logits = crf.refine(output.logits, [looks[image] for image in image_of_expression.tolist()])
        seconds = time.perf_counter() - begin
        yield Asked(batch, [geometry for _, _, geometry in together], features, output, image_of_expression, seconds)


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
    protocol: Standard,
    on_images: Callable[[int], None] = lambda images: None,
    crf: DenseCRF | None = None,
) -> Answers:
    """Answers all expressions; `on_images` hears after each batch how many images it had.

    Where both the network and the sample know objects at the image's own size, pixels are counted per pair of objects;
    otherwise logits become masks as the protocol says. The counts are the same. With a `crf`, objects' masks are no
    longer the answers'.
    """
    answers = Answers([], [])
    for asked in ask(checkpoint, samples, crf=crf):
        if crf is None and _knows_objects(checkpoint, asked):
            answer_by_objects(checkpoint, asked, answers)
        else:
            answer_by_masks(checkpoint, asked, protocol, answers)
        on_images(len(asked.samples))
    return answers


def answer_by_masks(checkpoint: Checkpoint, asked: Asked, protocol: Standard, answers: Answers) -> None:
    """Appends the rows of these images, through masks at each image's own size; for every network and sample."""
    exists = probabilities(checkpoint, asked.output)
    for image, (sample, geometry) in enumerate(zip(asked.samples, asked.geometries, strict=True)):
        where = asked.expressions_of(image)
        predicted = protocol.predict(restore(asked.output.logits[where].float(), geometry).cpu())
        truths = np.stack([sample.mask(i) for i in range(len(sample.expressions))])
        counts = protocol.count(predicted, torch.from_numpy(truths))
        answers.rows += _rows(sample, counts, exists[where], asked.seconds / len(exists))


def answer_by_objects(checkpoint: Checkpoint, asked: Asked, answers: Answers) -> None:
    """Appends the rows of these images, through pixels per pair of found and true objects."""
    network = checkpoint.network
    assert isinstance(network, Selector)
    exists = probabilities(checkpoint, asked.output)
    scenes = [sample for sample in asked.samples if isinstance(sample, Scene)]
    id_maps = network.id_map(asked.features).cpu().numpy()
    chosen = network.chosen(asked.output).cpu().numpy()
    selectable = asked.features.selectable.cpu().numpy()
    matched = network.match(asked.features, true_objects(scenes, asked.features.centres.device)).cpu().numpy()
    for image, scene in enumerate(scenes):
        where, count = asked.expressions_of(image), len(scene.centres)
        table = overlap(id_maps[image], scene.id_map, chosen.shape[1], count)
        meant = meant_objects(scene)
        right = np.zeros((len(meant), chosen.shape[1]), bool)  # the found objects that should be chosen
        for slot, thing in enumerate(matched[image]):
            if thing >= 0:
                right[:, slot] = meant[:, thing]
        is_missed = ~np.isin(np.arange(count), matched[image])
        missed = (meant & is_missed).any(1)
        causes = np.where(missed, "missed", np.where((right == chosen[where]).all(1), "mask", "choice"))
        best = count_sets(table, right, meant)
        perfect = zip(best.intersection.tolist(), best.union.tolist(), strict=True)
        counts = count_sets(table, chosen[where], meant)
        answers.rows += _rows(scene, counts, exists[where], asked.seconds / len(exists), causes.tolist(), list(perfect))
        answers.finder.append(
            FoundInImage(
                image_id=scene.image_id,
                objects=count,
                found=int(selectable[image].sum()),
                ious=_instance_ious(table, matched[image]),
                missed=int(is_missed.sum()),
            )
        )


def counts_of(rows: Sequence[Row]) -> Counts:
    """The counts of all rows."""
    return Counts(
        torch.tensor([row.intersection for row in rows], dtype=torch.int64),
        torch.tensor([row.union for row in rows], dtype=torch.int64),
        torch.tensor([row.has_target for row in rows], dtype=torch.bool),
        torch.tensor([not row.predicted_empty for row in rows], dtype=torch.bool),
    )


def probabilities(checkpoint: Checkpoint, output: Output) -> list[float]:
    """The calibrated probability of existence of each expression."""
    return (output.exists.double() / checkpoint.calibration.temperature).sigmoid().tolist()


def meant_objects(scene: Scene) -> NDArray[np.bool_]:
    """Which of the n objects each of a scene's expressions refers to, (M, n)."""
    meant = np.zeros((len(scene.expressions), len(scene.centres)), bool)
    for row, expression in zip(meant, scene.expressions, strict=True):
        row[[number - 1 for number in expression.targets]] = True
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


def _same_size(checkpoint: Checkpoint, samples: Iterable[Sample]) -> Iterator[list[tuple[Sample, Tensor, Geometry]]]:
    """Samples in order, in groups that the network can take as one batch."""
    together: list[tuple[Sample, Tensor, Geometry]] = []
    for sample in samples:
        if not sample.expressions:
            continue
        pixels, geometry = checkpoint.preprocessing(sample.image)
        if together and (len(together) == IMAGES_AT_ONCE or together[0][1].shape != pixels.shape):
            yield together
            together = []
        together.append((sample, pixels, geometry))
    if together:
        yield together


def _knows_objects(checkpoint: Checkpoint, asked: Asked) -> bool:
    own_size = all(geometry.own_hw == geometry.padded_hw for geometry in asked.geometries)
    scenes = all(isinstance(sample, Scene) for sample in asked.samples)
    return own_size and scenes and isinstance(checkpoint.network, Selector)


def _instance_ious(table: NDArray[np.int64], matched: NDArray[np.integer]) -> tuple[float, ...]:
    ious = np.zeros(table.shape[1] - 1)
    for slot, thing in enumerate(matched):
        if thing >= 0:
            both = table[slot + 1, thing + 1]
            ious[thing] = both / (table[slot + 1].sum() + table[:, thing + 1].sum() - both)
    return tuple(ious.tolist())


def _rows(
    sample: Sample,
    counts: Counts,
    exists: list[float],
    seconds: float,
    causes: list[str] | None = None,
    perfect: list[tuple[int, int]] | None = None,
) -> Iterator[Row]:
    for i, expression in enumerate(sample.expressions):
        yield Row(
            image_id=sample.image_id,
            expression=expression.text,
            type=expression.type,
            kind=expression.kind,
            part=getattr(sample, "part", ""),
            size=_size(sample, expression.targets),
            intersection=int(counts.intersection[i]),
            union=int(counts.union[i]),
            has_target=bool(counts.has_target[i]),
            predicted_empty=not counts.has_prediction[i],
            exists=exists[i],
            seconds=seconds,
            cause=causes[i] if causes else "",
            perfect=perfect[i] if perfect else None,
        )


def _size(sample: Sample, targets: tuple[int, ...]) -> str:
    if not isinstance(sample, Scene) or not targets:
        return ""
    sizes = {SIZES[sample.attributes[number - 1, SIZE]] for number in targets}
    return sizes.pop() if len(sizes) == 1 else "mixed"
