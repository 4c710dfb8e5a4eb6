"""The answer to expressions about a video, computed frame by frame, so that other work can be done in between.

Memory     a few frames; masks are written as they come, and frames as they are drawn.
Files      `OVERLAY`, the video with all masks drawn on it; `ANSWERS`, a line of JSON for each frame that is answered, a
           list with `FrameResult.to_dict()` of each expression.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from refseg.array_types import Mask, RgbImage
from refseg.counting import counted
from refseg.errors import InvalidInput
from refseg.inference.results import FrameResult
from refseg.inference.segmenter import Segmenter
from refseg.inference.verdicts import FramesVerdict
from refseg.masks.overlay import COLOURS, coloured
from refseg.masks.pictures import (
    SIDE,
    UNFAMILIAR,
    enlarged,
    enlarged_mask,
    greyed,
    reduced,
    resized_mask,
    whole_factor,
    with_banner,
)
from refseg.preprocessing.images import read_image
from refseg.service.limits import Limits
from refseg.service.messages import Setup, VideoJob
from refseg.service.problems import Problem
from refseg.video.frames import Frames, size_text
from refseg.video.reading import is_video, read_frames
from refseg.video.writer import encoder, video_writer

OVERLAY, ANSWERS = "overlay.mp4", "frames.jsonl"
PLAYABLE = "libx264"  # the encoder whose videos browsers play
MAX_ANSWER_BYTES = 100e6  # of the file of answers
LARGEST_SIDE = 1280  # pixels of the overlay video
FRAMES_AT_ONCE = 8  # that a GPU computes together; a CPU one, since several are no faster, and others wait for them
Step = tuple[int, int | None]
"""Number of frames up to the last one that was answered, and of all; None if the file does not say it."""
SPARE = 0.02  # part of the time for an answer in which a worker tells that it ends too early


@dataclass
class ExpressionFacts:
    """The answer to an expression over a whole video.

    Attributes:
        expression: the expression.
        verdict: the answer in words.
        found: number of frames in which something was found.
        first: seconds from the beginning of the video to the first of these frames; None if there is none.
        last: the same of the last one.
        warnings: one line each, over all frames.
    """

    expression: str
    verdict: str
    found: int
    first: float | None
    last: float | None
    warnings: list[str]


@dataclass
class VideoFacts:
    """Facts on an answered video, besides its files.

    Attributes:
        size: height and width of its frames.
        frames: number of its frames.
        answered: number of those that were answered.
        unfamiliar: number of those that are unlike what the weights were trained on.
        every: how many frames from one that is answered to the next.
        seconds: time of its last frame.
        playable: whether browsers play the overlay video.
        warnings: one line for each thing that was wrong with the video.
        expressions: the answers.
    """

    size: tuple[int, int]
    frames: int
    answered: int
    unfamiliar: int
    every: int
    seconds: float
    playable: bool
    warnings: list[str]
    expressions: list[ExpressionFacts]


@dataclass
class _Found:
    """The answers to an expression so far."""

    verdict: FramesVerdict = field(default_factory=FramesVerdict)
    times: list[float] = field(default_factory=list)  # of the first and the last frame in which it was found
    warnings: dict[str, None] = field(default_factory=dict)

    def add(self, result: FrameResult) -> None:
        reason = result.reading.reason if result.reading else ""
        self.verdict.add(result.found, result.exists, result.exists_threshold, reason, result.familiar)
        if result.found:
            self.times[1:] = [result.seconds]
        self.warnings.update(dict.fromkeys(result.warnings))

    def facts(self, expression: str) -> ExpressionFacts:
        first, last = (self.times[0], self.times[-1]) if self.times else (None, None)
        return ExpressionFacts(expression, str(self.verdict), self.verdict.found, first, last, list(self.warnings))


def choose_weights(job: VideoJob, segmenters: dict[str, Segmenter], setup: Setup) -> str:
    """Returns the name of the weights that answer about a video.

    Where the job names none, those for videos do, or the first ones; of a video that is no drawn clip those for
    photographs, if weights are chosen by the image.

    Raises:
        InvalidInput: if it is no video.
    """
    if job.weights is not None:
        return job.weights
    if setup.by_image:
        first = next(iter(_open(job)))
        if segmenters[setup.weights[0]].knows(first.pixels) is False:
            return setup.weights[1]
    of_clips = (name for name, segmenter in segmenters.items() if segmenter.network.frames > 1)
    return setup.for_videos or next(of_clips, setup.weights[0])


def answer_video(job: VideoJob, segmenter: Segmenter, limits: Limits) -> Generator[Step, None, bytes]:
    """Answers expressions about a video in steps: each answers some frames, the last one returns JSON of `VideoFacts`.

    Raises:
        InvalidInput: if it is no video, or an expression cannot be read.
        Problem: if it is larger or longer than allowed, or not answered in time.
    """
    segmenter.check(job.expressions)
    frames = _open(job)
    if frames.size_hw is not None:
        _check_size(frames.size_hw, limits)
    if frames.count is not None and frames.count > limits.frames:
        raise _too_long(frames.count, limits)
    watched, on_cpu = _Watched(frames, job, limits), next(segmenter.network.parameters()).device.type == "cpu"
    at_once = 1 if on_cpu else max(1, FRAMES_AT_ONCE // job.every)  # those in between are kept until they are drawn
    unfamiliar, found = 0, [_Found() for _ in job.expressions]
    with ExitStack() as stack:
        lines = stack.enter_context((Path(job.folder) / ANSWERS).open("wb"))
        draw = _Overlay(stack, Path(job.folder) / OVERLAY, frames.time_base)
        for results in segmenter.video(watched.frames, job.expressions, every=job.every, frames_at_once=at_once):
            watched.answered += 1
            unfamiliar += not results[0].familiar
            draw.add(watched.take(results[0].index), results)
            for one, result in zip(found, results, strict=True):
                one.add(result)
            lines.write(json.dumps([result.to_dict() for result in results], allow_nan=False).encode() + b"\n")
            if lines.tell() > MAX_ANSWER_BYTES:
                raise Problem(
                    413,
                    "too_large",
                    f"the masks of this video take over {MAX_ANSWER_BYTES / 1e6:g} MB; ask about fewer expressions",
                )
            watched.check_time()
            yield results[0].index + 1, frames.count
        draw.add(watched.take(None), None)
    facts = VideoFacts(
        size=watched.size_hw,
        frames=watched.read,
        answered=watched.answered,
        unfamiliar=unfamiliar,
        every=job.every,
        seconds=round(float(watched.last), 3),
        playable=encoder() == PLAYABLE,
        warnings=[text.replace(job.video, job.name) for text in frames.remarks],
        expressions=[one.facts(expression) for one, expression in zip(found, job.expressions, strict=True)],
    )
    return json.dumps(asdict(facts), allow_nan=False).encode()


def _open(job: VideoJob) -> Frames:
    path = Path(job.video)
    try:
        if not is_video(path):
            read_image(path)  # which tells what is wrong with it
            raise InvalidInput(f"{path} is a single image: choose the tab Image, or give a video")
        return read_frames(path)
    except FileNotFoundError as error:
        raise InvalidInput(f"{job.name} is no longer kept; give it again") from error
    except InvalidInput as error:
        raise InvalidInput(str(error).replace(job.video, job.name)) from error


class _Watched:
    """The frames of a video on their way to the network, counted and bounded, kept until they are drawn.

    Attributes:
        frames: the frames for the network.
        answered: number of frames that were answered.
        read: number of frames that were read.
        last: time of the last one.
        size_hw: height and width of the frames.
    """

    def __init__(self, frames: Frames, job: VideoJob, limits: Limits):
        self._given, self._job, self._limits = frames, job, limits
        self.frames = Frames(frames.name, self._read, frames.count, frames.time_base)
        self.answered, self.read, self.last, self.size_hw = 0, 0, Fraction(0), (0, 0)
        self._undrawn = deque[tuple[Fraction, RgbImage]]()

    def take(self, index: int | None) -> Iterator[tuple[Fraction, RgbImage]]:
        """Yields times and pixels of the frames that are not drawn yet and come before this one, or all of them."""
        before = self.read if index is None else index
        while self._undrawn and self.read - len(self._undrawn) < before:
            yield self._undrawn.popleft()
        if index is not None:
            yield self._undrawn.popleft()

    def check_time(self) -> None:
        """Raises Problem if the answer would be late."""
        if time.monotonic() > self._job.deadline - SPARE * self._limits.seconds:
            count = self._given.count
            answered = f"{self.answered} of {counted(count, 'frame')}" if count else counted(self.answered, "frame")
            raise Problem(
                504,
                "timeout",
                f"{answered} were answered within {self._limits.seconds:g} seconds, which does not suffice; "
                f"{self._job.way_out}",
            )

    def _read(self, remarks: list[str]) -> Iterator[tuple[Fraction, RgbImage]]:
        for frame in self._given:
            if frame.index >= self._limits.frames:
                raise _too_long(None, self._limits)
            self.size_hw = frame.pixels.shape[0], frame.pixels.shape[1]
            _check_size(self.size_hw, self._limits)
            self.check_time()
            self._undrawn.append((frame.time, reduced(frame.pixels, LARGEST_SIDE)))
            self.read, self.last = frame.index + 1, frame.time
            yield frame.time, frame.pixels
        remarks += self._given.remarks


class _Overlay:
    """A video with masks, in one colour for each expression; between answers it keeps the last masks.

    Frames that the weights do not know are grey, with a banner, as `refseg segment` draws them.
    """

    def __init__(self, stack: ExitStack, path: Path, time_base: Fraction):
        self._stack, self._path, self._time_base = stack, path, time_base
        self._write: Callable[[Fraction, RgbImage], None] | None = None
        self._regions: list[tuple[int, Mask]] = []
        self._familiar = True

    def add(self, frames: Iterator[tuple[Fraction, RgbImage]], results: list[FrameResult] | None) -> None:
        """Draws frames; the last one of them, if there are results, with these."""
        waiting: tuple[Fraction, RgbImage] | None = None
        for frame in frames:
            if waiting:
                self._draw(*waiting)
            waiting = frame
        if waiting and results:
            self._familiar = all(result.familiar for result in results)
            size_hw = waiting[1].shape[0], waiting[1].shape[1]
            by_area = sorted(enumerate(results), key=lambda pair: -pair[1].area)  # what is small is drawn on top
            self._regions = [(k, resized_mask(one.mask, size_hw)) for k, one in by_area if one.found]
        if waiting:
            self._draw(*waiting)

    def _draw(self, moment: Fraction, pixels: RgbImage) -> None:
        factor = whole_factor((pixels.shape[0], pixels.shape[1]), SIDE)
        regions = (enlarged_mask(region, factor) for _, region in self._regions)
        drawn = coloured(enlarged(pixels, factor), regions, [COLOURS[k % len(COLOURS)] for k, _ in self._regions])
        if not self._familiar:
            drawn = np.asarray(with_banner(greyed(drawn), UNFAMILIAR))
        if self._write is None:
            size_hw = drawn.shape[0], drawn.shape[1]
            self._write = self._stack.enter_context(video_writer(self._path, size_hw, self._time_base))
        self._write(moment, drawn)


def _check_size(size_hw: tuple[int, int], limits: Limits) -> None:
    megapixels = size_hw[0] * size_hw[1] / 1e6
    if megapixels > limits.megapixels:
        raise Problem(
            413,
            "too_large",
            f"the frames have {megapixels:.1f} megapixels ({size_text(size_hw)}), at most {limits.megapixels:g} are "
            "allowed here; make the video smaller first",
        )


def _too_long(count: int | None, limits: Limits) -> Problem:
    has = f"{counted(count, 'frame')}, at most" if count else "more frames than the"
    allowed = f"{limits.frames} {'are' if count else 'that are'} allowed here"
    detail = f"the video has {has} {allowed}; cut it, or segment it with the command refseg segment"
    return Problem(413, "too_large", detail)
