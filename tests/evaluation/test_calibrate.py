import numpy as np
import pytest
import torch
from PIL import Image

from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.answers import answer
from refseg.evaluation.calibrate import calibrate, familiarity_report, is_half, photographs, unfamiliar_share
from refseg.evaluation.rows import rows_of


@pytest.fixture(scope="module")
def scenes():
    return list(DrawnScenes("val", count=48))


@pytest.fixture(scope="module")
def calibrated(checkpoint_folder, scenes):
    return calibrate(load_checkpoint(checkpoint_folder), scenes, "48 scenes")


@pytest.fixture(scope="module")
def report(calibrated, tmp_path_factory):
    """The shares of unfamiliar images, a white photograph among them."""
    folder = tmp_path_factory.mktemp("photographs")
    Image.new("RGB", (50, 40), "white").save(folder / "white.png")
    return familiarity_report(calibrated, folder)


def giou(checkpoint, scenes):
    return np.mean([row.scores["standard"].iou for row in rows_of(answer(checkpoint, scenes))])


def test_the_threshold_fitted_is_no_worse_on_what_it_was_fitted_on(calibrated, checkpoint_folder, scenes):
    fitted = giou(calibrated, scenes)
    as_trained = load_checkpoint(checkpoint_folder)
    assert fitted >= giou(as_trained, scenes)
    for logit in (-3.0, -1.0, 1.0, 3.0):
        as_trained.network.exists_threshold_logit = logit
        assert fitted >= giou(as_trained, scenes) - 1e-9


def test_weights_that_give_no_numbers_are_neither_calibrated_nor_scored(checkpoint_folder, scenes):
    checkpoint = load_checkpoint(checkpoint_folder)
    with torch.no_grad():
        next(checkpoint.network.chooser.parameters()).fill_(float("nan"))
    with pytest.raises(InvalidInput, match="give values that are not finite"):
        calibrate(checkpoint, scenes, "48 scenes")
    with pytest.raises(InvalidInput, match="give values that are not finite"):
        giou(checkpoint, scenes[:1])


def test_what_was_fitted_on_is_on_record(calibrated):
    assert calibrated.calibration.fitted_on == calibrated.familiarity.fitted_on == "48 scenes"


def test_a_calibrated_checkpoint_survives_the_disk(calibrated, scenes, tmp_path):
    save_checkpoint(calibrated, tmp_path / "weights", half=True)
    loaded = load_checkpoint(tmp_path / "weights")
    assert loaded.calibration == calibrated.calibration
    images = [scene.image for scene in scenes[:8]]
    assert unfamiliar_share(loaded, images) == unfamiliar_share(calibrated, images)
    assert is_half(tmp_path / "weights")


def test_noise_is_unfamiliar_and_scenes_are_not(calibrated, report):
    assert min(report.values()) == 1
    assert unfamiliar_share(calibrated, (scene.image for scene in DrawnScenes("test", count=20))) < 0.5


def test_photographs_are_reported_beside_noise(report):
    assert report["photographs"] == 1


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(MissingFile, match="no images"):
        photographs(tmp_path / "nowhere")


def test_samples_that_always_refer_to_something_cannot_calibrate(checkpoint_folder):
    scenes = list(DrawnScenes("val", count=8))
    for scene in scenes:
        scene.expressions = tuple(expression for expression in scene.expressions if expression.targets)
    with pytest.raises(InvalidInput, match="with and without a target"):
        calibrate(load_checkpoint(checkpoint_folder), scenes, "")
