import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from refseg.cli import app
from refseg.errors import RefsegError


def run(*arguments: object):
    asked = ["data", *map(str, arguments)]
    return CliRunner().invoke(app, asked, catch_exceptions=False, standalone_mode=False)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """One image with an object and an expression, in the refer layout."""
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(folder / "images" / "a.jpg")
    annotation = {
        "id": 1,
        "image_id": 1,
        "segmentation": [[2, 3, 9, 3, 9, 9, 2, 9]],
        "bbox": [2, 3, 7, 6],
        "iscrowd": 0,
    }
    image = {"id": 1, "file_name": "a.jpg", "height": 20, "width": 30}
    (folder / "instances.json").write_text(json.dumps({"images": [image], "annotations": [annotation]}))
    sentence = {"sent_id": 1, "raw": "the cup", "sent": "the cup"}
    ref = {"ref_id": 1, "ann_id": 1, "image_id": 1, "split": "train", "sentences": [sentence]}
    (folder / "refs(unc).p").write_bytes(pickle.dumps([ref], protocol=2))
    return folder


def test_a_clean_data_set_exits_with_0(root):
    done = run("check", "refer", "--root", root)
    assert done.return_value in (None, 0) and "no problems" in done.output


def test_problems_exit_with_1_and_are_told_with_what_to_do(root):
    (root / "images" / "a.jpg").write_bytes(b"<html>")
    done = run("check", "refer", "--root", root)
    assert done.return_value == 1
    assert "images unreadable" in done.output and "download these again" in done.output


def test_json_holds_sizes_and_findings(root):
    (root / "images" / "a.jpg").unlink()
    report = json.loads(run("check", "refer", "--root", root, "--json").stdout)
    assert report["clean"] is False and report["split_by"] == "unc"
    assert report["splits"]["train"] == {"images": 1, "refs": 1, "expressions": 1}
    first = report["findings"][0]
    assert (first["check"], first["verdict"], first["count"]) == ("images missing", "problem", 1)


@pytest.fixture
def videos(tmp_path) -> Path:
    """One video in the layout of Refer-YouTube-VOS, whose labels are 255 where the expression names object 1."""
    content = {"videos": {"a": {"expressions": {"0": {"exp": "the cup", "obj_id": "1"}}, "frames": ["00000"]}}}
    for folder in ("train/JPEGImages/a", "train/Annotations/a", "meta_expressions/train"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "meta_expressions/train/meta_expressions.json").write_text(json.dumps(content))
    Image.new("RGB", (30, 20)).save(tmp_path / "train/JPEGImages/a/00000.jpg")
    Image.new("L", (30, 20), 255).save(tmp_path / "train/Annotations/a/00000.png")
    return tmp_path


def test_videos_are_checked_as_images_are(videos):
    done = run("check", "refer_youtube_vos", "--root", videos)
    assert done.return_value == 1 and "objects in no frame" in done.output
    report = json.loads(run("check", "refer_youtube_vos", "--root", videos, "--json").stdout)
    assert report["splits"] == {"train": {"videos": 1, "expressions": 1}}
    assert [one["check"] for one in report["findings"] if one["verdict"] == "problem"] == ["objects in no frame"]
    Image.new("L", (30, 20), 1).save(videos / "train/Annotations/a/00000.png")
    done = run("check", "refer_youtube_vos", "--root", videos)
    assert done.return_value in (None, 0) and "no problems" in done.output


def test_options_of_images_are_refused_for_videos(videos):
    with pytest.raises(RefsegError, match="--split-by is for data sets of images, and refer_youtube_vos holds videos"):
        run("check", "refer_youtube_vos", "--root", videos, "--split-by", "unc")


