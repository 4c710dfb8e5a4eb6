"""Selector's finder with the reader in place of its chooser."""

import numpy as np
import pytest

import refseg
from refseg.datasets.drawn_scenes.objects import ATTRIBUTES, VALUES
from refseg.errors import InvalidInput
from refseg.finders import load_finder


@pytest.fixture(scope="module")
def scene():
    return refseg.load_dataset("drawn_scenes", split="test", count=1)[0]


def test_it_finds_the_shapes_of_a_scene_with_masks_and_attributes(scene):
    found = {detection.box_xyxy: detection for detection in reversed(load_finder("selector").find(scene.image))}
    assert len(found) == len(scene.layout.objects)
    for k, thing in enumerate(scene.layout.objects):
        true = scene.id_map == k + 1
        best = max(found.values(), key=lambda one: (one.mask & true).sum() / (one.mask | true).sum())
        assert (best.mask & true).sum() / (best.mask | true).sum() > 0.7
        named = {"shape": best.class_name}
        for name, values in list(zip(ATTRIBUTES, VALUES, strict=True))[1:]:
            named[name] = max(values, key=best.words.__getitem__)
        assert list(named.values()) == [values[i] for values, i in zip(VALUES, thing.attributes, strict=True)]
        assert np.hypot(best.centre_xy[0] - thing.x - 0.5, best.centre_xy[1] - thing.y - 0.5) < 3


def test_a_reader_with_it_reads_drawn_scenes(scene):
    results = refseg.load("reader", finder="selector")(scene.image, [one.text for one in scene.expressions])
    right = 0
    for expression, result in zip(scene.expressions, results, strict=True):
        true = np.isin(scene.id_map, expression.targets)
        union = (true | result.mask).sum()
        right += bool((true & result.mask).sum() > 0.5 * union if union else True)
    assert right >= 0.9 * len(results) and len(results) > 15


def test_what_it_cannot_do_is_told():
    with pytest.raises(InvalidInput, match="has no masker"):
        load_finder("selector", masker="box")
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        load_finder("selector", threshold=2)
