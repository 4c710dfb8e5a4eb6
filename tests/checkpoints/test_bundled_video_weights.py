"""The weights for videos that ship are those that docs/results.md speaks of: they read what objects do."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.checkpoints import bundled
from refseg.checkpoints.io import load_checkpoint
from refseg.cli import main
from refseg.datasets.drawn_clips.dataset import KINDS, VERSION, DrawnClip, DrawnClips
from refseg.datasets.storage.annotated_frames import AnnotatedFrames
from refseg.errors import InvalidInput
from refseg.evaluation.evaluate import evaluate_samples
from refseg.inference.segmenter import load
from refseg.recipes import find_recipe

FORMER = Path(__file__).parents[2] / "releases" / "cmpc_video_small"


@pytest.fixture(scope="module")
def weights():
    return load_checkpoint(bundled.FOR_VIDEOS)


def report(checkpoint, clips):
    about = {"dataset": "drawn_clips", "split": "test"}
    return evaluate_samples(checkpoint, AnnotatedFrames(DrawnClips("test", clips)), about=about)


def test_they_read_every_kind_of_action(weights):
    found = report(weights, 24)
    assert found.metrics["standard"]["oIoU"] > 0.95
    kinds = found.by["standard"]["kind"]
    assert set(kinds) == set(KINDS) and all(scores["mIoU"] > 0.9 for scores in kinds.values()), kinds


def test_they_read_expressions_that_say_no_motion(weights):
    looks = evaluate_samples(
        weights, AnnotatedFrames(DrawnClips("test", 12, looks=4)), about={"dataset": "drawn_clips"}
    )
    assert looks.by["standard"]["kind"]["looks"]["mIoU"] > 0.9


def test_they_look_at_more_than_one_frame(weights, monkeypatch):
    frame = DrawnClip.frame
    monkeypatch.setattr(DrawnClip, "frame", lambda clip, t: frame(clip, len(clip) // 2))
    still = report(weights, 8).metrics["standard"]  # most of what is asked for is not there
    assert still["mIoU"] < 0.4


def test_they_warn_of_videos_that_are_unlike_drawn_clips():
    segmenter = load(bundled.FOR_VIDEOS)
    noise = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3)).astype(np.uint8)
    warned = [result.warnings[0] for result in segmenter.video(list(noise), "the red star that moves left")]
    assert len(warned) == 3 and all(
        one.startswith("a frame of the video is unlike what these weights") for one in warned
    )
    assert "; filmed videos need a finder" in warned[0] or "; for filmed videos take" in warned[0]
    clip = DrawnClips("test", 1)[0]
    frames = [clip.frame(t) for t in range(4)]
    assert not any(result.warnings for result in segmenter.video(frames, clip.expressions[0].text))


def test_they_are_small_and_say_what_made_them(weights):
    folder = bundled.FOLDER / bundled.FOR_VIDEOS
    assert (folder / "model.safetensors").stat().st_size < 10e6
    assert weights.trained_on["version"] == VERSION
    assert "drawn clips only" in weights.knows and "Supervision" in weights.card
    assert find_recipe(str(folder / "recipe.yaml")) == find_recipe("selector_video")


@pytest.mark.parametrize("command", ["segment", "explain"])
@pytest.mark.parametrize(("kind", "asked"), [("image", "selector"), ("video", "selector_video")])
def test_images_and_videos_are_answered_with_their_own_weights(command, kind, asked, monkeypatch, tmp_path, capsys):
    def load(name, *_, **__):
        raise InvalidInput(f"asked for {name}")

    monkeypatch.setattr("refseg.inference.segmenter.load", load)
    monkeypatch.setattr("refseg.inference.exported_segmenter.load_default", lambda *_, **__: None)
    picture = Image.new("RGB", (32, 32))
    path = tmp_path / ("clip.gif" if kind == "video" else "scene.png")
    picture.save(
        path, **({"save_all": True, "append_images": [picture.point(lambda value: 9)]} if kind == "video" else {})
    )
    monkeypatch.setattr(sys, "argv", ["refseg", command, str(path), "the star", "--out", str(tmp_path / "out.png")])
    with pytest.raises(SystemExit):
        main()
    assert f"asked for {asked}" in capsys.readouterr().err


def test_the_former_weights_still_answer_as_they_did():
    found = report(load_checkpoint(FORMER), 8).metrics["standard"]
    assert found["mIoU"] > 0.6
