"""What a run says while it goes: a bar with loss, speed and time left; Lightning's remarks only where they matter."""

import logging
import sys
import warnings
from typing import Any

import lightning
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.utilities.rank_zero import rank_zero_only

EVERY = 20  # steps between two updates of the bar
ANSWERED_BY_DESIGN = (
    ".*your dataloader is not resumable.*",  # batches are a function of the step: see batches.py
    ".*does not have many workers.*",  # a batch is a look-up in memory-mapped arrays
    ".*module\\(s\\) in eval mode at the start of training.*",  # frozen parts
    ".*Total length of `list` across ranks is zero.*",  # a stage without language has nothing to validate
    ".*exists and is not empty.*",  # a resumed run
    ".*`broadcast_buffers` is deprecated.*",  # its new name is unknown to older versions of torch
    ".*overrides the configure_model callback.*",  # it shards nothing where there is a running mean
    ".*``compute`` method of metric RunningMetrics was called before.*",  # a type without an expression
    ".*sync_dist=True.*",  # metrics are those of all processes already
    ".*isinstance\\(treespec, LeafSpec\\).*",
)

say = rank_zero_only(print)  # from the first process alone


def be_quiet() -> None:
    """Silences remarks of the libraries that this project's design has answered."""
    for library in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    for message in ANSWERED_BY_DESIGN:
        warnings.filterwarnings("ignore", message)


class StageProgress(TQDMProgressBar):
    """The bar of one stage, in steps; after resuming it starts where the stage stood."""

    def __init__(self, name: str, steps: int):
        super().__init__(refresh_rate=EVERY)
        self.name, self.steps = name, steps

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Shows the whole length of the stage and how far it is."""
        super().on_train_start(trainer, *_)
        self.train_progress_bar.reset(self.steps)
        self.train_progress_bar.initial = self.train_progress_bar.n = trainer.global_step
        self.train_progress_bar.set_description(self.name)

    def on_train_epoch_start(self, *_: Any) -> None:
        """A stage is one epoch."""

    def on_exception(self, *_: Any) -> None:
        """What is told now gets a line of its own."""
        if self.is_enabled:
            print(file=sys.stderr)
