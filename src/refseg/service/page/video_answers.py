"""Asking a service about a video for the page, and the answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.errors import InvalidInput
from refseg.service.messages import VideoProgress
from refseg.service.page.answers import check_asked
from refseg.service.page.files import TemporaryFiles
from refseg.service.problems import Problem
from refseg.service.service import Service


@dataclass(frozen=True)
class VideoColumn:
    """All that one network says of a video.

    Attributes:
        weights: its name.
        folder: folder of the files that `answer_video` writes.
        facts: its `VideoFacts`; {} if it could not answer.
        problem: why not.
    """

    weights: str
    folder: Path
    facts: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True)
class VideoAnswered:
    """A video and what networks say of it.

    Attributes:
        name: name of the video file.
        columns: one for each of the weights.
    """

    name: str
    columns: tuple[VideoColumn, ...]


async def ask_video(
    service: Service,
    files: TemporaryFiles,
    video: Path,
    expressions: Sequence[str],
    weights: Sequence[str | None],
    every: int,
    on_progress: Callable[[VideoProgress | None], None] = lambda _: None,
) -> VideoAnswered:
    """Asks a service about a video, the weights one after the other, in one place of its queue.

    Args:
        service: the service.
        files: where the answers are written.
        video: path of a video file.
        expressions: about it.
        weights: names; None is what suits the video.
        every: how many frames from one that is answered to the next.
        on_progress: function that receives how far the answer of each of the weights is; None while it waits.

    Raises:
        InvalidInput: if there is no expression.
        Problem: if the service has no place, or there are more expressions than it allows, or longer ones, or none of
            the weights can answer.
    """
    if not video.is_file():
        raise InvalidInput("the video is no longer kept: choose it again")
    check_asked("video", video.stat().st_size, expressions, service.limits)
    columns: list[VideoColumn] = []
    problems: list[Problem] = []
    with service.request("/") as slots:
        for name in weights:
            if any(column.weights == name for column in columns):  # they were those that suit the video
                continue
            on_progress(None)
            folder, given = files.new_folder(), (video, video.name)
            try:
                said = await service.answer_video(slots, *given, folder, expressions, name, every, on_progress)
                columns.append(VideoColumn(said.weights, folder, json.loads(said.body)))
            except Problem as problem:
                problems.append(problem)
                columns.append(VideoColumn(name or "what suits the video", folder, {}, problem.detail))
        if len(problems) == len(columns):
            raise problems[0]
    return VideoAnswered(video.name, tuple(columns))


def verdict_of(answer: dict[str, Any]) -> str:
    """Returns the answer to an expression over a whole video, `ExpressionFacts` as a dictionary, in words."""
    if not answer["found"]:
        return str(answer["verdict"])
    first, last = f"{answer['first']:.1f} s", f"{answer['last']:.1f} s"
    return f"{answer['verdict']}; {f'at {first}' if first == last else f'from {first} to {last}'}"
