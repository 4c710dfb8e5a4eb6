"""Files that grow line by line: repair after a killed process, and runs that go on where they were stopped."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from refseg.counting import another
from refseg.errors import InvalidInput, UnwritableOutput, another_out, first_line, for_caller, shown
from refseg.files.atomic import write_atomically

RUN, ANSWERS = "run.json", "answers.jsonl"


class ResumableLines:
    """Lines of JSON that a run adds one by one, beside its settings; stopping it costs the line in work only.

    Attributes:
        folder: where they are; it is made with the first line.
        file: the lines.
        count: number of lines so far.
    """

    kind = "answers of a run"

    def __init__(self, folder: Path, run: Mapping[str, Any]):
        """Reads what an earlier run left.

        Args:
            folder: where the lines are, or will be.
            run: settings that all lines have in common.

        Raises:
            InvalidInput: if the folder holds lines of another run.
        """
        self.folder, self.file, self.count = folder, folder / ANSWERS, 0
        self._run = json.loads(json.dumps(run))
        if not self.file.exists():
            return
        try:
            before = dict(json.loads((folder / RUN).read_text(encoding="utf-8")))
            other = next((name for name in self._run if before.get(name) != self._run[name]), None)
            if other is None:
                cut_to_whole_lines(self.file)
                for line in self:
                    self.note(line)
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise InvalidInput(
                f"{folder} holds {self.kind} that is damaged ({first_line(error)}); give {another_out()}, or remove "
                f"{self.removed} to start again"
            ) from error
        if other is not None:
            raise InvalidInput(
                f"{folder} holds {self.kind} with {another(other)} ({shown(before.get(other), 80)}, now "
                f"{shown(self._run[other], 80)}); repeat that {for_caller('command', 'call')} to go on with it, give "
                f"{another_out()}, or remove {self.removed} to start again"
            )

    @property
    def removed(self) -> Path:
        """The path to remove in order to start again."""
        return self.file

    def note(self, line: Any) -> None:
        """Takes notice of a line that is there; LookupError, TypeError or ValueError if it is damaged."""
        self.count += 1

    def write(self, line: Any) -> None:
        """Adds a line, which is with the operating system on return.

        Raises:
            UnwritableOutput: if it cannot be written.
        """
        try:
            if not self.count:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / RUN).write_text(json.dumps(self._run, indent=1) + "\n", encoding="utf-8")
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            again = for_caller("the command", "the call")
            raise UnwritableOutput(
                f"{self.folder} cannot be written ({error.strerror}); make room and repeat {again}, or choose "
                f"{another_out()}"
            ) from error
        self.note(line)

    def keep(self, wanted: Callable[[Any], bool]) -> None:
        """Removes the other lines, all of them or, if that fails, none."""
        if all(map(wanted, self)):
            return
        self.count = 0
        with write_atomically(self.file) as partial, partial.open("w", encoding="utf-8") as file:
            for line in filter(wanted, self):
                file.write(json.dumps(line, allow_nan=False) + "\n")
                self.note(line)

    def __iter__(self) -> Iterator[Any]:
        """Yields line after line."""
        if not self.file.exists():
            return
        with self.file.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def cut_to_whole_lines(file: Path) -> None:
    """Removes an incomplete last line of a file, if the file exists."""
    if not file.exists():
        return
    with file.open("rb") as content:
        end = whole = 0
        for line in content:
            end += len(line)
            whole = end if line.endswith(b"\n") else whole
    if whole < end:
        os.truncate(file, whole)
