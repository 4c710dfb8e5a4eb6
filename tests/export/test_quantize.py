"""Graphs become int8 where that hardly costs anything, and stay as they are where it does."""

import sys

import pytest

from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput
from refseg.export import choices, quantize
from refseg.export.quantize import check_calibration, quantize_graphs
from refseg.runtimes.entry import GRAPHS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files in the place of graphs; to quantise one is to write "int8" into it."""
    for name in GRAPHS:
        for ending in (".xml", ".bin"):
            (tmp_path / f"{name}{ending}").write_text("f32")
    monkeypatch.setattr(quantize, "_record_inputs", lambda *_: dict.fromkeys(GRAPHS, []))
    monkeypatch.setattr(quantize, "_quantize", lambda path, *_, **__: path.write_text("int8"))
    return tmp_path


def scored(monkeypatch, *scores):
    remaining = list(scores)
    monkeypatch.setattr(quantize, "_score", lambda *_: remaining.pop(0))


def test_a_part_that_loses_too_much_stays_in_float32(folder, monkeypatch):
    scored(monkeypatch, 0.95, 0.949, 0.94)
    done = quantize_graphs(folder, range(20))
    assert {name: (folder / f"{name}.xml").read_text() for name in GRAPHS} == {
        "image": "f32",
        "words": "int8",
        "fuse": "int8",
    }
    assert str(done) == (
        "words and fuse in int8, mIoU 95.00 in f32 and 94.90 on 10 other images; image in f32, since int8 gives 94.00"
    )


def test_losses_add_up(folder, monkeypatch):
    scored(monkeypatch, 0.95, 0.9485, 0.947)  # each part loses less than the limit, both together more
    assert quantize_graphs(folder, range(20)).graphs == ("words", "fuse")
    scored(monkeypatch, 0.95, 0.9495, 0.949)
    assert quantize_graphs(folder, range(20)).graphs == ("words", "fuse", "image")


def test_where_every_part_loses_too_much_it_is_refused(folder, monkeypatch):
    scored(monkeypatch, 0.95, 0.9, 0.93)
    with pytest.raises(InvalidInput, match=r"falls from 95\.00 to 93\.00 at best, so nothing was written; leave out"):
        quantize_graphs(folder, range(20))
    assert all((folder / f"{name}.xml").read_text() == "f32" for name in GRAPHS)


def test_too_few_images_and_a_missing_nncf_are_told(monkeypatch):
    with pytest.raises(InvalidInput, match="9 images to calibrate int8 and to measure it; give 16 or more"):
        check_calibration(range(9))
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(InvalidInput, match="int8 needs nncf.*pip install nncf"):
        choices.import_nncf()


@pytest.mark.slow
def test_a_quantised_export_answers(tmp_path):
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    from refseg.checkpoints.io import load_checkpoint
    from refseg.evaluation.evaluate import evaluate_samples
    from refseg.export.export import export

    scenes = list(DrawnScenes("val", 40))
    done = export("selector", "openvino", tmp_path / "int8", precision="int8", calibration=scenes)
    assert done.quantized.exact - done.quantized.reached <= quantize.MOST_LOSS and "Quantised" in (
        tmp_path / "int8" / "card.md"
    ).read_text("utf-8")
    report = evaluate_samples(load_checkpoint(tmp_path / "int8"), DrawnScenes("test", 20))
    assert report.metrics["standard"]["mIoU"] > 0.9
