"""Videos on the page: what it asks, says, plays and offers, without a browser."""

import asyncio
import io
import json
import random
import tempfile
import zipfile
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from refseg.errors import InvalidInput
from refseg.service.answer_video import ANSWERS, OVERLAY
from refseg.service.limits import Limits
from refseg.service.messages import Ready, VideoProgress, WeightsFacts
from refseg.service.page.files import TemporaryFiles
from refseg.service.page.samples import draw_clip
from refseg.service.page.video_answers import VideoAnswered, VideoColumn, ask_video, verdict_of
from refseg.service.page.video_archive import write_video_archive
from refseg.service.problems import Problem
from refseg.service.service import MAX_VIDEOS
from refseg.service.worker import run
from refseg.video.reading import read_frames

VISITOR = SimpleNamespace(session_hash="visitor")
FACTS = {
    "size": [48, 64],
    "frames": 5,
    "answered": 2,
    "unfamiliar": 0,
    "every": 4,
    "seconds": 0.5,
    "playable": True,
    "warnings": ["the <video> is cut off"],
    "expressions": [
        {
            "expression": "the <cup>",
            "verdict": "found in 2 of 2 frames, exists 90.0% to 91.0%",
            "found": 2,
            "first": 0.0,
            "last": 0.4,
            "warnings": ["a <warning>"],
        },
        {
            "expression": "the pen",
            "verdict": "nothing matches in 2 frames: exists 1.0% to 2.0% is below the threshold 50.0%",
            "found": 0,
            "first": None,
            "last": None,
            "warnings": ["a <warning>"],
        },
    ],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("page"))
    yield TemporaryFiles()
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def client(serve):
    with serve(run, Limits(expressions=3, frames=20, megabytes=0.2, queue=4)) as client:
        yield client


@pytest.fixture
def clip(tmp_path):
    first, *others = (Image.fromarray(np.full((32, 32, 3), 40 * t, np.uint8)) for t in range(3))
    first.save(tmp_path / "clip.gif", save_all=True, append_images=others, duration=100)
    return tmp_path / "clip.gif"


@pytest.fixture
def tab(client, files):
    """The part of the page for videos; its functions are called in the event loop of the service."""
    from refseg.service.page.video import VideoTab  # gradio takes seconds to import

    tab = VideoTab(client.service, files, asyncio.to_thread)
    tab.call = lambda name, *given: client.portal.call(getattr(tab, name), *given)
    tab.find_as = partial(tab.find, request=VISITOR)
    return tab


def test_a_video_is_asked_about_in_one_place_of_the_queue_and_saved(client, tab, files, clip, tmp_path):
    found, problem, results, column, shown = tab.call("find_as", str(clip), "the star\nthe ring", ["selector"], 2)
    assert not problem.visible and results.visible and column.visible
    assert "<h3>selector</h3>" in shown and "3 frames of 32 x 32, 2 of them answered" in shown
    assert f"gradio_api/file={found.columns[0].folder}/{OVERLAY}" in shown and "<video controls" in shown
    assert client.service._held == 0 and client.service._videos == 0 and not client.service._futures
    problem, file = tab.call("save", found)
    assert not problem.visible
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        facts = json.loads(archive.read("1_selector/answers.json"))
        lines = [json.loads(line) for line in archive.read(f"1_selector/{ANSWERS}").splitlines()]
        mask = np.asarray(Image.open(io.BytesIO(archive.read("1_selector/masks_2/000002.png"))))
    masks = {f"1_selector/masks_{k}/{t:06d}.png" for k in (1, 2) for t in (0, 2)}
    assert names == {f"1_selector/{name}" for name in ("answers.json", ANSWERS, OVERLAY)} | masks
    assert (facts["video"], facts["weights"], facts["answered"]) == ("clip.gif", "selector", 2)
    assert mask.shape == (32, 32) and mask.sum() == lines[1][1]["area"]
    (found.columns[0].folder / ANSWERS).unlink()
    problem, file = tab.call("save", found)
    assert "no longer kept" in problem.value and problem.visible and file is None
    assert "no longer kept" in tab.call("save", None)[0].value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "say what to find"),
        ("a\nb\nc\nd", "at most 3"),
        ("!?", "is empty; say what to segment"),
        ("a" * 501, "500"),
    ],
)
def test_what_cannot_be_asked_is_told(tab, clip, text, told):
    found, problem, results, *rest = tab.call("find_as", str(clip), text, None, 1)
    assert found is None and told in problem.value and problem.visible and not results.visible
    assert all(one == "" or not one.visible for one in rest)


