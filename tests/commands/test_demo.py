import shlex
import sys

import numpy as np
import pytest
from PIL import Image

from refseg.checkpoints import bundled
from refseg.cli import main
from refseg.commands.demo import choose_clip, choose_scene
from refseg.datasets.drawn_clips.dataset import KINDS
from refseg.inference.segmenter import load
from refseg.video.reading import read_frames


@pytest.fixture
def demo(monkeypatch, checkpoint_folder, tmp_path, capsys):
    """Runs `refseg demo`; gives the picture's file and what was said."""

    def run():
        out, weights = tmp_path / "pictures" / "demo.png", str(checkpoint_folder)
        arguments = ["refseg", "demo", "--weights", weights, "--video-weights", weights, "--out", str(out)]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as caught:
            main()
        assert not caught.value.code
        return out, capsys.readouterr().out.splitlines()

    return run


def test_the_demo_draws_one_picture_of_four_panels_and_a_video_of_two(demo):
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'refseg[video]'")
    out, said = demo()
    width, height = Image.open(out).size
    assert width > 4 * 300 and height > 300
    files = [out.with_name(name) for name in ("demo.png", "demo_scene.png", "demo.mp4", "demo_clip.mp4")]
    assert [line for line in said if line.startswith(str(out.parent))] == [str(file) for file in files]
    _, said = demo()
    again = [f"{file} (replaced, of an earlier run)" for file in files]
    assert [line for line in said if line.startswith(str(out.parent))] == again
    clip, asked = choose_clip(0, acts=False)
    frames = list(read_frames(out.with_suffix(".mp4")))
    assert len(frames) == len(clip) and frames[0].pixels.shape[1] > 2 * 3 * 128
    assert float(frames[-1].time) >= 3
    alone = list(read_frames(files[3]))
    assert len(alone) == len(clip) and np.abs(alone[0].pixels.astype(int) - clip.frame(0)).mean() < 8
    words = shlex.split(said[-1].removeprefix("ask more: "))
    assert words == ["refseg", "segment", str(files[3]), asked]
    assert asked in said[-5] and "found in 25 of 25 frames" in said[-4]


@pytest.mark.parametrize("ending", [".png", ".mp4"])
def test_the_demo_replaces_nothing_of_others(ending, tmp_path, monkeypatch, capsys):
    if ending == ".mp4":
        pytest.importorskip("av", reason="PyAV is not installed: pip install 'refseg[video]'")
    (tmp_path / f"holiday{ending}").write_bytes(b"mine")
    monkeypatch.setattr("refseg.inference.segmenter.load", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(sys, "argv", ["refseg", "demo", "--out", str(tmp_path / "holiday.png")])
    with pytest.raises(SystemExit):
        main()
    assert f"holiday{ending} is there already and is something else" in capsys.readouterr().err
    assert (tmp_path / f"holiday{ending}").read_bytes() == b"mine"


def test_the_clip_of_the_demo_is_the_first_and_right_in_every_frame():
    clip, asked = choose_clip(0, acts=True)
    assert clip.clip_id == "test-0"
    index = [expression.text for expression in clip.expressions].index(asked)
    results = load(bundled.FOR_VIDEOS).video(clip, asked)
    assert all(mask_iou(result.mask, clip.mask(index, result.index)) >= 0.8 for result in results)


def mask_iou(mask, true) -> float:
    return (mask & true).sum() / (mask | true).sum()


def test_without_pyav_there_are_the_picture_its_scene_and_a_command_that_asks_about_it(demo, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    out, said = demo()
    assert sorted(path.name for path in out.parent.iterdir()) == ["demo.png", "demo_scene.png"]
    assert "pip install 'refseg[video]'" in said[-1]
    scene, expressions = choose_scene(first=0)
    assert np.array_equal(np.asarray(Image.open(out.with_stem("demo_scene"))), scene.image)
    words = shlex.split(said[-2].removeprefix("ask more: "))
    assert words == ["refseg", "segment", str(out.with_stem("demo_scene")), expressions[1]]


def test_the_device_of_the_demo_is_checked_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("refseg.inference.segmenter.load", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(sys, "argv", ["refseg", "demo", "--device", "none", "--out", str(tmp_path / "demo.png")])
    with pytest.raises(SystemExit):
        main()
    assert "none" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_the_clip_has_an_expression_that_these_weights_can_understand():
    clip, looks = choose_clip(3, acts=False)
    assert looks.startswith("the ") and len(looks.split()) == 3
    clip, acts = choose_clip(3, acts=True)
    (asked,) = [expression for expression in clip.expressions if expression.text == acts]
    assert asked.kind in KINDS and asked.kind != "stays still" and len(asked.targets) == 1


def test_the_scene_has_one_object_several_and_none_to_ask_for():
    scene, expressions = choose_scene(first=1990)
    targets = {expression.text: len(expression.targets) for expression in scene.expressions}
    one, many, none = (targets[text] for text in expressions)
    assert one == 1 and many > 1 and none == 0
