"""Rows of an unfinished run: written image by image, one file a process, so that whatever stops the run
costs the images in work and nothing else, and so that many processes need not talk to each other.

The folder `.unfinished` within that of the results holds run.json (what is evaluated, on what, how) and
rows-R-of-W.jsonl (what process R of W answered, a line of `ImageAnswers` an image).
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from refseg.counting import another
from refseg.errors import InvalidInput, UnwritableOutput, another_out, for_caller
from refseg.evaluation.rows import ImageAnswers
from refseg.files.atomic import write_atomically
from refseg.files.resumable import cut_to_whole_lines

FOLDER, RUN = ".unfinished", "run.json"


class MemoryRows:
    """The rows of a run that writes nothing: kept in memory, by one process.

    Attributes:
        done: images that are answered, none when a run begins.
    """

    def __init__(self) -> None:
        self.done: set[int] = set()
        self._rows: list[ImageAnswers] = []

    def mine(self, images: int) -> list[int]:
        """Returns the numbers of the images that are left."""
        return list(range(images))

    def write(self, image: ImageAnswers) -> None:
        """Adds the answers to one image."""
        self._rows.append(image)

    def answers(self) -> list[ImageAnswers]:
        """Returns everything so far."""
        return self._rows

    def remove(self) -> None:
        """Does nothing, since nothing was written."""


class PartialRows:
    """The rows so far of process `rank` of `world`, and those of all others that this run or an earlier one had.

    Args:
        out: folder of the results.
        run: whatever makes rows comparable: data set, weights, protocols.
        rank, world: which of how many processes this is; they divide the images and need not be as many as before.
        name: of the folder of rows within `out`.

    Raises:
        InvalidInput: if the folder holds rows of another run.
        UnwritableOutput: if it cannot be written.
    """

    def __init__(self, out: Path, run: Mapping[str, Any], rank: int = 0, world: int = 1, name: str = FOLDER):
        self.folder = out / name
        self.rank, self.world = rank, world
        self._file = self.folder / f"rows-{rank}-of-{world}.jsonl"
        run = json.loads(json.dumps(run))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._same_run(run)
            with write_atomically(self.folder / RUN) as partial:
                partial.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
            cut_to_whole_lines(self._file)
        except UnwritableOutput:
            with suppress(OSError):
                self.folder.rmdir()  # unless there are rows
            raise
        except OSError as error:
            raise UnwritableOutput(f"{out} cannot be written ({error.strerror}); choose {another_out()}") from error
        self.done = {image.index for image in self.answers()}

    def mine(self, images: int) -> list[int]:
        """The images that are left for this process: every `world`-th, less those that have been answered."""
        return [k for k in range(self.rank, images, self.world) if k not in self.done]

    def write(self, image: ImageAnswers) -> None:
        """Adds the answers to one image; they are with the operating system when this returns.

        Raises:
            UnwritableOutput: if they cannot be written; those before them are kept.
        """
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(image.json() + "\n")
        except OSError as error:
            raise UnwritableOutput(
                f"{self._file} cannot be written ({error.strerror}); make room and repeat the command: it goes on from "
                "here"
            ) from error

    def answers(self) -> list[ImageAnswers]:
        """Everything that all processes have written, in the order of the data set, each image once."""
        found = {image.index: image for file in sorted(self.folder.glob("rows-*.jsonl")) for image in self._read(file)}
        return [found[index] for index in sorted(found)]

    def remove(self) -> None:
        """Removes the folder, when the results are written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _same_run(self, run: Mapping[str, Any]) -> None:
        try:
            before = dict(json.loads((self.folder / RUN).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):  # there is none, or it is damaged
            return
        for name in {**before, **run}:
            if before.get(name) != run.get(name):
                raise InvalidInput(
                    f"{self.folder.parent} holds an unfinished evaluation with {another(name)} "
                    f"({before.get(name)}, now {run.get(name)}); repeat that {for_caller('command', 'call')} to go on "
                    f"with it, give {another_out()}, or remove {self.folder} to start again"
                )

    def _read(self, file: Path) -> Iterator[ImageAnswers]:
        if not file.exists():
            return
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):  # another process is writing it, or was killed as it did
                    return
                try:
                    yield ImageAnswers.of(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise InvalidInput(
                        f"{file}, line {number} is damaged; remove {self.folder} to start the evaluation again"
                    ) from error
