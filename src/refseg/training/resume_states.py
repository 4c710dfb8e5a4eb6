"""The states of a stage on disk: how they are written, which are kept, which is the newest that is whole."""

import errno
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from refseg.errors import InvalidInput, UnwritableOutput, first_line, option, unreadable
from refseg.files.atomic import NO_ROOM, write_atomically
from refseg.files.tensor_files import DamagedFile, read_safetensors, read_saved_plain, safetensors_metadata
from refseg.training.loop import StageLoop
from refseg.training.progress import print_once

FORMAT = 2  # of a state; the first was the Lightning Trainer's
KEPT = 2
LENGTH = "steps"  # name of the stage's length in the head of its weights


def train_again() -> str:
    """Returns advice on damaged weights of a stage."""
    return f"put back a copy, or delete it and train this stage again with {option('resume', True)}"


def go_back() -> str:
    """Returns advice on a state that is damaged or of another run."""
    return f"put back a copy of a state that this run wrote, or delete it and go on with {option('resume', True)}"


class States:
    """The states of one stage in a run's folder, and the weights at its end.

    Args:
        fabric: the processes, of which the first writes.
        run: the run's folder.
        stage: its name.
    """

    def __init__(self, fabric: Fabric, run: Path, stage: str):
        self.fabric, self.run, self.folder, self.stage = fabric, run, run / "state", stage

    @property
    def finished(self) -> Path:
        """The file of the weights at the end of the stage."""
        return self.folder / self.stage

    def finished_weights(self) -> dict[str, Tensor]:
        """Returns the network's weights at the end of the stage.

        Raises:
            InvalidInput: if they are damaged.
        """
        return read_safetensors(self.finished, train_again())

    def can_be_prolonged(self, steps: int) -> bool:
        """Whether the stage is finished, was shorter than so many steps, and has kept a state to go on from."""
        return 0 < finished_steps(self.finished) < steps and bool(self.paths())

    def resume(self, loop: StageLoop) -> None:
        """Lets a loop go on from the newest state, if there is one.

        Raises:
            InvalidInput: if it belongs to another run; and as `newest`.
        """
        if found := self.newest():
            path, state = found
            try:
                loop.load_state_dict(state)
            except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
                raise InvalidInput(f"{path} does not belong to this run ({first_line(error)}); {go_back()}") from error

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Returns the newest state whose every byte is as it was written, and its file; None if there is no state.

        Raises:
            InvalidInput: if all states that there are are damaged, since their steps are not thrown away unasked; or if
                one holds code, or was written by an earlier version.
        """
        found = self.paths()
        for path in found:
            if state := read_valid(path):
                return path, state
            print_once(f"{path} is damaged; looking for the state before it")
        if found:
            names = ", ".join(path.name for path in found)
            raise InvalidInput(
                f"all states of stage {self.stage} in {self.folder} are damaged ({names}); put back a copy of one, or "
                f"delete them and start this stage again with {option('resume', True)}"
            )
        return None

    def paths(self) -> list[Path]:
        """Returns the states' files, newest first."""
        files = self.folder.glob(f"{self.stage}-step=*.ckpt")
        return sorted(files, key=lambda path: int(path.stem.split("=")[1]), reverse=True)

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes the state of a step; the last two are kept.

        Raises:
            UnwritableOutput: on all processes, if the first could not write it.
        """

        def write() -> None:
            with (
                write_atomically(self.folder / f"{self.stage}-step={step}.ckpt") as partial,
                partial.open("wb") as file,
            ):
                torch.save({"format": FORMAT, **state}, file)  # given a path, torch does not say why it cannot write
            for path in self.paths()[KEPT:]:
                path.unlink()

        write_on_first(self.fabric, self.run, write)

    def finish(self, weights: Mapping[str, Tensor], steps: int = 0, kept: int = 0) -> None:
        """Writes the weights at the end of the stage, and removes states that are not needed any more.

        Args:
            weights: of the network.
            steps: the stage's length.
            kept: states to keep, so that the stage can be prolonged.

        Raises:
            UnwritableOutput: on all processes, if the first could not write them.
        """

        def write() -> None:
            with write_atomically(self.finished) as partial:
                tensors = {name: tensor.contiguous() for name, tensor in weights.items()}
                save_file(tensors, partial, metadata={LENGTH: str(steps)})
            for path in self.paths()[kept:]:
                path.unlink()

        write_on_first(self.fabric, self.run, write)


def finished_steps(path: Path) -> int:
    """Returns how long a stage was whose weights this file has; 0 if there is none, or it does not say so.

    Raises:
        InvalidInput: if the file is damaged.
    """
    steps = safetensors_metadata(path, train_again()).get(LENGTH, "") if path.exists() else ""
    return int(steps) if steps.isdecimal() else 0


def read_valid(path: Path) -> dict[str, Any] | None:
    """Reads a state if its file is complete and unchanged: it is a ZIP archive with a checksum for each part.

    Raises:
        InvalidInput: if it is, and holds something else than tensors and plain data, or was written by another version;
            or if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
    except Exception as error:  # what is damaged makes it raise whatever it likes
        if refused := unreadable(path, error):
            raise refused from error
        return None
    try:
        state: dict[str, Any] = read_saved_plain(path, go_back())
    except DamagedFile:  # the archive's own lists have no checksums
        return None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InvalidInput(f"{path} does not belong to this run (another program or version wrote it); {go_back()}")
    return state


def write_on_first(fabric: Fabric, run: Path, write: Callable[[], None]) -> None:
    """Calls `write` on the first process; all return when it is done.

    Raises:
        UnwritableOutput: on all processes, if the first could not; otherwise the others would wait for it.
    """
    problem = None
    if fabric.is_global_zero:
        try:
            write()
        except (OSError, SafetensorError) as error:
            problem = unwritable(run, error)
    if problem := fabric.broadcast(problem):
        raise UnwritableOutput(problem)


def unwritable(run: Path, error: BaseException) -> str:
    """What a user is told of a full disk; raises the error itself, if it is another."""
    # told by `all_or_nothing`, which knows nothing of runs
    cause = (error.__cause__ or error) if isinstance(error, UnwritableOutput) else error
    # safetensors gives the system's reason as text only
    full = isinstance(cause, SafetensorError) and "(os error 28)" in str(cause)
    if not full and not (isinstance(cause, OSError) and cause.errno in NO_ROOM):
        raise error
    reason = os.strerror(errno.ENOSPC if full else cause.errno)  # type: ignore[attr-defined]
    return (
        f"{run} cannot be written ({reason}); make room and go on with {option('resume', True)}: nothing but the steps "
        "since the last state is lost"
    )
