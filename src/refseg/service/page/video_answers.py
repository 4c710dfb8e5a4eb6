"""Asking a service about a video for the page, and the answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.errors import InvalidInput
from refseg.masks.pictures import UNFAMILIAR
from refseg.service.page.files import TemporaryFiles
from refseg.service.problems import Problem
from refseg.service.requests import check_expressions
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
) -> VideoAnswered:
    """Asks a service about a video, the weights one after the other, in one place of its queue.

    Args:
        service: the service.
        files: where the answers are written.
        video: path of a video file.
        expressions: about it.
        weights: names; None is what suits the video.
        every: how many frames from one that is answered to the next.

    Raises:
        InvalidInput: if there is no expression, or no answer.
        Problem: if the service has no place, or there are more expressions than it allows.
    """
    if not expressions:
        raise InvalidInput("say what to find: one expression a line")
    if not video.is_file():
        raise InvalidInput("the video is no longer kept: choose it again")
    size = video.stat().st_size
    if size > service.limits.megabytes * 1e6:
        raise InvalidInput(f"the video has {size / 1e6:.1f} MB; at most {service.limits.megabytes:g} are taken")
    columns = []
    with service.request("/") as slots:
        check_expressions(expressions, service.limits)
        for name in weights:
            folder = files.new_folder()
            try:
                said = await service.answer_video(slots, video, video.name, folder, expressions, name, every)
                columns.append(VideoColumn(said.weights, folder, json.loads(said.body)))
            except Problem as problem:
                columns.append(VideoColumn(name or "what suits the video", folder, {}, problem.detail))
    if all(column.problem for column in columns):
        raise InvalidInput(columns[0].problem)
    return VideoAnswered(video.name, tuple(columns))


def verdict_of(answer: dict[str, Any], facts: dict[str, Any]) -> str:
    """Returns the answer to an expression over a whole video in words.

    Args:
        answer: `ExpressionFacts` as a dictionary.
        facts: the `VideoFacts` that it is a part of.
    """
    when = f"; from {answer['first']:.1f} s to {answer['last']:.1f} s" if answer["found"] else ""
    if facts["unfamiliar"] == facts["answered"]:
        return f"{UNFAMILIAR} ({answer['verdict']}{when})"
    strange = f"; {facts['unfamiliar']} of them unlike what these weights know" if facts["unfamiliar"] else ""
    return f"{answer['verdict']}{strange}{when}"
