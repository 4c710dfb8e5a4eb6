import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from typer.testing import CliRunner

import refseg.commands.segment_video as command
from refseg.cli import app, main
from refseg.inference.partial_answers import PartialAnswers
from refseg.inference.segmenter import Segmenter
from refseg.video.reading import read_frames

ASKED = "the stars", "the medium object"


@pytest.fixture
def frames(golden, tmp_path):
    """A folder of eight drawn scenes, as if they were a video, of an odd size."""
    folder = tmp_path / "my clip"
    folder.mkdir()
    for number, image in enumerate(golden.images):
        Image.fromarray(image[:97, :121]).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def segment(monkeypatch, checkpoint_folder, frames, tmp_path):
    """Runs `refseg segment` on the video, into `out`; gives the exit code."""

    def run(*arguments, video=frames, out=tmp_path / "out") -> int:
        argv = ["refseg", "segment", video, *arguments, "--weights", checkpoint_folder, "--out", out]
        monkeypatch.setattr(sys, "argv", list(map(str, argv)))
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code or 0

    return run


def content(folder) -> dict[str, bytes]:
    """Of all files but overlays: their encoder does not always write the same bytes."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.suffix != ".mp4"}


@pytest.fixture
def needs_av():
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'refseg[video]'")


def test_a_mask_for_each_frame_and_an_overlay_are_written_by_default(needs_av, segment, tmp_path, capsys):
    assert segment(ASKED[0]) == 0
    out = tmp_path / "out"
    assert sorted(file.name for file in out.iterdir()) == ["my clip.the-stars.masks", "my clip.the-stars.overlay.mp4"]
    masks = sorted((out / "my clip.the-stars.masks").iterdir())
    assert [file.name for file in masks] == [f"{number:06d}.png" for number in range(8)]
    assert all(Image.open(file).size == (121, 97) for file in masks)
    overlay = read_frames(out / "my clip.the-stars.overlay.mp4")
    assert [float(frame.time) for frame in overlay] == [k / 24 for k in range(8)]
    assert capsys.readouterr().out.splitlines()[0] == "the stars"


def test_all_forms_tell_of_the_same_masks(needs_av, segment, tmp_path):
    assert segment(*ASKED, "--format", "all", "--every", "3") == 0
    for stem in ("my clip.the-stars", "my clip.the-medium-object"):
        lines = {
            kind: [json.loads(line) for line in (tmp_path / "out" / f"{stem}.{kind}").read_text().splitlines()]
            for kind in ("jsonl", "rle.jsonl", "polygons.jsonl")
        }
        masks = sorted((tmp_path / "out" / f"{stem}.masks").iterdir())
        assert [file.name for file in masks] == ["000000.png", "000003.png", "000006.png"]
        for file, one, rle, outlines in zip(masks, *lines.values(), strict=True):
            mask = np.asarray(Image.open(file))
            assert one["frame"] == rle["frame"] == outlines["frame"] == int(file.stem)
            assert one["seconds"] == rle["seconds"] == pytest.approx(one["frame"] / 24, abs=1e-6)
            np.testing.assert_array_equal(coco.decode({"size": rle["size"], "counts": rle["counts"]}) * 255, mask)
            assert one["area"] == (mask > 0).sum() and bool(outlines["polygons"]) == one["found"]


def test_between_answers_the_overlay_keeps_the_last_mask(needs_av, write_video, segment, golden, tmp_path):
    still = tmp_path / "still"
    still.mkdir()
    for number in range(7):
        Image.fromarray(golden.images[0]).save(still / f"{number}.png")
    assert segment(golden.expressions[0], "--every", "4", video=still) == 0
    (path,) = (tmp_path / "out").glob("*.mp4")
    shown = [np.abs(frame.pixels.astype(int) - golden.images[0]).mean() for frame in read_frames(path)]
    assert len(shown) == 7 and min(shown) > 0.5 * max(shown)


def test_an_overlay_has_the_times_of_the_video(needs_av, write_video, segment, tmp_path):
    from fractions import Fraction

    times = [0, 40, 45, 300, 1000]
    video = write_video(count=5, times=times, base=Fraction(1, 1000))
    assert segment("the star", "--format", "overlay", video=video) == 0
    frames = read_frames(tmp_path / "out" / "clip.the-star.overlay.mp4")
    assert [frame.time * 1000 for frame in frames] == times


@pytest.mark.parametrize("stopped_at", ["answer 5", "the second file", "the overlay"])
def test_what_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    needs_av, segment, tmp_path, monkeypatch, capsys, stopped_at
):
    monkeypatch.setattr(
        "refseg.inference.segmenter.CLIPS_AT_ONCE", 4
    )  # the same frames side by side in both, to the last bit
    asked = (*ASKED, "--format", "all")
    assert segment(*asked, out=tmp_path / "whole") == 0
    out, calls = tmp_path / "out", []
    place = {"answer 5": (PartialAnswers, "write"), "the second file": (command, "_content")}
    where, name = place.get(stopped_at, (command, "_write_overlays"))
    done = getattr(where, name)

    def stop(*arguments):
        calls.append(1)
        if len(calls) == {"write": 5, "_content": 2}.get(name, 1):
            raise KeyboardInterrupt
        return done(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(where, name, stop)
        assert segment(*asked) == 130
    assert "the same command goes on" in capsys.readouterr().err or name != "write"
    assert [file.name for file in out.iterdir()] == [".my clip.unfinished"]
    answers = out / ".my clip.unfinished" / "answers.jsonl"
    answers.write_text(answers.read_text() + '[{"frame": 7, "sec')  # as a killed process leaves it

    started, video = [], Segmenter.video

    def seen(self, frames, expressions, threshold, every, start):
        started.append(start)
        return video(self, frames, expressions, threshold, every, start)

    monkeypatch.setattr(Segmenter, "video", seen)
    assert segment(*asked) == 0
    assert started == [4 if name == "write" else 8]
    assert f"going on with frame {started[0]}" in capsys.readouterr().err
    assert content(out) == content(tmp_path / "whole") and len(list(out.glob("*.mp4"))) == 2
    for file in out.glob("*.mp4"):
        for one, other in zip(read_frames(file), read_frames(tmp_path / "whole" / file.name), strict=True):
            assert one.time == other.time and np.abs(one.pixels.astype(int) - other.pixels).mean() < 2


@pytest.mark.parametrize("change", [["--every", "2"], ["--threshold", "0.9"], ["the circle"]])
def test_answers_of_another_run_are_not_mixed_in(segment, tmp_path, monkeypatch, capsys, change):
    def stop(self, answers):
        write(self, answers)
        raise KeyboardInterrupt

    write = PartialAnswers.write
    with monkeypatch.context() as patched:
        patched.setattr(PartialAnswers, "write", stop)
        assert segment("the star", "--format", "rle") == 130
    before = content(tmp_path / "out")
    assert segment("the star", *change, "--format", "rle") == 2
    assert re.search("holds an unfinished run with (an)?other ", capsys.readouterr().err)
    assert content(tmp_path / "out") == before


def test_a_second_run_replaces_the_masks_of_the_first(segment, tmp_path, capsys):
    assert segment("the star", "--format", "mask") == 0
    assert segment("the star", "--format", "mask", "--every", "4") == 0
    folder = tmp_path / "out" / "my clip.the-star.masks"
    assert sorted(file.name for file in folder.iterdir()) == ["000000.png", "000004.png"]
    (folder / "mine.txt").touch()
    assert segment("the star", "--format", "mask") == 2
    assert "holds something else" in capsys.readouterr().err and len(list(folder.iterdir())) == 3


def test_results_of_another_video_of_the_same_stem_are_not_replaced(needs_av, segment, frames, tmp_path, capsys):
    other = tmp_path / "elsewhere" / frames.name
    shutil.copytree(frames, other)
    for kind in ("mask", "overlay", "rle", "polygons", "json"):
        out = tmp_path / kind
        assert segment("the star", "--format", kind, out=out) == 0
        before = content(out)
        assert segment("the star", "--format", kind, video=other, out=out) == 2
        assert "is of another image or video (../my clip)" in capsys.readouterr().err and content(out) == before
        assert segment("the star", "--format", kind, "--every", "3", out=out) == 0
        assert content(out) != before or kind == "overlay"


def test_a_video_is_answered_up_to_where_its_size_changes(needs_av, write_video, segment, tmp_path, capsys):
    first, second = (
        write_video(name, 4, size=size, codec="mpeg2video") for name, size in (("a.ts", (48, 64)), ("b.ts", (96, 128)))
    )
    first.write_bytes(first.read_bytes() + second.read_bytes())
    assert segment("the star", "--format", "mask", "--format", "overlay", video=first) == 0
    masks = list((tmp_path / "out" / "a.the-star.masks").iterdir())
    assert 0 < len(masks) <= 4
    warned = capsys.readouterr().err.splitlines()
    assert any("is 128 x 96, those before are 64 x 48: the video ends there" in line for line in warned)


def test_a_folder_of_photographs_is_refused_before_the_first_answer(segment, frames, tmp_path, capsys):
    Image.new("RGB", (50, 40)).save(frames / "7.png")
    assert segment("the star", "--format", "mask", "--frames") == 2
    assert "different sizes" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_run_whose_notes_are_damaged_is_told(segment, tmp_path, monkeypatch, capsys):
    def stop(self, answers):
        write(self, answers)
        raise KeyboardInterrupt

    write = PartialAnswers.write
    with monkeypatch.context() as patched:
        patched.setattr(PartialAnswers, "write", stop)
        assert segment("the star", "--format", "rle") == 130
    (tmp_path / "out" / ".my clip.unfinished" / "run.json").write_text("{")
    assert segment("the star", "--format", "rle") == 2
    assert "unfinished run that is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("name", [b"\xff\xfe clip", b"x" * 250])
def test_videos_of_any_name_get_files_that_fit(segment, frames, tmp_path, name):
    try:
        video = frames.rename(tmp_path / os.fsdecode(name))
    except OSError:
        pytest.skip("this file system does not take such names")
    assert segment("the star", "--format", "json", video=video) == 0
    (file,) = (tmp_path / "out").iterdir()
    assert len(file.name.encode()) < 255


@pytest.mark.parametrize(
    ("arguments", "damage"),
    [
        (["the star", ""], None),
        (["the star", "--every", "0"], None),
        (["the star", "--device", "toaster"], None),
        (["the star"], "no frames"),
        (["the star"], "a broken frame"),
    ],
)
def test_nothing_is_written_unless_everything_can_be(segment, frames, tmp_path, capsys, arguments, damage):
    if damage == "no frames":
        for file in frames.iterdir():
            file.unlink()
    elif damage:
        (frames / "0.png").write_bytes((frames / "0.png").read_bytes()[:300])
    assert segment(*arguments, "--format", "rle") == 2
    *notes, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and all("is taken for a video" in note for note in notes)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["my clip"]


def test_a_gif_is_a_video_for_the_command(segment, golden, tmp_path):
    images = [Image.fromarray(image) for image in golden.images[:3]]
    images[0].save(tmp_path / "moving.gif", save_all=True, append_images=images[1:], duration=100)
    assert segment("the star", "--format", "rle", video=tmp_path / "moving.gif") == 0
    lines = (tmp_path / "out" / "moving.the-star.rle.jsonl").read_text().splitlines()
    assert [json.loads(line)["seconds"] for line in lines] == [0, 0.1, 0.2]


@pytest.mark.parametrize("kind", ["folder", "gif"])
def test_without_pyav_frames_and_animations_give_masks_and_a_note_in_place_of_the_overlay(
    segment, frames, golden, tmp_path, monkeypatch, capsys, kind
):
    monkeypatch.setitem(sys.modules, "av", None)
    video = frames if kind == "folder" else tmp_path / "moving.gif"
    if kind == "gif":
        images = [Image.fromarray(image) for image in golden.images[:2]]
        images[0].save(video, save_all=True, append_images=images[1:], duration=100)
    assert segment("the star", video=video) == 0
    said = capsys.readouterr().err
    assert "note: no overlay video is written" in said and "pip install 'refseg[video]'" in said
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"{video.stem}.the-star.masks"]


def test_without_pyav_overlays_alone_are_refused(segment, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert segment("the star", "--format", "overlay") == 2
    assert "pip install 'refseg[video]'" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert segment("the star", "--format", "mask") == 0


@pytest.mark.parametrize("option", [["--json"], ["--coco", "results.json"]])
def test_what_is_of_images_alone_is_refused_with_what_a_video_has_and_help_says_so(segment, option, tmp_path, capsys):
    assert segment(ASKED[0], *option) == 2
    assert "of a video --format json writes a line a frame" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    printed = " ".join(CliRunner().invoke(app, ["segment", "--help"]).output.split())
    assert "Of a video, --format json writes a line a frame." in printed
