"""The weights that ship are those that docs/results.md speaks of: they answer fixed scenes as well as it says."""

from pathlib import Path

import pytest

from refseg.checkpoints import bundled
from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import VERSION, DrawnScenes
from refseg.errors import MissingFile
from refseg.evaluation.calibrate import unfamiliar_share
from refseg.evaluation.evaluate import evaluate_samples
from refseg.recipes import find_recipe

RELEASES = Path(__file__).parents[2] / "releases"
FORMER = RELEASES / "selector-1"


@pytest.fixture(scope="module")
def report():
    scenes = list(DrawnScenes("test", 100))
    return evaluate_samples(load_checkpoint("selector"), scenes, about={"dataset": "drawn_scenes", "split": "test"})


def test_they_score_on_a_hundred_test_scenes_what_they_should(report):
    assert report.metrics["standard"]["oIoU"] > 0.90
    assert report.metrics["standard"]["N-acc"] > 0.96 and report.metrics["standard"]["T-acc"] > 0.97


def test_no_type_of_expression_is_left_behind(report):
    types = report.by["standard"]["type"]
    assert all(scores["mIoU"] > 0.85 for scores in types.values()), types


def test_they_are_small_and_say_what_made_them():
    assert (bundled.FOLDER / "selector" / "model.safetensors").stat().st_size < 10e6
    checkpoint = load_checkpoint("selector")
    assert checkpoint.trained_on["version"] == VERSION
    assert "drawn scenes only" in checkpoint.knows and "Supervision" in checkpoint.card


def test_the_recipe_beside_them_is_the_one_that_the_package_would_train():
    assert find_recipe(str(bundled.FOLDER / "selector" / "recipe.yaml")) == find_recipe("selector")


def test_fewer_than_one_in_a_hundred_test_scenes_is_called_unfamiliar():
    scenes = DrawnScenes("test", 150)
    assert unfamiliar_share(load_checkpoint("selector"), (scene.image for scene in scenes)) < 0.01


def test_the_former_weights_still_answer_as_they_did():
    report = evaluate_samples(load_checkpoint(FORMER), list(DrawnScenes("test", 20)), about={"dataset": "drawn_scenes"})
    assert report.metrics["standard"]["oIoU"] > 0.93
    assert find_recipe(str(FORMER / "recipe.yaml")) == find_recipe("selector_1")


def test_former_weights_by_their_name_alone_are_told_where_they_are():
    assert sorted(bundled.FORMER) == sorted(folder.name for folder in RELEASES.iterdir() if folder.is_dir())
    for name in bundled.FORMER:
        with pytest.raises(MissingFile, match=f"lie in releases/{name} of refseg's repository"):
            load_checkpoint(name)
