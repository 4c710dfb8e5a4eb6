"""Shortcuts: answers that need no understanding. A benchmark on which one of them does well measures something else.

Three know the true objects and ignore the sentence (all of them, one at random, the largest). Two ask the checkpoint
itself, every sentence replaced by one word that it does not know: as it answers then, and made to choose an object.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.datasets.drawn_scenes.dataset import Scene
from refseg.evaluation.answers import answer_by_masks
from refseg.evaluation.object_answers import count_sets, meant_objects, overlap
from refseg.evaluation.rows import counts_of, rows_of
from refseg.inference.predict import predict_samples
from refseg.metrics import Counts
from refseg.protocols.protocol import Protocol
from refseg.samples import Sample

ALL, RANDOM, LARGEST = "all objects", "random object", "largest object"
NO_LANGUAGE, FORCED = "no language", "no language, made to choose"


def score_shortcuts(
    checkpoint: Checkpoint,
    samples: Iterable[Sample],
    protocol: Protocol,
    on_images: Callable[[int], None] = lambda images: None,
) -> dict[str, dict[str, float]]:
    """Computes the metrics of each shortcut that this data set and this network allow, by name.

    Args:
        checkpoint: the network for the shortcuts without language.
        samples: the same that the checkpoint is evaluated on; drawn scenes know their objects.
        protocol: how answers are scored.
        on_images: called after each batch with its number of images.
    """
    counts: dict[str, list[Counts]] = {}
    random = np.random.default_rng(0)
    network: Any = checkpoint.network
    for prediction in predict_samples(checkpoint, enumerate(samples), without_words=True):
        blind = rows_of(answer_by_masks(checkpoint, [prediction], [protocol]))
        counts.setdefault(NO_LANGUAGE, []).append(counts_of(blind, protocol.name))
        for image, query in enumerate(prediction.queries):
            sample = query.sample
            if not isinstance(sample, Scene):
                continue
            for name, answer in score_scene(sample, random).items():
                counts.setdefault(name, []).append(answer)
            if network.knows_objects and sample.id_map.shape == query.image.geometry.padded_hw:
                found = network.id_map(prediction.features)[image].cpu().numpy()
                scores = prediction.output.scores
                assert scores is not None
                best = scores[prediction.expressions_of(image)].argmax(1).cpu().numpy()
                table = overlap(found, sample.id_map, scores.shape[1], len(sample.centres))
                forced = count_sets(table, choose_one(best, scores.shape[1]), meant_objects(sample))
                counts.setdefault(FORCED, []).append(forced)
        on_images(len(prediction.queries))
    columns = {name: zip(*parts, strict=True) for name, parts in counts.items()}
    return {name: protocol.summarize(Counts(*map(np.concatenate, of_parts))) for name, of_parts in columns.items()}


def score_scene(scene: Scene, random: np.random.Generator) -> dict[str, Counts]:
    """Counts of the answers that know the true objects of a scene and ignore its sentences."""
    count, meant = len(scene.centres), meant_objects(scene)
    table = overlap(scene.id_map, scene.id_map, count, count)
    chosen = {
        ALL: np.ones_like(meant),
        RANDOM: choose_one(random.integers(0, count, len(meant)), count),
        LARGEST: choose_one(np.full(len(meant), table.diagonal()[1:].argmax()), count),
    }
    return {name: count_sets(table, answers, meant) for name, answers in chosen.items()}


def choose_one(index: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """Answers (M, count) that choose the object `index` (M,) and no other."""
    return index[:, None] == np.arange(count)
