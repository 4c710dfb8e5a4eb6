"""Pixels of sets of objects, counted from one small table an image and without building a mask.

C[q, k] is the number of pixels that have id q in one id map and id k in the other. If an answer is a set of the one's
objects and the truth a set of the other's, then intersection and union are sums over C: exact, at any number of
expressions.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.batch import Objects
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.datasets.drawn_scenes.dataset import Scene
from refseg.evaluation.error_types import is_at_edge, kind_of_error
from refseg.evaluation.rows import FoundInImage, ImageAnswers, scores_of
from refseg.evaluation.scoring import STANDARD, row
from refseg.inference.predict import Prediction, SampleQuery, exists_probability, is_unfamiliar
from refseg.metrics import Counts
from refseg.networks.network import Output


def overlap(predicted: NDArray[np.integer], true: NDArray[np.integer], found: int, objects: int) -> NDArray[np.int64]:
    """The table C (found + 1, objects + 1) of two id maps (H, W), in which 0 is the background."""
    pairs = predicted.astype(np.int64).ravel() * (objects + 1) + true.ravel()
    return np.bincount(pairs, minlength=(found + 1) * (objects + 1)).reshape(found + 1, objects + 1)


def count_sets(table: NDArray[np.int64], chosen: NDArray[np.bool_], meant: NDArray[np.bool_]) -> Counts:
    """Counts of M answers that are sets of objects.

    Args:
        table: (Q + 1, n + 1) from `overlap`.
        chosen: (M, Q), which predicted objects each answer unites.
        meant: (M, n), which true objects each expression refers to; none in a row = no target.
    """
    answers, truths = chosen.astype(np.int64), meant.astype(np.int64)
    intersection = ((answers @ table[1:, 1:]) * truths).sum(1)
    predicted = answers @ table[1:].sum(1)
    true = truths @ table[:, 1:].sum(0)
    union = predicted + true - intersection
    return Counts(*map(torch.from_numpy, (intersection, union, meant.any(1), predicted > 0)))


class ObjectNetwork(Protocol):
    """A network that knows objects, as far as they are counted here."""

    def id_map(self, found: Any) -> Tensor:
        """Returns the objects as disjoint regions (B, H, W): 0 = no object, q + 1 = object q."""

    def chosen(self, output: Output) -> Tensor:
        """Returns which objects (M, Q) the expressions mean."""

    def match(self, found: Any, objects: Objects) -> Tensor:
        """Returns the true object of each of the objects found (B, Q), -1 where there is none."""


def answer_by_objects(checkpoint: Checkpoint, prediction: Prediction[SampleQuery]) -> Iterator[ImageAnswers]:
    """Yields the rows of these images, through pixels per pair of found and true objects; under `standard`."""
    network, features = cast(ObjectNetwork, checkpoint.network), prediction.features
    exists = exists_probability(checkpoint, prediction.output.exists.double()).tolist()
    scenes = [query.sample for query in prediction.queries if isinstance(query.sample, Scene)]
    id_maps = network.id_map(features).cpu().numpy()
    chosen = network.chosen(prediction.output).cpu().numpy()
    selectable = features.selectable.cpu().numpy()
    matched = network.match(features, true_objects(scenes, features.centres.device)).cpu().numpy()
    for image, scene in enumerate(scenes):
        where, objects = prediction.expressions_of(image), len(scene.centres)
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
            seconds, cause = prediction.seconds / len(exists), str(causes[i])
            each = {STANDARD.name: score}
            rows.append(row(scene, i, true, exists[where][i], seconds, error, each, cause, perfect))
        yield ImageAnswers(
            index=prediction.queries[image].number,
            rows=rows,
            unfamiliar=is_unfamiliar(checkpoint, features, image, prediction.queries[image].image.geometry),
            found=FoundInImage(
                objects=objects,
                found=int(selectable[image].sum()),
                ious=_instance_ious(table, matched[image]),
                missed=int(is_missed.sum()),
            ),
        )


def meant_objects(scene: Scene) -> NDArray[np.bool_]:
    """Returns the referents of a scene's M expressions among its n objects, (M, n) bool."""
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


def _at_edge(id_map: NDArray[np.integer], chosen: NDArray[np.bool_], scene: Scene, i: int) -> bool:
    return is_at_edge(np.isin(id_map, np.flatnonzero(chosen) + 1), scene.mask(i))


def _instance_ious(table: NDArray[np.int64], matched: NDArray[np.integer]) -> tuple[float, ...]:
    ious = np.zeros(table.shape[1] - 1)
    for slot, thing in enumerate(matched):
        if thing >= 0:
            both = table[slot + 1, thing + 1]
            ious[thing] = both / (table[slot + 1].sum() + table[:, thing + 1].sum() - both)
    return tuple(ious.tolist())
