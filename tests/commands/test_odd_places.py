"""Everyday conditions that no command foresaw: names, folders, environments."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from PIL import Image

from refseg.cli import app, explanation
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import UnwritableOutput
from refseg.files.lock import only_writer

MARKUP = "a[/x] :smile: [bold"
LONG = "x" * 300


@pytest.fixture
def image(tmp_path):
    file = tmp_path / "scene.png"
    Image.fromarray(DrawnScenes("val", 1)[0].image).save(file)
    return file


def refseg(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "refseg", *map(str, words)], capture_output=True, text=True, timeout=300, **options
    )
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return done


def test_names_with_brackets_are_no_markup(run, tmp_path):
    folder = tmp_path / MARKUP
    run("evaluate", "selector", "--count", 1, "--masks", "--out", folder)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for words in (("compare", folder, other), ("score", folder / "masks.jsonl", "drawn_scenes", "--count", 1)):
        assert MARKUP.replace(" ", "") in "".join(run(*words).split())  # it may be wrapped


def test_a_source_with_brackets_in_its_name_is_no_markup(run, tmp_path):
    source = tmp_path / f"{MARKUP}.pth"
    source.parent.mkdir()
    source.write_bytes(b"no weights")
    with pytest.raises(Exception) as caught:
        run("convert", "cris", source, "--out", tmp_path / "out")
    assert explanation(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ("segment", LONG, "the star"),
        ("segment", "IMAGE", "the star", "--out", LONG),
        ("segment", "IMAGE", "the star", "--weights", LONG),
        ("gallery", LONG, "the star", "--weights", "selector", "--out", "x.png"),
        ("gallery", "--data", "drawn_scenes", "--weights", LONG, "--out", "x.png"),
        ("gallery", "--data", "drawn_scenes", "--masks", LONG, "--out", "x.png"),
        ("gallery", "--data", "drawn_scenes", "--weights", "selector", "--out", f"{LONG}.png"),
        ("explain", LONG, "the star", "--out", "x.png"),
        ("export", LONG, "--to", "onnx", "--out", "x"),
        ("export", "selector", "--to", "onnx", "--out", LONG),
        ("bench", LONG),
        ("bench", "selector", "--image", LONG),
        ("evaluate", "selector", "--count", "1", "--out", LONG),
        ("evaluate", LONG, "--count", "1"),
        ("evaluate", "selector", "jsonl", "--root", LONG),
        ("score", LONG, "drawn_scenes", "--count", "1"),
        ("compare", LONG, LONG),
        ("robustness", LONG, "drawn_scenes"),
        ("robustness", "drawn_scenes", "--masks", LONG),
        ("robustness", "selector", "--count", "1", "--out", LONG),
        ("robustness", "drawn_scenes", "--count", "1", "--export", LONG),
        ("calibrate", LONG, "--out", "x"),
        ("calibrate", "selector", "--out", LONG),
        ("train", "selector", "--out", LONG),
        ("train", f"{LONG}.yaml"),
        ("convert", "cris", LONG, "--out", "x"),
        ("convert", "cris", "IMAGE", "--out", LONG),
        ("data", "draw", "--out", LONG),
        ("data", "shard", "refer", "--root", ".", "--out", LONG),
        ("data", "check", "refer", "--root", LONG),
        ("data", "stats", "refer", "--root", LONG),
        ("data", "view", "drawn_scenes", "--out", f"{LONG}.png"),
        ("data", "vocabulary", "--count", "1", "--out", LONG),
        ("data", "import", LONG, "--out", "x.jsonl"),
        ("demo", "--out", f"{LONG}.png"),
        ("weights", "get", "dmmi_swin_base/refzom", "--file", LONG),
        ("recipes", LONG),
        ("study", "cmirnet_table3", "--small", "--out", LONG),
        ("study", "cmirnet_table3", "--small", "--pictures", "2", "--out", LONG),
    ],
    ids=lambda words: " ".join(word[:12] for word in words),
)
def test_a_name_that_is_too_long_is_one_line(run, image, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Exception) as caught:
        run(*(image if word == "IMAGE" else word for word in words))
    assert explanation(caught.value) is not None, repr(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "selector", "--count", "1", "--out"),
        ("score", "MASKS", "drawn_scenes", "--count", "1", "--out"),
        ("data", "draw", "--count", "1", "--out"),
        ("data", "shard", "refer", "--root", "DATA", "--out"),
        ("train", "selector", "--out"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_folder_that_another_run_is_writing_to_is_refused_at_once(run, tmp_path, words):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "0.png").touch()
    with only_writer(tmp_path / "out"), pytest.raises(UnwritableOutput, match="another run") as caught:
        run(
            *(tmp_path / "masks" if word == "MASKS" else tmp_path if word == "DATA" else word for word in words),
            tmp_path / "out",
        )
    assert f"(process {os.getpid()})" in str(caught.value)


def test_weights_that_another_run_is_converting_are_refused_at_once(run, tmp_path):
    np.savez(tmp_path / "cris.npz", weight=np.zeros(1))
    with only_writer(tmp_path / "out", beside=True), pytest.raises(UnwritableOutput, match="another run"):
        run("convert", "cris", tmp_path / "cris.npz", "--out", tmp_path / "out")


def test_a_video_that_another_run_is_answering_is_refused_at_once(run, image, tmp_path):
    scene = Image.open(image)
    scene.save(tmp_path / "clip.gif", save_all=True, append_images=[scene.rotate(90)])
    with only_writer(tmp_path / ".clip.unfinished"), pytest.raises(UnwritableOutput, match="another run"):
        run("segment", tmp_path / "clip.gif", "the star", "--out", tmp_path, "--format", "rle")


NOBODY = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be somebody else")
def test_a_user_without_home_or_name_can_segment_and_is_told_where_a_cache_is_needed(image):
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")}
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        scene = shutil.copy(image, place)

        def as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
            command = [*NOBODY, sys.executable, "-m", "refseg", *words]
            return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=place)

        if (tried := as_nobody("--version")).returncode:
            pytest.skip(f"another user cannot run this Python: {tried.stderr[-200:]}")
        done = as_nobody("segment", scene, "the star", "--out", f"{place}/out")
        assert done.returncode == 0, done.stderr
        told = as_nobody("weights", "get", "dmmi_swin_base/refzom", "--file", scene)
        assert told.returncode == 2 and "set REFSEG_CACHE" in told.stderr and told.stderr.count("\n") == 1


def test_expressions_are_written_without_a_locale(image, tmp_path):
    odd = os.environ | {"LC_ALL": "C"}
    done = refseg("segment", image, "der größte Stern", "--format", "json", "--out", tmp_path / "out", env=odd)
    assert done.returncode == 0
    (file,) = (tmp_path / "out").iterdir()
    assert json.loads(file.read_text(encoding="utf-8"))["expression"] == "der größte Stern"


def test_a_temporary_folder_is_not_needed(image, tmp_path):
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(tmp_path / "nowhere"))
    assert refseg("segment", image, "the star", "--out", tmp_path, env=os.environ | places).returncode == 0


def test_every_command_is_here():
    """So that a new one is not forgotten above."""
    names = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert names == {
        *("segment", "evaluate", "score", "compare", "robustness", "gallery", "explain", "calibrate"),
        *("recipes", "train", "convert", "export", "networks", "bench", "demo", "study", "serve"),
    }
