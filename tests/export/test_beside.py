"""Graphs beside weights answer as the weights, without torch, and only for these weights."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import refseg
from refseg.checkpoints import bundled
from refseg.checkpoints.graphs_beside import GRAPHS_FILE, graphs_beside
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput
from refseg.inference import exported_segmenter
from refseg.inference.exported_segmenter import load_default, load_exported

pytest.importorskip("onnxruntime")
SELECTOR = bundled.FOLDER / "selector"


@pytest.fixture(scope="module")
def fast():
    segmenter = load_exported("selector")
    assert segmenter is not None, "the graphs are of other weights; write them again: make graphs"
    return segmenter


@pytest.fixture(scope="module")
def segmenters(fast):
    return refseg.load(), fast


@pytest.mark.parametrize("size", [(128, 128), (96, 200), (611, 400)])
def test_the_bundled_weights_give_the_same_masks_to_the_last_pixel(segmenters, size):
    found = 0
    for scene in DrawnScenes("test", count=4 if size == (128, 128) else 1):
        image = np.array(Image.fromarray(scene.image).resize(size[::-1]))
        texts = [one.text for one in scene.expressions]
        for a, b in zip(*(segmenter(image, texts) for segmenter in segmenters), strict=True):
            assert np.array_equal(a.mask, b.mask) and np.array_equal(a.instance_map, b.instance_map)
            assert abs(a.exists - b.exists) < 1e-4 and a.verdict == b.verdict and a.warnings == b.warnings
            found += a.found
    assert found, "a comparison of empty masks says nothing"


def test_images_that_the_weights_do_not_know_are_told_alike(segmenters):
    photograph = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    blank = DrawnScenes("test", count=1)[0].image
    for image, known in ((photograph, False), (blank, True)):
        assert [segmenter.knows(image) for segmenter in segmenters] == [known] * 2


def test_a_photograph_is_left_to_the_reader_where_a_finder_is_installed(monkeypatch):
    photograph = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    monkeypatch.setattr(exported_segmenter, "installed_finder", lambda: None)
    assert load_default([photograph]) is not None
    monkeypatch.setattr(exported_segmenter, "installed_finder", lambda: "coco80")
    assert load_default([photograph]) is None
    assert load_default([DrawnScenes("test", count=1)[0].image]) is not None


def test_graphs_hold_no_weights():
    entry = graphs_beside(SELECTOR)
    assert sum((SELECTOR / name).stat().st_size for name in entry.files) < 300_000


def test_graphs_of_other_weights_are_left_aside(tmp_path):
    shutil.copytree(SELECTOR, tmp_path / "own")
    assert graphs_beside(tmp_path / "own") is not None
    with (tmp_path / "own" / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"?")
    assert graphs_beside(tmp_path / "own") is None
    for text in ("{", "{}", "\0"):
        (tmp_path / "own" / GRAPHS_FILE).write_text(text)
        assert graphs_beside(tmp_path / "own") is None


def test_a_copy_without_all_graphs_leaves_the_others_aside(tmp_path):
    shutil.copytree(SELECTOR, tmp_path / "own")
    (tmp_path / "own" / "fuse.onnx").unlink()
    assert load_exported(tmp_path / "own") is None


@pytest.mark.parametrize("given", [{"device": "cuda"}, {"precision": "bf16"}])
def test_a_device_or_a_precision_that_needs_torch_is_left_to_it(given):
    assert load_exported("selector", **given) is None and load_default([], **given) is None


def test_without_onnx_runtime_or_with_one_that_is_too_old_torch_answers(monkeypatch):
    def refuse(*_):
        raise InvalidInput("unsupported opset")

    with monkeypatch.context() as patch:
        patch.setattr(exported_segmenter, "ExportedGraphs", refuse)
        assert load_exported("selector") is None
    monkeypatch.setattr(exported_segmenter, "find_spec", lambda name: None)
    assert load_exported("selector") is None


@pytest.mark.parametrize("torch", [False, True])
def test_the_command_takes_them_by_itself_unless_told_otherwise(monkeypatch, tmp_path, capsys, torch):
    from refseg.cli import main

    scene = DrawnScenes("test", count=1)[0]
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    asked = []
    answer = exported_segmenter.ExportedSegmenter.ask
    monkeypatch.setattr(exported_segmenter.ExportedSegmenter, "ask", lambda *given: asked.append(1) or answer(*given))
    words = ["segment", str(tmp_path / "scene.png"), scene.expressions[0].text, "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["refseg", *words, *(["--torch"] if torch else [])])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code, capsys.readouterr().err
    assert bool(asked) is not torch
    (mask,) = tmp_path.glob("*.mask.png")
    assert np.array_equal(np.array(Image.open(mask)) > 0, refseg.segment(scene.image, scene.expressions[0].text).mask)
