"""Answers of an unfinished run, a line for each answered frame: stopping it costs the frames in work only."""

import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from refseg.errors import InvalidInput, UnwritableOutput, first_line
from refseg.files.resumable import cut_to_whole_lines

RUN, ANSWERS = "run.json", "answers.jsonl"


class PartialAnswers:
    """The answers so far, in a folder that is made with the first of them.

    Attributes:
        folder: where they are.
        frames: how many have been answered.
        last: the last frame that has been answered; None if there is none.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]):
        """Reads what an earlier run left.

        Args:
            folder: where the answers are, or will be.
            run: whatever makes answers those of one run: video, weights, expressions.

        Raises:
            InvalidInput: if the folder holds answers of another run.
        """
        self.folder, self.frames = folder, 0
        self.last: int | None = None
        self._run, self._file = json.loads(json.dumps(run)), folder / ANSWERS
        if not self._file.exists():
            return
        try:
            before = dict(json.loads((folder / RUN).read_text(encoding="utf-8")))
            other = next((name for name in self._run if before.get(name) != self._run[name]), None)
            if other is None:
                cut_to_whole_lines(self._file)
                for answers in self:
                    self.frames, self.last = self.frames + 1, int(answers[0]["frame"])
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise InvalidInput(
                f"{folder} holds an unfinished run that is damaged ({first_line(error)}); remove it to start again"
            ) from error
        if other is not None:
            raise InvalidInput(
                f"{folder} holds an unfinished run with another {other}; repeat that command to finish it, give "
                "another --out, or remove the folder to start again"
            )

    def write(self, answers: list[dict[str, Any]]) -> None:
        """Adds the answers to one frame, one for each expression; they are with the operating system on return.

        Raises:
            UnwritableOutput: if they cannot be written.
        """
        try:
            if self.last is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / RUN).write_text(json.dumps(self._run, indent=1) + "\n", encoding="utf-8")
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(answers, allow_nan=False) + "\n")
        except OSError as error:
            raise UnwritableOutput(
                f"{self.folder} cannot be written ({error.strerror}); make room and repeat the command, or choose "
                "another place with --out"
            ) from error
        self.frames, self.last = self.frames + 1, answers[0]["frame"]

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        """The answers to frame after frame."""
        with self._file.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    def remove(self) -> None:
        """Removes the folder, when the results are written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def stamp(path: Path) -> list[str | int]:
    """What tells a file, or the files of a folder, from others and from what they were before they changed."""
    facts = []
    for file in path.iterdir() if os.path.isdir(path) else [path]:
        with suppress(OSError):  # of what cannot be looked at
            facts.append(file.stat())
    facts = [fact for fact in facts if stat.S_ISREG(fact.st_mode)]
    newest = max((fact.st_mtime_ns for fact in facts), default=0)
    return [str(path.resolve()), len(facts), sum(fact.st_size for fact in facts), newest]
