import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from refseg import networks
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import save_checkpoint
from refseg.cli import app
from refseg.errors import RefsegError
from refseg.preprocessing.transform import Preprocessing
from refseg.text.vocabulary import Vocabulary

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
    assert outcome.output.startswith(f"{golden.of(0)[0]}\n  1 object, exists ")
    assert Image.open(out).size[0] > 600
    arrays = np.load(npz)
    assert arrays["mask"].shape == golden.images[0].shape[:2]
    assert {"image", "pieces", "centres"} <= set(arrays)
    outcome = runner.invoke(app, [*arguments, "--out", str(out), "--npz", str(npz)], catch_exceptions=False)
    assert {f"{file} (replaced, of an earlier run)" for file in (out, npz)} < set(outcome.output.splitlines())


@pytest.mark.parametrize("option, name", [("--out", "mine.png"), ("--npz", "mine.npz")])
def test_files_of_others_are_refused_before_the_network_runs(scene, tmp_path, monkeypatch, option, name):
    monkeypatch.setattr("refseg.inference.segmenter.load", lambda *_: pytest.fail("loaded"))
    Image.new("RGB", (8, 8)).save(tmp_path / "mine.png")
    np.savez(tmp_path / "mine.npz", image=np.zeros(1))
    before = (tmp_path / name).read_bytes()
    with pytest.raises(RefsegError, match=f"{name} is there already and is something else"):
        runner.invoke(app, ["explain", str(scene), "a", option, str(tmp_path / name)], catch_exceptions=False)
    assert (tmp_path / name).read_bytes() == before


def test_without_matplotlib_the_answer_and_its_arrays_are_left(scene, golden, checkpoint_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    arguments = ["explain", str(scene), golden.of(0)[0], "--weights", str(checkpoint_folder)]
    written = ["--out", str(tmp_path / "why.png"), "--npz", str(tmp_path / "why.npz")]
    outcome = runner.invoke(app, [*arguments, *written])
    assert outcome.output.startswith(f"{golden.of(0)[0]}\n  1 object, exists ") and (tmp_path / "why.npz").exists()
    assert isinstance(outcome.exception, RefsegError) and "pip install 'refseg[plot]'" in str(outcome.exception)


@pytest.mark.parametrize("preset", ["eavl_small", "cris_small_aligner", "vlt_small_aligner"])
def test_queries_are_shown_with_their_masks_words_and_shares(preset, scene, tmp_path):
    name = networks.PRESETS[preset]
    network = networks.build(name, networks.preset(preset), 4).eval()
    checkpoint = Checkpoint(name, network, Vocabulary(["the", "star"]), Preprocessing(), Calibration())
    save_checkpoint(checkpoint, tmp_path / "weights")
    arguments = ["explain", str(scene), "the star", "--weights", str(tmp_path / "weights")]
    written = ["--out", str(tmp_path / "why.png"), "--npz", str(tmp_path / "why.npz")]
    outcome = runner.invoke(app, [*arguments, *written], catch_exceptions=False)
    assert outcome.exit_code == 0 and Image.open(tmp_path / "why.png").size[0] > 600
    arrays = np.load(tmp_path / "why.npz")
    shares = arrays["shares of queries"]
    assert (shares > 0).all() and (np.diff(shares) <= 0).all() and shares.sum() <= 1.001
    assert arrays["mask of the first query"].ndim == 2 and np.ptp(arrays["mask of the first query"]) > 0
    words = arrays["words of the first query"]
    assert words.shape == arrays["pieces"].shape and 0 < words.sum() <= 1.001


def test_a_frame_of_a_video_is_explained(golden, checkpoint_folder, tmp_path):
    first, *others = (Image.fromarray(image) for image in golden.images[:3])
    first.save(tmp_path / "clip.gif", save_all=True, append_images=others)
    out, npz = tmp_path / "why.png", tmp_path / "why.npz"
    arguments = ["explain", str(tmp_path / "clip.gif"), golden.of(0)[0], "--weights", str(checkpoint_folder)]
    written = ["--out", str(out), "--npz", str(npz), "--frame", "2"]
    outcome = runner.invoke(app, [*arguments, *written], catch_exceptions=False)
    assert outcome.exit_code == 0 and Image.open(out).size[0] > 600
    assert np.load(npz)["frames"].shape == (1, 128, 128, 3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["missing.png", "the star"], "missing.png"),
        (["SCENE", ""], "is empty"),
        (["SCENE", "the star", "--out", "answer.jpg"], "does not end in .png"),
        (["SCENE", "the star", "--npz", "answer.txt"], "does not end in .npz"),
        (["SCENE", "the star", "--frame", "2"], "is no video"),
    ],
)
def test_bad_input_is_one_error_and_nothing_is_written(scene, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    arguments = [str(scene) if argument == "SCENE" else argument for argument in arguments]
    outcome = runner.invoke(app, ["explain", *arguments])
    assert isinstance(outcome.exception, RefsegError) and message in str(outcome.exception)
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_that_is_too_long_is_told_before_the_network_runs(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("refseg.inference.segmenter.load", lambda *_: pytest.fail("loaded"))
    with pytest.raises(RefsegError, match="File name too long"):
        arguments = ["explain", str(scene), "the star", "--out", str(tmp_path / ("x" * 252 + ".png"))]
        runner.invoke(app, arguments, catch_exceptions=False)
