"""Progress of a run, its log, and which warnings of libraries are silenced."""

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from lightning.fabric.utilities.rank_zero import rank_zero_only
from torch import Tensor

from refseg.array_types import RgbImage
from refseg.progress import Progress
from refseg.training.loggers import Logger

if TYPE_CHECKING:
    from refseg.training.loop import StageLoop

EVERY = 20  # steps between two lines of the log
ANSWERED_BY_DESIGN = (
    ".*``compute`` method of metric RunningMetrics was called before.*",  # a type without an expression
    ".*`broadcast_buffers` is deprecated.*",  # its new name is unknown to older versions of torch
)

print_once = rank_zero_only(print)  # from the first process alone


def silence_known_warnings() -> None:
    """Silences remarks of the libraries that this project's design has answered."""
    for library in ("lightning.fabric", "lightning.pytorch"):  # Fabric speaks through both
        logging.getLogger(library).setLevel(logging.WARNING)
    for message in ANSWERED_BY_DESIGN:
        warnings.filterwarnings("ignore", message)


class StageLog:
    """Writes the curves of a stage, and shows how far it is.

    Args:
        loggers: where they are written, on the first process; on others nowhere.
        loop: of the stage.
        progress: shows how far it is.
    """

    def __init__(self, loggers: Sequence[Logger], loop: "StageLoop", progress: Progress):
        self.loop, self._loggers, name = loop, loggers, loop.stage.name
        self._progress = progress(loop.length.steps, loop.fabric.global_rank, f"steps of {name}", loop.step)
        self._note, self._amount, self._since = "", 0, time.perf_counter()

    def __enter__(self) -> Self:
        self._advance = self._progress.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._progress.__exit__(*error)
        for logger in self._loggers:
            logger.close(failed=bool(error[0]))

    def write_step(self, losses: Mapping[str, Tensor], amount: int) -> None:
        """Takes note of a step of the loop.

        Args:
            losses: of the step, means over processes.
            amount: expressions (in a stage without language: images) of this process in it.
        """
        loop = self.loop
        self._amount += amount
        if loop.step % EVERY == 0 or loop.step == loop.length.steps:
            now = time.perf_counter()
            speed = self._amount * loop.fabric.world_size / (now - self._since)
            self._amount, self._since = 0, now
            of = "expressions/s" if loop.stage.expressions_per_image else "images/s"
            rates = {f"lr/{part}": rate for part, rate in loop.learning_rates().items()}
            self.write({f"train/{name}": float(value) for name, value in losses.items()} | {of: speed} | rates)
            self._note = f"loss {float(losses['loss']):.4g}, {speed:,.1f} {of}"
        self._advance(1, self._note)

    def write(self, values: Mapping[str, float]) -> None:
        """Writes values that belong to the loop's latest step."""
        for logger in self._loggers:
            logger.write(self.loop.step, values)

    def show(self, images: Mapping[str, RgbImage]) -> None:
        """Shows images that belong to the loop's latest step."""
        for logger in self._loggers:
            for name, image in images.items():
                logger.show(self.loop.step, name, image)