def test_videos_that_cannot_be_taken_are_told(client, tab, clip, tmp_path):
    def told(path):
        return tab.call("find_as", path, "the star", ["selector"], 1)[1].value

    assert "choose a video first" in told(None)
    assert "no longer kept" in told(str(tmp_path / "gone.mp4"))
    (tmp_path / "large.mp4").write_bytes(bytes(300_000))
    assert "0.3 MB; at most 0.2 are taken" in told(str(tmp_path / "large.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    assert ">text.mp4 is neither an image nor a video" in told(str(tmp_path / "text.mp4"))
    first, *others = (Image.new("RGB", (8, 8), (t, t, 9 * t)) for t in range(21))
    first.save(tmp_path / "long.gif", save_all=True, append_images=others)
    assert "has 21 frames, at most 20 are allowed here" in told(str(tmp_path / "long.gif"))


def test_a_video_that_is_not_answered_in_time_is_told_what_takes_less(serve, files, clip):
    def fall_silent(connection, setup):
        connection.send(Ready("cpu", (WeightsFacts("selector", "abc", "selector", "drawn scenes", True),)))
        while connection.recv() is not None:
            pass

    with serve(fall_silent, Limits(seconds=0.1)) as client, pytest.raises(Problem, match="fewer of its frames"):
        client.portal.call(ask_video, client.service, files, clip, ["the star"], [None], 1)


def test_few_videos_are_answered_at_once(client, files, clip, monkeypatch):
    monkeypatch.setattr(client.service, "_videos", MAX_VIDEOS)
    with pytest.raises(Problem, match="2 videos of others are being answered"):
        client.portal.call(ask_video, client.service, files, clip, ["the star"], [None], 1)


def test_weights_that_fail_leave_the_answers_of_others(client, files, clip, monkeypatch):
    answer_video = client.service.answer_video

    async def fail_once(*given):
        if given[5] is None:
            raise Problem(503, "worker_died", "the worker that had this video has died")
        return await answer_video(*given)

    monkeypatch.setattr(client.service, "answer_video", fail_once)
    first, second = client.portal.call(
        ask_video, client.service, files, clip, ["the star"], [None, "selector"], 1
    ).columns
    assert first.problem == "the worker that had this video has died" and second.facts["answered"] == 3


def test_what_users_and_networks_wrote_is_escaped(tmp_path):
    from refseg.service.page.video import format_column

    text = format_column(VideoColumn("a/<b>", tmp_path / "it's", FACTS))
    for raw in ("<b></h3>", "<cup>", "<warning>", "<video> is"):
        assert raw not in text
    assert text.count("a &lt;warning&gt;") == 1 and "the &lt;video&gt; is cut off" in text
    assert "from 0.0 s to 0.4 s" in text and "nothing matches in 2 frames" in text
    assert "a &lt;problem&gt;" in format_column(VideoColumn("a", tmp_path, {}, "a <problem>"))


def test_a_video_that_browsers_do_not_play_is_not_offered(tmp_path):
    from refseg.service.page.video import format_column

    text = format_column(VideoColumn("a", tmp_path, {**FACTS, "playable": False}))
    assert "<video" not in text and "it is in the .zip" in text


def test_the_answer_to_a_video_says_when():
    one = FACTS["expressions"][0]
    assert verdict_of(one).endswith("; from 0.0 s to 0.4 s")
    assert verdict_of({**one, "first": 0.44, "last": 0.4}).endswith("; at 0.4 s")


def test_an_archive_passes_over_weights_without_an_answer(tmp_path):
    write_video_archive(VideoAnswered("a.mp4", (VideoColumn("a", tmp_path, {}, "no"),)), tmp_path / "a.zip")
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == []


def test_a_drawn_clip_comes_with_sentences_about_it(tmp_path):
    expressions = draw_clip(random.Random(0), tmp_path / "clip.mp4")
    frames = list(read_frames(tmp_path / "clip.mp4"))
    assert 25 <= len(frames) <= 32 and frames[0].pixels.shape == (128, 128, 3) and 1 <= len(set(expressions)) <= 3


def test_the_page_tells_that_pyav_is_missing(client, monkeypatch):
    from refseg.service.page import video

    def fail():
        raise InvalidInput("a video needs PyAV")

    monkeypatch.setattr(video, "encoder", fail)
    assert video._missing() == "a video needs PyAV"


def test_weights_for_videos_alone_are_not_offered_for_images(tmp_path):
    from refseg.service.page.layout import Page

    setup = SimpleNamespace(by_image=False, weights=("selector", "selector_video"), for_videos="selector_video")
    service = SimpleNamespace(setups=[setup])
    page = Page(service, None)
    assert [name for _, name in page.image.choices] == ["selector"]
    assert [name for _, name in page.video.choices] == ["", "selector", "selector_video"]


def test_how_far_the_answer_is_is_shown_while_it_is_computed(client, tab, clip, monkeypatch):
    from refseg.service.page import video as module

    shown, ask_video = [], module.ask_video

    async def ask_and_look(*given):
        *given, note = given

        def look(progress):
            note(progress)
            shown.append(tab.show_progress(VISITOR)[0].value)

        assert all("value" not in one for one in await tab.find_as(str(clip), "the ring", None, 1))  # another click
        shown.append(tab.show_progress(VISITOR)[0].value)
        return await ask_video(*given, look)

    monkeypatch.setattr(module, "ask_video", ask_and_look)
    assert tab.begin(VISITOR)[2].active
    bar, timer = tab.show_progress(VISITOR)  # a look before the question is there
    assert bar.visible and timer.active
    tab.call("find_as", str(clip), "the star", ["selector"], 1)
    assert all("waiting" in text and "value=" not in text for text in shown[:2])
    assert [f'value="{k}" max="3"' in text for k, text in enumerate(shown[2:], start=1)] == [True] * 3
    assert "selector: frame 2 of 3" in shown[3]
    bar, timer = tab.show_progress(VISITOR)
    assert not bar.visible and not timer.active
    assert "frame 7<" in module.format_progress(VideoProgress(1, "a", 7, None))


def test_weights_that_suit_and_are_named_too_answer_about_a_video_once(client, files, clip):
    found = client.portal.call(ask_video, client.service, files, clip, ["the star"], [None, "selector"], 2)
    assert [column.weights for column in found.columns] == ["selector"]
