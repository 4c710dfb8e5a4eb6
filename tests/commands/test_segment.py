import json
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from safetensors.torch import load_file, save_file

import refseg.commands.segment as command
from refseg.cli import main
from refseg.commands.sources import png_text
from refseg.inference.segmenter import load


@pytest.fixture
def scene(golden, tmp_path):
    path = tmp_path / "my scene.png"
    Image.fromarray(golden.images[0]).save(path)
    return path


@pytest.fixture
def segment(monkeypatch, checkpoint_folder, scene, tmp_path):
    """Runs `refseg segment` on the scene, into `out`; gives the exit code."""

    def run(*arguments: object, out: object = tmp_path / "out", image: object = scene) -> int:
        argv = ["refseg", "segment", image, "--weights", checkpoint_folder, *arguments, "--out", out]
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
    out = capsys.readouterr().out
    assert "nothing matches" in out and "mask.png (empty)" in out
    [path] = (tmp_path / "out").iterdir()
    assert np.asarray(Image.open(path)).max() == 0


def test_expressions_that_look_alike_get_files_of_their_own(segment, tmp_path):
    assert segment("the star", "The star!", "*the* star", "--format", "rle") == 0
    assert names(tmp_path / "out") == [f"my scene.the-star{n}.rle.json" for n in ("-2", "-3", "")]


def test_long_and_foreign_expressions_get_names_that_file_systems_take(tmp_path):
    stems = command.file_stems(tmp_path / ("ä" * 120), ["星" * 90, "?!", "../../etc/passwd"])
    assert all(len(stem.encode()) < 200 and "/" not in stem for stem in stems)


@pytest.fixture
def twin(scene, golden):
    """Another picture of the same stem."""
    path = scene.with_suffix(".bmp")
    Image.fromarray(golden.images[1]).save(path)
    return path


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["mask", "overlay", "json", "rle", "polygons", "all"])
def test_results_of_another_picture_of_the_same_stem_are_not_replaced(segment, twin, tmp_path, capsys, kind):
    assert segment("the star", "--format", kind) == 0
    before = content(tmp_path / "out")
    assert segment("the star", "--format", kind, image=twin) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "choose another place with --out" in line
    assert content(tmp_path / "out") == before
    assert segment("the star", "--format", kind) == 0
    assert content(tmp_path / "out") == before


def test_a_picture_of_the_same_stem_is_refused_before_the_network_runs(segment, twin, monkeypatch, capsys):
    assert segment("the star") == 0
    monkeypatch.setattr("refseg.inference.segmenter.load", lambda *arguments: pytest.fail("loaded"))
    assert segment("the star", image=twin) == 2
    assert "is of another image or video (../my scene.png)" in capsys.readouterr().err


def test_results_of_the_same_picture_are_replaced_whatever_changed(segment, scene, golden, tmp_path):
    assert segment("the star", "--format", "all") == 0
    before = content(tmp_path / "out")
    Image.fromarray(golden.images[1]).save(scene)
    assert segment("the star", "--format", "all") == 0
    after = content(tmp_path / "out")
    assert after.keys() == before.keys() and all(after[name] != before[name] for name in after)


def test_results_that_another_run_about_the_picture_left_are_named_where_they_are_replaced(segment, tmp_path, capsys):
    assert segment("the star", "--format", "mask") == 0
    assert segment("the star", "--format", "mask") == 0
    assert "replaced" not in capsys.readouterr().err  # they are the same
    mask = tmp_path / "out" / "my scene.the-star.mask.png"
    with Image.open(mask) as old:
        old.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mask, pnginfo=png_text(old.info["source"]))
    assert segment("the star", "--format", "mask") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("replaced, of an earlier run about this image: ") and mask.name in line


