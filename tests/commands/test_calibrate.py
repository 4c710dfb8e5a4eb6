import shutil

import pytest

from refseg.checkpoints.io import load_checkpoint
from refseg.commands.calibrate import calibrate
from refseg.errors import InvalidInput, MissingFile


def test_a_folder_is_calibrated_in_place(checkpoint_folder, tmp_path, capsys):
    folder = tmp_path / "weights"
    shutil.copytree(checkpoint_folder, folder)
    calibrate(folder, "drawn_scenes", "val", count=16)
    calibrated = load_checkpoint(folder)
    assert calibrated.calibration.fitted_on == "drawn_scenes, split val, 16 images"
    assert calibrated.familiarity is not None and "blank grey" in capsys.readouterr().out
    assert (folder / "model.safetensors").stat().st_size < 1.1 * (
        (checkpoint_folder / "model.safetensors").stat().st_size
    )
    with pytest.raises(InvalidInput, match="at least 8"):  # what it tells by now is not taken away
        calibrate(folder, "drawn_scenes", "val", count=5)
    assert load_checkpoint(folder).familiarity is not None


def test_a_wrong_folder_of_photographs_is_noticed_first(checkpoint_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("refseg.evaluation.calibrate.calibrate", lambda *_: pytest.fail("it calibrated first"))
    with pytest.raises(MissingFile):
        calibrate(checkpoint_folder, "drawn_scenes", "val", count=16, photographs=tmp_path / "nowhere")
