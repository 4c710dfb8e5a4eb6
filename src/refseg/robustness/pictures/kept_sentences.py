"""Sentences whose referents are certainly the same in the changed picture.

On drawn scenes the program of each sentence is evaluated on the objects in their new places, without those that are
hidden. On other data, sentences are left out by their words: those of places, orders and comparisons, where the change
may move or hide what they compare.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refseg.datasets.drawn_scenes.balanced_sentences import object_ids
from refseg.datasets.drawn_scenes.dataset import Scene
from refseg.datasets.drawn_scenes.programs import MARGIN, World
from refseg.readers.parse import read
from refseg.readers.program import Query
from refseg.robustness.pictures.change import Change
from refseg.samples import Sample

VISIBLE = 0.5
"""Least share of an object's pixels that must still be seen."""
SIDED_RELATIONS = frozenset({"left", "right", "above", "below", "front", "behind"})
SIDED_QUALITIES = frozenset({"left", "right", "top", "bottom", "front", "back", "tall", "short"})
_CLOCK = re.compile(r"o\W*\s?clock", re.IGNORECASE)


def kept_sentences(sample: Sample, change: Change) -> tuple[int, ...]:
    """Returns the indices of the expressions of a sample that mean the same in its changed picture."""
    indices = range(len(sample.expressions))
    if not change.moves:
        return tuple(indices)
    if change.mirrors:
        return tuple(i for i in indices if not _CLOCK.search(sample.expressions[i].text))
    if change.hides:
        indices_seen = [i for i in indices if _are_seen(sample, i, change)]
    else:
        indices_seen = list(indices)
    if isinstance(sample, Scene):
        return tuple(_same_in_scene(sample, indices_seen, change))
    if change.keeps_places and not change.hides:
        return tuple(indices_seen)
    return tuple(i for i in indices_seen if _is_safe(read(sample.expressions[i].text), change))


def _are_seen(sample: Sample, index: int, change: Change) -> bool:
    """Whether enough of each referent is still seen."""
    return all(_is_seen(mask, change) for mask in sample.referents(index))


def _is_seen(mask: NDArray[np.bool_], change: Change) -> bool:
    return bool(np.count_nonzero(change.warp(mask)) >= VISIBLE * np.count_nonzero(mask))


def _same_in_scene(scene: Scene, indices: list[int], change: Change) -> Iterator[int]:
    """Yields the expressions whose programs find the same objects in the changed scene."""
    things = []
    for thing in scene.layout.objects:
        x, y = change.move(thing.x + 0.5, thing.y + 0.5)
        things.append(replace(thing, x=x - 0.5, y=y - 0.5))
    id_map = np.zeros(change.warp(scene.id_map == 0).shape, np.uint8)
    seen = 0
    for k in range(len(things)):
        mask = scene.id_map == k + 1
        id_map[change.warp(mask)] = k + 1
        if not change.hides or _is_seen(mask, change):
            seen |= 1 << k
    layout = replace(scene.layout, side=len(id_map), objects=tuple(things), id_map=id_map)
    world = World(layout)
    world.margin = MARGIN * scene.layout.unit
    world.all &= seen
    world.having = [[having & seen for having in of_value] for of_value in world.having]
    for i in indices:
        found = scene.programs[i].evaluate(world)
        if found is not None and object_ids(found) == scene.expressions[i].targets:
            yield i


def _is_safe(query: Query, change: Change) -> bool:
    """Whether no word of a sentence compares what the change may move or hide."""
    if change.hides:
        return not any(
            one.orders or one.superlatives or one.number is not None or one.relations or _has_place(one, change)
            for one in query.walk()
        )
    return not any(
        one.orders
        or _has_place(one, change)
        or any(superlative.quality in SIDED_QUALITIES for superlative in one.superlatives)
        or any(relation.kind in SIDED_RELATIONS for relation in one.relations)
        for one in query.walk()
    )


def _has_place(query: Query, change: Change) -> bool:
    return bool(query.places) and not change.keeps_places
