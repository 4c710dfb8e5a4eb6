"""Signals during training."""

import signal
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback


class OwnSignals(Callback):
    """Puts back who hears SIGTERM.

    Lightning's own handler tells other processes with a broadcast, which waits for ever where they are in the middle of
    another, and ends a run only after its next step.
    """

    def __init__(self) -> None:
        self.before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Lightning has set its handler by now; it puts back the one before as it ends."""
        if self.before is not None and signal.getsignal(signal.SIGTERM) is not self.before:
            signal.signal(signal.SIGTERM, self.before)
