"""The commands on photographs: which weights answer where none are named, and how an expression was read."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.cli import main
from refseg.finders import FINDERS
from refseg.finders.published import PublishedFinder

NOTE = "no drawn scene, so reader answers, with the finder coco80: the 80 classes of COCO in photographs"


@pytest.fixture
def refseg(monkeypatch, tmp_path, photograph, golden, capsys):
    """Runs a command in a folder with photo.jpg and scene.png; gives the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    Image.fromarray(photograph).save("photo.jpg", quality=95)
    Image.fromarray(golden.images[0]).save("scene.png")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["refseg", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def coco80(fixed, monkeypatch):
    """As if coco80 were on this machine."""
    monkeypatch.setitem(FINDERS, "coco80", fixed)
    monkeypatch.setattr(PublishedFinder, "is_installed", lambda entry: True)


def test_a_photograph_goes_to_the_reader_once_it_has_a_finder(refseg, coco80):
    code, out, err = refseg("segment", "photo.jpg", "the second dog from the left", "the window")
    assert code == 0 and err.splitlines() == [NOTE]
    assert "box 40 50 60 70" in out and "'window' is not a thing that this finder knows" in out
    mask = np.asarray(Image.open("photo.the-second-dog-from-the-left.mask.png"))
    assert (mask > 0).sum() == 400


def test_a_drawn_scene_goes_to_selector_whatever_is_installed(refseg, coco80, fixed):
    assert refseg("segment", "scene.png", "the stars", "--weights", "selector", "--out", "named")[0] == 0
    code, _, err = refseg("segment", "scene.png", "the stars", "--out", "chosen")
    assert (code, err) == (0, "") and not fixed.found
    files = {path.name: path.read_bytes() for path in Path("named").iterdir()}
    assert files == {path.name: path.read_bytes() for path in Path("chosen").iterdir()}


def test_without_a_finder_selector_answers_and_the_command_that_gets_one_is_told(refseg):
    code, out, err = refseg("segment", "photo.jpg", "the star")
    assert code == 0 and "the star" in out and "reader" not in out
    assert "photographs need a finder; get it (24 MB): refseg weights get coco80" in err
    code, _, err = refseg("segment", "photo.jpg", "the star", "--weights", "reader")
    assert code == 2 and err == (
        "error: the finder 'coco80' is not on this machine; get it (24 MB): refseg weights get coco80\n"
    )


def test_many_photographs_are_answered_by_one_network_also_when_the_run_goes_on(refseg, coco80):
    folder = Path("photos")
    folder.mkdir()
    Path("photo.jpg").rename(folder / "b.jpg")
    Image.open(folder / "b.jpg").rotate(90).save(folder / "c.jpg")
    code, _, err = refseg("segment", "photos", "the left dog", "--format", "none")
    assert code == 0 and NOTE in err
    Path("scene.png").rename(folder / "a.png")  # would be looked at first
    code, _, err = refseg("segment", "photos", "the left dog", "--format", "none")
    assert code == 0 and "2 answers there already" in err
    lines = [json.loads(line) for line in Path("answers", "answers.jsonl").read_text().splitlines()]
    assert [(Path(line["image"]).name, line["weights"]) for line in lines] == [
        (name, "reader") for name in ("b.jpg", "c.jpg", "a.png")
    ]
    assert all(line["reading"]["program"].startswith("dog") for line in lines)


def test_paths_on_stdin_lose_none_when_the_first_is_looked_at(refseg, coco80, monkeypatch):
    import io

    for names in (["missing.png", "photo.jpg"], ["photo.jpg", "scene.png"]):
        stdin = io.TextIOWrapper(io.BytesIO("".join(f"{name}\n" for name in names).encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
        _, out, err = refseg("segment", "-", "the left dog", "--json")
        assert NOTE in err
        answered = [json.loads(line) for line in out.splitlines()]
        assert [line["image"] for line in answered] == names and "reading" in answered[1]


def test_set_chooses_the_parts_of_the_reader(refseg, fixed):
    assert refseg("segment", "scene.png", "the cat", "--set", "finder=fixed", "--format", "json")[0] == 0
    assert json.loads(Path("scene.the-cat.json").read_text())["reading"]["finder"] == "fixed"
    code, _, err = refseg("segment", "scene.png", "the cat", "--set", "finder=none")
    assert code == 2 and "unknown finder" in err
    code, _, err = refseg("segment", "scene.png", "the cat", "--weights", "selector", "--set", "finder=fixed")
    assert code == 2 and "finder cannot be set" in err


def test_evaluate_takes_settings_of_the_reader_and_of_the_data_set(refseg, fixed):
    square = [[40, 50, 60, 50, 60, 70, 40, 70]]
    Path("it.jsonl").write_text(
        json.dumps({"image": "photo.jpg", "expression": "the second dog from the left", "mask": square}) + "\n"
    )
    arguments = ["evaluate", "reader", "jsonl", "--root", ".", "--split", "all", "--set", "finder=fixed"]
    code, out, _ = refseg(*arguments, "--set", "count=1")
    assert code == 0 and "reader:finder=fixed" in out and "mIoU 100.00 %" in out
    code, _, err = refseg(*arguments, "--set", "nonsense=1")
    assert code == 2 and "nonsense" in err


def test_a_reader_is_calibrated_into_a_folder_of_its_own(refseg, fixed):
    square = [[40, 50, 60, 50, 60, 70, 40, 70]]
    rows = [("the second dog from the left", square), ("the bear", square), ("the horse", []), ("the window", [])]
    lines = [json.dumps({"image": "photo.jpg", "expression": text, "mask": mask}) for text, mask in rows]
    Path("it.jsonl").write_text("\n".join(lines) + "\n")
    arguments = ["calibrate", "reader", "jsonl", "--root", ".", "--split", "all", "--set", "finder=fixed"]
    code, _, err = refseg(*arguments)
    assert code == 2 and "say where its calibration goes, such as --out reader_calibrated" in err
    assert not refseg("segment", "photo.jpg", "the bear", "--set", "finder=fixed", "--format", "none")[0]
    code, out, _ = refseg(*arguments, "--out", "mine")
    assert code == 0 and "temperature " in out and out.endswith("written: mine\n")
    assert {path.name for path in Path("mine").iterdir()} == {"card.md", "config.json"}
    code, out, _ = refseg("segment", "photo.jpg", "the bear", "the horse", "--weights", "mine")
    assert code == 0 and "box 40 10 60 30" in out and "nothing matches" in out  # the bear is doubtful, but there


def test_explain_says_how_the_expression_was_read_without_matplotlib(refseg, coco80, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = refseg("explain", "photo.jpg", "the left dog", "--out", "why.png")
    lines = [line.strip() for line in out.splitlines()]
    assert code == 0 and err.splitlines() == [NOTE]
    assert lines[0] == "the left dog" and "noun: dog" in lines and "place: left" in lines and "chosen: [1]" in lines
    assert "4 objects found by coco80, 3 of them candidates" in lines and lines[-1] == "why.png"
    picture = np.asarray(Image.open("why.png"))
    assert picture.shape[0] > 600 + 60 and (picture == (64, 220, 96)).all(-1).sum() > 500  # the chosen box
    code, _, err = refseg("explain", "photo.jpg", "the left dog", "--npz", "why.npz")
    assert code == 2 and "leave out --npz" in err
