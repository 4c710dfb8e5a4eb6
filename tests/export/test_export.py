"""An exported network answers as the one that it was exported from; what cannot be exported is told in a line."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

import refseg
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.familiarity import Familiarity
from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.cli import main
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.networks import build
from refseg.preprocessing.transform import Preprocessing
from refseg.text.vocabulary import Vocabulary

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

TINY = {
    "stages": (4, 4, 8, 8),
    "coarse": 8,
    "fine": 8,
    "kernel": 4,
    "candidates": 4,
    "score_threshold": 0.04,  # fresh weights find objects
    "attributes": (2,),
    "width": 8,
    "heads": 2,
    "word_layers": 1,
    "blocks": 2,
    "pair_width": 4,
    "pair_value": 2,
    "fallback": "best",
}


def checkpoint(seed: int) -> Checkpoint:
    """A tiny Selector with fresh weights, which finds something in any scene."""
    torch.manual_seed(seed)
    words = Vocabulary.of(one.text for scene in DrawnScenes(split="val", count=10) for one in scene.expressions)
    network = build("selector", TINY, len(words)).eval()
    familiarity = Familiarity(torch.zeros(16), torch.eye(16), 100.0, "test")
    return Checkpoint(
        "selector", network, words, Preprocessing(side=64), Calibration(exists_threshold=0.4), familiarity
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folders of a checkpoint, and of its export for ONNX Runtime."""
    from refseg.export.export import export

    folder = tmp_path_factory.mktemp("export")
    save_checkpoint(checkpoint(0), folder / "weights")
    done = export(folder / "weights", "onnx", folder / "exported")
    assert done.agreement.equal_pixels == 1 and done.agreement.close_logits == 1
    assert done.entry.size_hw is None, "Selector is exported for any size"
    return folder / "weights", folder / "exported"


