"""Videos in a worker: answered in turn with images, bounded, told in one line what cannot be answered."""

import hashlib
import io
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.service import answer_video as answer_video_module
from refseg.service.answer_video import ANSWERS, OVERLAY, choose_weights
from refseg.service.answering import Answering
from refseg.service.limits import Limits
from refseg.service.messages import Answer, BatchDone, Format, Job, Refusal, Setup, VideoJob, VideoProgress
from refseg.service.problems import Problem
from refseg.video.reading import read_frames
from refseg.video.writer import video_writer

FRAMES, SIDE = 4, 32


def pixels(t: int) -> np.ndarray:
    frame = np.full((SIDE, SIDE, 3), 90, np.uint8)
    frame[8:20, 4 + t : 16 + t] = 220, 40, 40
    return frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Four small frames as an animation."""
    return animation(tmp_path_factory.mktemp("videos") / "clip.gif", FRAMES)


def animation(path: Path, count: int) -> Path:
    first, *others = (Image.fromarray(pixels(t)) for t in range(count))
    first.save(path, save_all=True, append_images=others, duration=200)
    return path


@pytest.fixture(scope="module")
def loaded():
    setup = Setup(("selector", "selector_video"), "cpu", Limits(), for_videos="selector_video")
    with Answering(setup, list().append) as answering:
        yield answering


@pytest.fixture
def answering(loaded):
    loaded.said, loaded._stopped = [], False
    loaded._send = loaded.said.append
    return loaded


@pytest.fixture
def ask(answering, clip, tmp_path):
    """Answers a job about a video to its end; what was said of it."""

    def ask_once(video=clip, **more) -> Answer | Refusal:
        answering.prepare(video_job(tmp_path, video, **more))
        while answering._videos:
            answering._videos.advance()
        *progress, said = answering.said
        assert all(isinstance(one, VideoProgress) for one in progress)
        return said

    return ask_once


def video_job(
    folder, video, number=1, expressions=("the red square",), weights="selector", every=1, **more
) -> VideoJob:
    settings = {"deadline": time.monotonic() + 60, **more}
    return VideoJob(number, str(video), video.name, str(folder), tuple(expressions), weights, every, **settings)


def limited(answering, monkeypatch, **limits) -> None:
    setup = Setup(answering.setup.weights, "cpu", Limits(**limits), for_videos=answering.setup.for_videos)
    monkeypatch.setattr(answering._videos, "_setup", setup)


def test_a_video_is_answered_as_the_library_does(answering, ask, clip, tmp_path):
    said = ask(expressions=["the red square", "the star"])
    facts, segmenter = json.loads(said.body), answering.segmenters["selector"]
    lines = [json.loads(line) for line in (tmp_path / ANSWERS).read_text().splitlines()]
    video = segmenter.video(clip, ["the red square", "the star"], frames_at_once=1)
    expected = [[one.to_dict() for one in some] for some in video]
    for answer in (one for some in [*lines, *expected] for one in some):
        del answer["warnings"]  # which say how users of the page, or of Python, go on
    assert lines == json.loads(json.dumps(expected))
    assert (facts["frames"], facts["answered"], facts["size"], facts["seconds"]) == (4, 4, [SIDE, SIDE], 0.6)
    for k, one in enumerate(facts["expressions"]):
        found = [some[k]["seconds"] for some in expected if some[k]["found"]]
        assert one["found"] == len(found) and (one["first"], one["last"]) == (
            min(found, default=None),
            max(found, default=None),
        )
        assert "4 frames" in one["verdict"]
    assert [round(float(frame.time), 3) for frame in read_frames(tmp_path / OVERLAY)] == [0, 0.2, 0.4, 0.6]
    assert facts["playable"] == (answer_video_module.encoder() == "libx264")


def test_each_expression_has_its_colour_in_the_overlay_also_between_answers(ask, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        answer_video_module,
        "coloured",
        lambda image, regions, colours: drawn.append((len(list(regions)), colours)) or image,
    )
    said = json.loads(ask(expressions=["the red square"], every=3).body)
    lines = [json.loads(line)[0] for line in (tmp_path / ANSWERS).read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 3] and (said["frames"], said["answered"], said["every"]) == (
        4,
        2,
        3,
    )
    found = [int(line["found"]) for line in lines]
    assert [count for count, _ in drawn] == [found[0]] * 3 + [found[1]]
    assert all(colours == [answer_video_module.COLOURS[0]] * count for count, colours in drawn)
    frames = list(read_frames(tmp_path / OVERLAY))
    assert len(frames) == 4 and frames[0].pixels.shape == (640, 640, 3)


def test_between_frames_of_videos_others_are_answered(answering, clip, tmp_path):
    file = io.BytesIO()
    Image.fromarray(pixels(0)).save(file, "PNG")
    image = file.getvalue()
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        answering.prepare(video_job(tmp_path / str(number), clip, number))
    steps, advance = [], answering._videos.advance

    def watch():
        steps.append(len(answering.said))
        if len(steps) == 3:  # each video has a frame, no more
            digest, until = hashlib.sha256(image).hexdigest(), time.monotonic() + 60
            answering.prepare(Job(3, image, digest, ("the star",), "selector", None, Format.JSON, until))
            while not answering._waiting:
                time.sleep(0.005)
        advance()

    answering._videos.advance = watch
    try:
        loop = threading.Thread(target=answering.loop)
        loop.start()
        while sum(isinstance(one, Answer) for one in answering.said) < 3:
            time.sleep(0.005)
    finally:
        del answering._videos.advance
        answering.stop()
        loop.join()
    assert [one.number for one in answering.said if isinstance(one, Answer)] == [3, 1, 2]
    assert [one.images for one in answering.said if isinstance(one, BatchDone)] == [1]
    assert [len((tmp_path / str(k) / ANSWERS).read_text().splitlines()) for k in (1, 2)] == [FRAMES] * 2


def test_videos_that_are_not_finished_are_closed_at_the_end(answering, clip, tmp_path):
    answering.prepare(video_job(tmp_path, clip))
    answering._videos.advance()
    (running,) = answering._videos._running
    answering.stop()
    answering.loop()
    assert not answering._videos and running.steps.gi_frame is None
    assert answering.said == [VideoProgress(1, "selector", 1, FRAMES)]


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b"nonsense", 422, "video.mp4 is neither an image nor a video that can be read"),
        (b"", 422, "video.mp4 is empty"),
        (b"\0\0\0\x20ftypisom" + bytes(100), 422, "video.mp4 is neither an image nor a video that can be read"),
        (None, 422, "video.mp4 is no longer kept; give it again"),
    ],
)
def test_what_is_no_video_is_told_by_its_name(ask, tmp_path, content, status, told):
    if content is not None:
        (tmp_path / "video.mp4").write_bytes(content)
    said = ask(tmp_path / "video.mp4")
    assert said.status == status and told in said.detail and str(tmp_path) not in said.detail
    assert "\n" not in said.detail


@pytest.mark.parametrize("known", [True, False])
def test_how_far_a_video_is_answered_is_told(answering, ask, clip, monkeypatch, known):
    if not known:
        monkeypatch.setattr(answer_video_module, "_open", lambda _: read_frames(pixels(t) for t in range(FRAMES)))
    ask(every=2)
    count = FRAMES if known else None
    assert answering.said[:-1] == [VideoProgress(1, "selector", frames, count) for frames in (1, 3)]


@pytest.mark.parametrize(("caller", "way_out"), [("page", "choose the tab Video"), ("http", "refseg segment")])
def test_a_video_in_the_place_of_an_image_is_told(answering, caller, way_out):
    video = b"\0\0\0\x20ftypisom" + bytes(100)
    job = Job(1, video, "", ("x",), "selector", None, Format.JSON, time.monotonic() + 60, caller=caller)
    with pytest.raises(Problem, match=f"this is a video, not an image; .*{way_out}") as told:
        answering.read(job)
    assert told.value.status == 415


def test_a_single_image_is_told(ask, tmp_path):
    Image.fromarray(pixels(0)).save(tmp_path / "a.png")
    assert ask(tmp_path / "a.png").detail.startswith("a.png is a single image: choose the tab Image")


def test_frames_of_another_size_end_the_video_which_is_told(ask, tmp_path, monkeypatch):
    source = tmp_path / "changing.gif"
    animation(source, 2)

    def read(_):
        return read_frames([pixels(0), pixels(1), pixels(2)[:20]])

    monkeypatch.setattr(answer_video_module, "_open", read)
    facts = json.loads(ask(source).body)
    assert facts["answered"] == 2 and "the video ends there" in facts["warnings"][0]


def test_what_is_too_long_or_too_large_is_refused(answering, ask, clip, monkeypatch):
    limited(answering, monkeypatch, frames=3)
    said = ask()
    assert said.status == 413 and "has 4 frames, at most 3 are allowed here" in said.detail
    answering.said.clear()
    monkeypatch.setattr(answer_video_module, "_open", lambda _: read_frames(pixels(t) for t in range(9)))
    said = ask()
    assert said.status == 413 and "more frames than the 3 that are allowed here" in said.detail
    answering.said.clear()
    monkeypatch.undo()
    limited(answering, monkeypatch, megapixels=0.001)
    said = ask()
    assert said.status == 413 and f"({SIDE} x {SIDE}), at most 0.001" in said.detail
    answering.said.clear()
    monkeypatch.undo()
    monkeypatch.setattr(answer_video_module, "MAX_ANSWER_BYTES", 10)
    assert "ask about fewer expressions" in ask().detail


def test_the_size_in_a_header_is_looked_at_before_a_frame_is_decoded(answering, tmp_path, monkeypatch):
    with video_writer(tmp_path / "a.mp4", (SIDE, SIDE), read_frames([pixels(0)]).time_base) as write:
        write(0, pixels(0))
    assert read_frames(tmp_path / "a.mp4").size_hw == (SIDE, SIDE)
    assert read_frames(animation(tmp_path / "a.gif", 2)).size_hw == (SIDE, SIDE)


def test_what_is_late_is_stopped_between_frames(answering, ask, monkeypatch):
    answered, video = [], answering.segmenters["selector"].video

    def counting(*given, **more):
        for results in video(*given, **more):
            answered.append(results[0].index)
            yield results

    monkeypatch.setattr(answering.segmenters["selector"], "video", counting)
    monkeypatch.setattr(
        answer_video_module, "time", type("Clock", (), {"monotonic": lambda: 100.0 if len(answered) >= 2 else 0.0})
    )
    said = ask(deadline=60.0)
    assert said.code == "timeout" and answered == [0, 1] and "2 of 4 frames were answered" in said.detail


def test_without_named_weights_those_for_videos_answer_and_those_for_photographs_what_is_no_drawn_clip(answering, clip):
    job = video_job(Path(), clip, weights=None)
    assert choose_weights(job, answering.segmenters, answering.setup) == "selector_video"
    named = Setup(("selector", "selector_video"), "cpu", Limits())
    assert choose_weights(job, answering.segmenters, named) == "selector_video"
    assert (
        choose_weights(job, {"selector": answering.segmenters["selector"]}, Setup(("selector",), "cpu", Limits()))
        == "selector"
    )

    class Knowing:
        def __init__(self, known):
            self.known = known

        def knows(self, image):
            return self.known

    by_image = Setup(
        ("selector", "reader", "selector_video"), "cpu", Limits(), by_image=True, for_videos="selector_video"
    )
    for known, expected in ((False, "reader"), (True, "selector_video")):
        assert choose_weights(job, {"selector": Knowing(known)}, by_image) == expected


def test_weights_for_videos_do_not_take_images_and_say_which_do(answering):
    file = io.BytesIO()
    Image.fromarray(pixels(0)).save(file, "PNG")
    job = Job(1, file.getvalue(), "", ("the star",), "selector_video", None, Format.JSON, time.monotonic() + 60)
    with pytest.raises(Problem, match="'selector_video' answer about videos, not about images; choose 'selector'"):
        answering.read(job)


def test_a_drawn_clip_is_answered_by_weights_that_take_clips(ask, tmp_path):
    drawn = DrawnClips("test", 9)[8]
    with video_writer(tmp_path / "drawn.mp4", drawn.size_hw, read_frames(drawn).time_base) as write:
        for frame in read_frames(drawn):
            write(frame.time, frame.pixels)
    said = ask(tmp_path / "drawn.mp4", expressions=["the white disk that moves down"], weights=None, every=4)
    (one,) = json.loads(said.body)["expressions"]
    assert (
        said.weights == "selector_video" and one["found"] == 3 and one["verdict"].startswith("found in 3 of 3 frames")
    )
