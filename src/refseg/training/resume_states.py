"""The states of a stage on disk: how they are written, which are kept, which is the newest that is whole."""

import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors import SafetensorError

from refseg.errors import InvalidInput, UnwritableOutput, unreadable
from refseg.files.atomic import NO_ROOM, write_atomically
from refseg.files.tensor_files import DamagedFile, read_saved_plain
from refseg.training.progress import say

KEPT = 2
WAY_OUT = "put back a copy of a state that this run wrote, or delete it and --resume"


class WholeFiles(TorchCheckpointIO):
    """States appear under their names when their last byte is on the disk; nothing in them is imported or called."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes beside the file and renames; what could not be written whole is removed."""
        with write_atomically(Path(path)) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)  # given a path, torch tells no reason why it could not be written

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Tensors and plain data of a state.

        Raises:
            InvalidInput: if it holds anything else, or is damaged.
        """
        state: dict[str, Any] = read_saved_plain(Path(path), WAY_OUT)
        return state


class KeepStates(Checkpoint):
    """Writes a state every so many steps and keeps the last two.

    It is written when the next step begins, so that what belongs to a step, validation and checkpoints, is over: a run
    that is resumed from it does all that a run does which was never stopped.
    """

    def __init__(self, folder: Path, stage: str, every: int):
        self.folder, self.stage, self.every = folder, stage, every
        self.first = self.written = 0
        self.begun = False

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """The state that a run is resumed from is there already."""
        self.first = self.written = trainer.global_step

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Notes that a step was made, or a part of one."""
        self.begun = self.begun or trainer.global_step > self.first

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Writes the state if it is time.

        Raises:
            UnwritableOutput: on all processes, if the first could not write it.
        """
        step = trainer.global_step
        trainer.fit_loop.epoch_loop._batches_that_stepped = step  # the log's own count is one too many after resuming
        if step % self.every or step == self.written:  # the other parts of a step begin at the same number
            return
        self.written = step
        path = self.folder / f"{self.stage}-step={step}.ckpt"
        write_together(trainer, self.folder.parent, lambda: trainer.save_checkpoint(path))
        if trainer.is_global_zero:
            for path in states(self.folder, self.stage)[KEPT:]:
                path.unlink()

    def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        """The step that begins is begun again by who goes on from here; Lightning has counted it already."""
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            counts["ready"] = counts["completed"]


def write_together(trainer: lightning.Trainer, run: Path, write: Callable[[], None]) -> None:
    """Calls `write` on all processes, of which the first writes.

    Raises:
        UnwritableOutput: on all processes, if the first could not; otherwise the others would wait for it.
    """
    problem = None
    try:
        write()
    except (OSError, SafetensorError) as error:
        problem = unwritable(run, error)
    if problem := trainer.strategy.broadcast(problem):
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
        f"{run} cannot be written ({reason}); make room and go on with --resume: nothing but the steps since the last "
        "state is lost"
    )


def states(folder: Path, stage: str) -> list[Path]:
    """The states of a stage, newest first."""
    return sorted(folder.glob(f"{stage}-step=*.ckpt"), key=lambda path: int(path.stem.split("=")[1]), reverse=True)


def newest_sound(folder: Path, stage: str) -> Path | None:
    """The newest state of a stage whose every byte is as it was written; None if there is no state.

    Raises:
        InvalidInput: if all states that there are are damaged, since their steps are not thrown away unasked; or if one
            holds code.
    """
    found = states(folder, stage)
    for path in found:
        if is_sound(path):
            return path
        say(f"{path} is damaged; looking for the state before it")
    if found:
        names = ", ".join(path.name for path in found)
        raise InvalidInput(
            f"all states of stage {stage} in {folder} are damaged ({names}); put back a copy of one, or delete them "
            "and --resume to start this stage again"
        )
    return None


def is_sound(path: Path) -> bool:
    """Whether a file of `torch.save` is complete and unchanged: it is a ZIP archive with a checksum for each part.

    Raises:
        InvalidInput: if it is, and holds something else than tensors and plain data; or if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
    except Exception as error:  # what is damaged makes it raise whatever it likes
        if refused := unreadable(path, error):
            raise refused from error
        return False
    try:
        read_saved_plain(path, WAY_OUT)  # the archive's own lists have no checksums
    except DamagedFile:
        return False
    return True