def copied(folder, to, **runtime):
    """A copy of an exported folder with other facts on its graphs."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    config["runtime"] |= runtime
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (48, 90), (200, 133)])
def test_masks_objects_and_existence_equal_those_of_the_weights(folders, size):
    from refseg.inference.exported_segmenter import load_exported

    exact, exported = (refseg.load(folder) for folder in folders)
    without_torch = load_exported(folders[1])
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    expressions = [one.text for one in DrawnScenes(split="val", count=1)[0].expressions][:5]
    found = 0
    for threshold in (None, 0.01, 0.99):
        for a, b in zip(exact(image, expressions, threshold), exported(image, expressions, threshold), strict=True):
            assert np.array_equal(a.mask, b.mask) and np.array_equal(a.instance_map, b.instance_map)
            assert abs(a.exists - b.exists) < 1e-5 and a.familiar == b.familiar
            found += a.found
        for a, b in zip(
            exported(image, expressions, threshold), without_torch(image, expressions, threshold), strict=True
        ):
            assert np.array_equal(a.mask, b.mask) and np.array_equal(a.instance_map, b.instance_map)
            assert a.to_dict() == b.to_dict()
    assert found, "a comparison of empty masks says nothing"


@pytest.mark.slow
def test_many_images_at_once_and_one_encoding_give_the_same(folders):
    exported = refseg.load(folders[1])
    images = [scene.image for scene in DrawnScenes(split="val", count=3)]
    (one, *_) = exported.batch(images, [["a star", "the circle"]] * 3)
    (encoded,) = exported.encode(images[:1])
    for a, b in zip(one, exported(encoded, ["a star", "the circle"]), strict=True):
        assert np.array_equal(a.mask, b.mask)


@pytest.mark.slow
def test_an_evaluation_gives_the_same_figures(folders):
    reports = [refseg.evaluate(folder, "drawn_scenes", split="val", count=2) for folder in folders]
    exact, exported = (report.metrics["standard"] for report in reports)
    assert exact == pytest.approx(exported, nan_ok=True)


@pytest.mark.slow
def test_another_size_than_the_exported_one_is_refused_with_the_way_out(folders, tmp_path):
    fixed = refseg.load(copied(folders[1], tmp_path / "fixed", size_hw=[64, 64]))
    with pytest.raises(
        InvalidInput,
        match=r"exported for images of 64 x 64 pixels, and the image becomes 48 x 96; .*size_hw=\(48, 96\)",
    ):
        fixed(np.zeros((60, 120, 3), np.uint8), "a star")


@pytest.mark.slow
def test_a_folder_that_is_not_whole_is_told_in_a_line(folders, tmp_path):
    folder = copied(folders[1], tmp_path / "damaged")
    (folder / "fuse.onnx").write_bytes(b"no graph")
    with pytest.raises(InvalidInput, match=r"fuse\.onnx cannot be loaded .*; copy the folder again"):
        refseg.load(folder)
    (folder / "fuse.onnx").unlink()
    with pytest.raises(MissingFile, match=r"fuse\.onnx is missing"):
        refseg.load(folder)


@pytest.mark.slow
def test_exported_weights_are_neither_exported_nor_saved_again_nor_moved_to_a_gpu(folders, tmp_path):
    from refseg.export.export import export

    with pytest.raises(InvalidInput, match="is exported already"):
        export(folders[1], "onnx", tmp_path / "again")
    with pytest.raises(InvalidInput, match="cannot be changed"):
        save_checkpoint(load_checkpoint(folders[1]), tmp_path / "again")
    with pytest.raises(InvalidInput, match="run on the CPU"):
        load_checkpoint(folders[1], "cuda")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_an_export_that_answers_otherwise_is_refused(folders):
    from refseg.export.agreement import compare

    agreement = compare(checkpoint(1), load_checkpoint(folders[1]), [(64, 64)])
    with pytest.raises(InvalidInput, match="answers otherwise than its weights, so nothing was written"):
        agreement.check("f32")


@pytest.mark.slow
def test_graphs_beside_weights_answer_as_these(tmp_path):
    from refseg.export.beside import write_graphs_beside
    from refseg.inference.exported_segmenter import load_exported

    save_checkpoint(checkpoint(0), tmp_path / "own", half=True)
    assert load_exported(tmp_path / "own") is None
    assert write_graphs_beside(tmp_path / "own").equal_pixels == 1
    image, texts = np.random.default_rng(0).integers(0, 255, (75, 90, 3), np.uint8), ["the star", "a red circle"]
    pairs = zip(refseg.load(tmp_path / "own")(image, texts), load_exported(tmp_path / "own")(image, texts), strict=True)
    assert all(np.array_equal(a.mask, b.mask) for a, b in pairs)


def test_graphs_that_the_runtime_cannot_run_are_refused(handmade, tmp_path):
    from refseg.export.export import compare_folder

    shutil.copytree(handmade, tmp_path / "new")
    (tmp_path / "new" / "fuse.onnx").write_bytes(b"no graph")
    exact = load_checkpoint(handmade)
    with pytest.raises(InvalidInput, match="ONNX Runtime does not run the graphs of selector, so nothing was written"):
        compare_folder(exact, tmp_path / "new", exact.runtime, [(64, 64)])
    assert compare_folder(exact, handmade, exact.runtime, [(64, 64)]).equal_pixels == 1


@pytest.mark.slow
def test_what_fails_on_the_way_leaves_the_folder_as_it_was(folders, tmp_path, monkeypatch):
    from refseg.export import export

    def fail(*_):
        raise InvalidInput("no graph")

    monkeypatch.setattr(export, "trace_graphs", fail)
    with pytest.raises(InvalidInput, match="no graph"):
        export.export(folders[0], "onnx", tmp_path / "new")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("selector", "--to", "onxx"), "nothing exports to 'onxx'; did you mean onnx? choose one of: onnx, openvino"),
        (("selector", "--to", "onnx", "--precision", "bf16"), "leave out --precision bf16, or export to openvino"),
        (("selector", "--to", "onnx", "--precision", "f8"), "unknown precision 'f8'; choose one of: f32, bf16"),
        (("selector", "--to", "onnx", "--size", "8", "64"), "give sides of 16 to 4096"),
        (("selector", "--to", "openvino", "--precision", "int8"), "give for example --calibration drawn_scenes"),
        (("selector", "--to", "onnx", "--count", "20"), "are of --calibration; add it, or leave them out"),
        (
            ("selector", "--to", "onnx", "--calibration", "drawn_scenes"),
            "calibration is of int8 alone; add --precision",
        ),
        (("selectr", "--to", "onnx"), "there are no weights 'selectr'; did you mean selector?"),
        (("selector", "--to", "onnx", "--size", "40", "64"), "give for example --size 32 64"),
        (("selector_video", "--to", "onnx"), "selector_video takes clips of"),
        (("reader", "--to", "onnx"), "reader is made of models of others"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["refseg", "export", *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as caught:
        main()
    error = capsys.readouterr().err.strip()
    assert caught.value.code == 2 and line in error and len(error.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_not_replaced_without_being_told(tmp_path):
    from refseg.export.export import export

    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UnwritableOutput, match="is no checkpoint"):
        export("selector", "onnx", tmp_path, overwrite=True)


def test_a_missing_package_is_told_with_the_extra(monkeypatch, tmp_path):
    from refseg.export import choices

    monkeypatch.setattr(choices, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'refseg\[export\]'"):
        choices.check_choices("openvino", "f32")
