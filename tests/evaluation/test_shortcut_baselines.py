import numpy as np
import pytest

from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.evaluation.shortcut_baselines import (
    ALL,
    FORCED,
    LARGEST,
    NO_LANGUAGE,
    RANDOM,
    score_scene,
    score_shortcuts,
)
from refseg.protocols.standard import Standard


@pytest.fixture(scope="module")
def scenes():
    return list(DrawnScenes("val", count=12))


@pytest.fixture(scope="module")
def scores(checkpoint_folder, scenes):
    return score_shortcuts(load_checkpoint(checkpoint_folder), scenes, Standard())


def test_every_shortcut_is_scored(scores):
    assert set(scores) == {ALL, RANDOM, LARGEST, NO_LANGUAGE, FORCED}


def test_no_shortcut_comes_near_understanding(scores):
    assert all(metrics["oIoU"] < 0.45 for metrics in scores.values())


@pytest.mark.parametrize("name", [ALL, RANDOM, LARGEST, FORCED])
def test_shortcuts_never_say_that_there_is_nothing(name, scores):
    assert scores[name]["N-acc"] == 0 and scores[name]["T-acc"] > 0.99


def test_all_objects_hold_every_target(scenes):
    counts = score_scene(scenes[0], np.random.default_rng(0))[ALL]
    targets = [scenes[0].mask(i).sum() for i in range(len(scenes[0].expressions))]
    assert counts.intersection.tolist() == targets and set(counts.union.tolist()) == {(scenes[0].id_map > 0).sum()}


def test_the_largest_object_has_the_most_visible_pixels(scenes):
    counts = score_scene(scenes[0], np.random.default_rng(0))[LARGEST]
    no_target = ~counts.has_target.numpy()
    assert set(counts.union[no_target].tolist()) <= {np.bincount(scenes[0].id_map.ravel())[1:].max()}