def test_what_does_not_say_of_which_picture_it_is_is_replaced_with_a_warning(segment, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    old = tmp_path / "out" / "my scene.the-star.mask.png"
    Image.new("L", (8, 8)).save(old)
    assert segment("the star", "--format", "mask") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and str(old) in line and Image.open(old).info["source"]
    assert segment("the star", "--format", "mask") == 0
    assert not capsys.readouterr().err


def test_run_lengths_that_cannot_say_of_which_picture_they_are_are_not_replaced_by_others(segment, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "my scene.the-star.rle.json").write_text("{}")
    assert segment("the star", "--format", "rle") == 2
    assert "does not say of which image" in capsys.readouterr().err
    assert content(tmp_path / "out") == {"my scene.the-star.rle.json": b"{}"}


def test_results_say_which_picture_they_are_of(segment, tmp_path):
    assert segment("the star", "--format", "mask", "--format", "json") == 0
    assert json.loads((tmp_path / "out" / "my scene.the-star.json").read_text())["source"] == "../my scene.png"
    assert Image.open(tmp_path / "out" / "my scene.the-star.mask.png").info["source"] == "../my scene.png"


def test_an_overlay_is_the_picture_and_of_a_jpeg_a_jpeg(segment, scene, checkpoint_folder, tmp_path, capsys):
    photograph = scene.with_suffix(".jpg")
    Image.open(scene).convert("RGB").save(photograph, quality=95)
    assert segment("the star", image=photograph) == 0
    overlay = tmp_path / "out" / "my scene.the-star.overlay.jpg"
    assert names(tmp_path / "out") == ["my scene.the-star.mask.png", overlay.name]
    drawn = Image.open(overlay)
    expected = load(checkpoint_folder)(photograph, "the star").picture()
    assert drawn.format == "JPEG" and drawn.size == expected.size and drawn.height > 5 * Image.open(photograph).height
    assert np.abs(np.asarray(drawn).astype(int) - np.asarray(expected)).mean() < 3
    assert drawn.info["comment"] == b"source=../my scene.jpg"
    assert segment("the star", image=photograph) == 0  # its own results are replaced
    before = content(tmp_path / "out")
    (tmp_path / "out" / "my scene.the-star.mask.png").unlink()
    other = tmp_path / "other" / photograph.name
    other.parent.mkdir()
    photograph.rename(other)
    capsys.readouterr()
    assert segment("the star", image=other) == 2
    assert "overlay.jpg is of another image or video (../my scene.jpg)" in capsys.readouterr().err
    assert content(tmp_path / "out") == {overlay.name: before[overlay.name]}


@pytest.mark.parametrize("name", [b"\xff\xfe scene.png", b"x" * 246 + b".png", b"two\nlines.png"])
def test_pictures_of_any_name_get_files_that_fit(segment, scene, tmp_path, capsys, name):
    try:
        image = scene.rename(tmp_path / os.fsdecode(name))
    except OSError:
        pytest.skip("this file system does not take such names")
    assert segment("the star", image=image) == 0
    out = capsys.readouterr().out
    written = names(tmp_path / "out")
    assert len(written) == 2 and len(out.splitlines()) == 4
    for file in written:
        assert len(file.encode("utf-8")) < 255 and file.isprintable()
    assert segment("the star", image=image) == 0


def test_a_name_that_is_too_long_is_told(segment, tmp_path, capsys):
    assert segment("the star", image=tmp_path / ("x" * 300 + ".png")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "File name too long" in line


def test_an_expression_that_is_no_text_is_told(segment, tmp_path, capsys):
    assert segment(os.fsdecode(b"the \xff star")) == 2
    assert "no text" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_weights_that_give_no_numbers_write_nothing(segment, checkpoint_folder, tmp_path, capsys):
    spoilt = tmp_path / "spoilt"
    shutil.copytree(checkpoint_folder, spoilt)
    tensors = load_file(spoilt / "model.safetensors")
    name = next(name for name in tensors if name.startswith("chooser") and name.endswith("weight"))
    save_file({**tensors, name: tensors[name] * float("nan")}, spoilt / "model.safetensors")
    assert segment("the star", "--format", "json", "--weights", spoilt) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "not finite" in line and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["notes.txt", "page.pdf", "photo.heic"])
def test_what_is_neither_an_image_nor_a_video_is_told(segment, tmp_path, capsys, name):
    start = {"notes.txt": b"a text\n" * 20, "page.pdf": b"%PDF-1.4\n", "photo.heic": b"\0\0\0\x14ftypheic\0\0\0\0mif1"}
    (tmp_path / name).write_bytes(start[name])
    assert segment("the star", image=tmp_path / name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert ("convert it" if name == "photo.heic" else "neither an image nor a video") in line


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