def test_ids_that_occur_twice_exit_with_1_without_a_warning(root, recwarn):
    content = json.loads((root / "instances.json").read_text())
    content["annotations"] *= 2
    (root / "instances.json").write_text(json.dumps(content))
    done = run("check", "refer", "--root", root)
    assert done.return_value == 1 and "repeated ids" in done.output
    assert not [one for one in recwarn if "more than once" in str(one.message)]


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_a_pickle_with_code_is_refused_and_not_run(root, monkeypatch):
    monkeypatch.chdir(root)
    (root / "refs(unc).p").write_bytes(pickle.dumps([Harmful()]))
    with pytest.raises(RefsegError, match=r"refs\(unc\)\.p wants to run \w+\.system: that is refused"):
        run("check", "refer", "--root", root)
    assert not (root / "harmed").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["drawn_scenes"], "drawn on the fly"),
        (["drawn_clips"], "drawn on the fly"),
        (["rec_pretraining"], "put together from other data sets"),
        (["refer", "--root", "nowhere"], "nowhere is missing"),
        (["refer", "--root", ".", "--against", "refcoco"], "give it, for example --against refcoco=data/refcoco"),
    ],
)
def test_what_cannot_be_checked_is_told_in_one_line(arguments, message):
    with pytest.raises(RefsegError, match=message):
        run("check", *arguments)


def test_stats_writes_tables_json_and_plots(root, tmp_path):
    out = tmp_path / "stats"
    done = run("stats", "refer", "--root", root, "--out", out)
    assert "1 image, 1 expression" in done.output
    assert sorted(path.name for path in out.iterdir()) == ["stats.json", "stats.md", "stats.png"]
    assert json.loads((out / "stats.json").read_text())["words"] == {"2": 1}
    assert Image.open(out / "stats.png").width > 1000


def test_stats_for_programs_are_json_alone(root):
    assert json.loads(run("stats", "refer", "--root", root, "--json").stdout)["images"] == 1


def test_view_writes_one_picture(root, tmp_path):
    out = tmp_path / "new" / "sheet.png"
    assert "1 of 1 image" in run("view", "refer", "--root", root, "--out", out).output
    assert Image.open(out).format == "PNG"


def test_pictures_and_tables_replace_those_of_the_same_command_only(root, tmp_path):
    sheet, stats = tmp_path / "sheet.png", tmp_path / "stats"
    for command, out in (("view", sheet), ("stats", stats)):
        assert "replaced" not in run(command, "refer", "--root", root, "--out", out).output
        assert "(replaced, of an earlier run)" in " ".join(
            run(command, "refer", "--root", root, "--out", out).output.split()
        )
    for name in ("stats.md", "stats.json", "stats.png"):
        before = (stats / name).read_bytes()
        (stats / name).write_text("mine")
        with pytest.raises(RefsegError, match=f"{name} is there already and is something else"):
            run("stats", "refer", "--root", root, "--out", stats)
        assert (stats / name).read_text() == "mine"
        (stats / name).write_bytes(before)
    with pytest.raises(RefsegError, match="stats.png is there already and is something else"):
        run("view", "refer", "--root", root, "--out", stats / "stats.png")
    Image.new("RGB", (8, 8)).save(sheet)
    with pytest.raises(RefsegError, match="sheet.png is there already and is something else"):
        run("view", "refer", "--root", root, "--out", sheet)
    assert Image.open(sheet).size == (8, 8)


def test_view_writes_nothing_where_it_fails(root, tmp_path):
    (root / "images" / "a.jpg").unlink()
    with pytest.raises(RefsegError, match="a.jpg is missing"):
        run("view", "refer", "--root", root, "--out", tmp_path / "new" / "sheet.png")
    with pytest.raises(RefsegError, match="end in .png"):
        run("view", "refer", "--root", root, "--out", tmp_path / "sheet.jpg")
    assert not (tmp_path / "new").exists() and not (tmp_path / "sheet.jpg").exists()


ESCAPE = "\x1b[2J\x1b]0;owned\x07"


def test_texts_of_a_data_set_do_not_steer_the_terminal(root):
    line = {"image": "gone.jpg", "expression": f"a {ESCAPE}", "id": ESCAPE, "mask": [], "split": ESCAPE, "type": ESCAPE}
    (root / "d.jsonl").write_text(json.dumps(line))
    for command in ("check", "stats"):
        done = run(command, "jsonl", "--root", root, *(["--split", "all"] if command == "stats" else []))
        assert "\x1b" not in done.output and "\x07" not in done.output
        assert r"\x1b" in done.output


def test_a_table_without_rows_is_not_imported(root):
    (root / "t.csv").write_text("expression,annotation\n")
    with pytest.raises(RefsegError, match=r"t\.csv holds no expression"):
        run("import", root / "t.csv", root / "instances.json", "--out", root / "mine.jsonl")
    assert not (root / "mine.jsonl").exists()
