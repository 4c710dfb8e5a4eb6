import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from refseg.cli import app
from refseg.errors import RefsegError

runner = CliRunner()


@pytest.fixture
def scene(golden, tmp_path):
    Image.fromarray(golden.images[0]).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def test_a_figure_and_arrays_are_written(scene, golden, checkpoint_folder, tmp_path):
    out, npz = tmp_path / "new" / "why.png", tmp_path / "why.npz"
    arguments = ["explain", str(scene), golden.of(0)[0], "--weights", str(checkpoint_folder)]
    outcome = runner.invoke(app, [*arguments, "--out", str(out), "--npz", str(npz)], catch_exceptions=False)
    assert outcome.exit_code == 0 and str(out) in outcome.output
    assert Image.open(out).size[0] > 600
    arrays = np.load(npz)
    assert arrays["mask"].shape == golden.images[0].shape[:2]
    assert {"image", "pieces", "centres"} <= set(arrays)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["missing.png", "the star"], "missing.png"),
        (["SCENE", ""], "is empty"),
        (["SCENE", "the star", "--out", "answer.jpg"], "does not end in .png"),
        (["SCENE", "the star", "--npz", "answer.txt"], "does not end in .npz"),
    ],
)
def test_bad_input_is_one_error_and_nothing_is_written(scene, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    arguments = [str(scene) if argument == "SCENE" else argument for argument in arguments]
    outcome = runner.invoke(app, ["explain", *arguments])
    assert isinstance(outcome.exception, RefsegError) and message in str(outcome.exception)
    assert sorted(tmp_path.iterdir()) == before
