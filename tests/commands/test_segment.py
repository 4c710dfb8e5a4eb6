import json
import os
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

import refseg.commands.segment as command
from refseg.cli import main


@pytest.fixture
def scene(golden, tmp_path):
    path = tmp_path / "my scene.png"
    Image.fromarray(golden.images[0]).save(path)
    return path


@pytest.fixture
def segment(monkeypatch, checkpoint_folder, scene, tmp_path):
    """Runs `refseg segment` on the scene, into `out`; gives the exit code."""

    def run(*arguments: object, out: object = tmp_path / "out") -> int:
        argv = ["refseg", "segment", scene, *arguments, "--weights", checkpoint_folder, "--out", out]
        monkeypatch.setattr(sys, "argv", list(map(str, argv)))
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code or 0

    return run


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_mask_and_overlay_are_written_by_default(segment, golden, tmp_path, capsys):
    assert segment(golden.expressions[0]) == 0
    folder = tmp_path / "out"
    assert names(folder) == ["my scene.the-medium-object.mask.png", "my scene.the-medium-object.overlay.png"]
    mask = np.asarray(Image.open(folder / "my scene.the-medium-object.mask.png"))
    assert set(np.unique(mask)) == {0, 255}
    true = golden.masks[0]
    assert ((mask > 0) & true).sum() / ((mask > 0) | true).sum() > 0.8
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "the medium object" and "1 object, exists" in lines[1] and "box" in lines[1]
    assert lines[2:] == [f"  {folder / name}" for name in names(folder)]


def test_all_forms_tell_of_the_same_mask(segment, tmp_path):
    assert segment("the stars", "--format", "all") == 0
    folder = tmp_path / "out"
    stem = "my scene.the-stars"
    mask = np.asarray(Image.open(folder / f"{stem}.mask.png")) > 0
    rle = json.loads((folder / f"{stem}.rle.json").read_text())
    outlines = json.loads((folder / f"{stem}.polygons.json").read_text())
    content = json.loads((folder / f"{stem}.json").read_text())
    np.testing.assert_array_equal(coco.decode(rle).astype(bool), mask)
    np.testing.assert_array_equal(coco.decode(coco.merge(coco.frPyObjects(outlines, *mask.shape))).astype(bool), mask)
    assert content["rle"] == rle and content["area"] == mask.sum() and content["expression"] == "the stars"


def test_what_is_not_there_matches_nothing_and_has_an_empty_mask(segment, golden, tmp_path, capsys):
    absent = next(text for text, mask in zip(golden.expressions, golden.masks, strict=True) if not mask.any())
    assert segment(absent, "--format", "mask") == 0
    assert "nothing matches" in capsys.readouterr().out
    [path] = (tmp_path / "out").iterdir()
    assert np.asarray(Image.open(path)).max() == 0


def test_expressions_that_look_alike_get_files_of_their_own(segment, tmp_path):
    assert segment("the star", "The star!", "*the* star", "--format", "rle") == 0
    assert names(tmp_path / "out") == [f"my scene.the-star{n}.rle.json" for n in ("-2", "-3", "")]


def test_long_and_foreign_expressions_get_names_that_file_systems_take(tmp_path):
    stems = command.file_stems(tmp_path / ("ä" * 120), ["星" * 90, "?!", "../../etc/passwd"])
    assert all(len(stem.encode()) < 200 and "/" not in stem for stem in stems)


def test_unknown_words_are_a_warning_in_one_line(segment, capsys):
    assert segment("the purple dog", "--format", "rle") == 0
    err = capsys.readouterr().err
    assert err.startswith("warning: ") and "'dog'" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["the star", ""],
        ["the star", "the " * 30 + "star"],
        ["the star", "--threshold", "1.5"],
        ["the star", "--format", "mask", "--format", "mp3"],
        ["the star", "--device", "toaster"],
    ],
)
def test_nothing_is_written_unless_everything_can_be(segment, tmp_path, capsys, arguments):
    assert segment(*arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert names(tmp_path) == ["my scene.png"]


def test_a_folder_that_cannot_be_written_is_told(segment, scene, capsys):
    assert segment("the star", out=scene / "below") == 2
    assert "is not a folder" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_read_only_folder_is_told(segment, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert segment("the star", out=tmp_path / "locked" / "out") == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 2)])
def test_an_interruption_between_two_files_leaves_none(segment, tmp_path, monkeypatch, error, code):
    write = command.write

    def fail_at_the_overlay(result, kind, path):
        if kind is command.Format.OVERLAY:
            path.write_bytes(b"half")
            raise error
        write(result, kind, path)

    monkeypatch.setattr(command, "write", fail_at_the_overlay)
    assert segment("the star") == code
    assert names(tmp_path) == ["my scene.png"]


def test_a_damaged_image_is_told(segment, scene, capsys):
    scene.write_bytes(scene.read_bytes()[:2000])
    assert segment("the star") == 2
    assert "cannot be decoded" in capsys.readouterr().err


def test_without_its_library_a_crf_is_refused_with_the_command_that_installs_it(segment, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    assert segment("the star", "--crf") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: DenseCRF needs pydensecrf2; install it with: pip install 'refseg[crf]'")
    assert names(tmp_path) == ["my scene.png"]


def test_a_crf_draws_the_masks_that_are_written(segment, golden, tmp_path):
    pytest.importorskip("pydensecrf")
    assert segment(golden.expressions[0], "--format", "mask") == 0
    [path] = (tmp_path / "out").iterdir()
    plain = np.asarray(Image.open(path)) > 0
    assert segment(golden.expressions[0], "--format", "mask", "--crf") == 0
    drawn = np.asarray(Image.open(path)) > 0
    assert (drawn != plain).any() and (drawn & plain).sum() / (drawn | plain).sum() > 0.5
