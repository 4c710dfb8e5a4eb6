"""Answers of an unfinished run about a video, a line for each answered frame."""

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from refseg.files.resumable import ResumableLines


class PartialAnswers(ResumableLines):
    """The answers so far: each line is a list with an answer for each expression.

    Attributes:
        last: the last frame that has been answered; None if there is none.
    """

    kind = "an unfinished run"

    def __init__(self, folder: Path, run: Mapping[str, Any]):
        self.last: int | None = None
        super().__init__(folder, run)

    @property
    def frames(self) -> int:
        """Number of frames that have been answered."""
        return self.count

    @property
    def removed(self) -> Path:
        """The folder, which holds nothing else."""
        return self.folder

    def note(self, line: Any) -> None:
        """Takes notice of the answers to a frame."""
        self.last = int(line[0]["frame"])
        super().note(line)

    def remove(self) -> None:
        """Removes the folder, when the results are written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def file_stamp(path: Path) -> tuple[int, int]:
    """Returns size in bytes and time of change in nanoseconds of a file, by which a changed one is told; OSError."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns


def stamp(path: Path) -> list[str | int]:
    """What tells a file, or the files of a folder, from others and from what they were before they changed."""
    facts = []
    for file in path.iterdir() if os.path.isdir(path) else [path]:
        with suppress(OSError):  # of what cannot be looked at
            facts.append(file.stat())
    facts = [fact for fact in facts if stat.S_ISREG(fact.st_mode)]
    newest = max((fact.st_mtime_ns for fact in facts), default=0)
    return [str(path.resolve()), len(facts), sum(fact.st_size for fact in facts), newest]
