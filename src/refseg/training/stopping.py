"""Stopping a training between two steps, when Ctrl-C or a signal asks for it.

The first signal is a request, which the loop meets after the step; the second one does what it always does. Workers
that load data take no notice of either: they end with the process that started them.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
AT_ONCE = 1.0  # seconds; `timeout` and job schedulers send the same signal to a process and to its group
TOLD = b"\nstopping after this step; once more stops at once, and loses the steps since the last state\n"


class TrainingStopped(KeyboardInterrupt):
    """A training that was asked to stop and has saved its state.

    Attributes:
        stage: name of the stage.
        step: steps of it that are done.
        signal: number of the signal that asked for it; 0 on a process that got none.
    """

    def __init__(self, stage: str, step: int, signal: int = 0):
        super().__init__(f"stopped after step {step:,} of stage {stage}; its state is saved")
        self.stage, self.step, self.signal = stage, step, signal


class StopRequest:
    """The signal that asked for an end.

    Args:
        tells: whether this process acknowledges it on stderr.

    Attributes:
        signal: its number, 0 while there was none.
    """

    def __init__(self, tells: bool = True):
        self.signal, self._tells, self._at = 0, tells, 0.0
        self._before: dict[int, Any] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Notes the first signal; hands a later one to the handler before this one."""
        now = time.monotonic()
        if not self.signal:
            self.signal, self._at = number, now
            if self._tells:
                os.write(2, TOLD)  # `print` is not reentrant
        elif now - self._at > AT_ONCE:
            self.restore()
            signal.raise_signal(number)

    def listen(self) -> None:
        """Takes the signals that the process does not ignore (`nohup`); only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before not in (signal.SIG_IGN, None):  # None: set by something else than Python
                    self._before[number] = before
                    signal.signal(number, self)

    def restore(self) -> None:
        """Puts the handlers back that were there before."""
        while self._before:
            signal.signal(*self._before.popitem())


@contextmanager
def stop_requests(tells: bool = True) -> Iterator[StopRequest]:
    """Takes SIGINT, SIGTERM and SIGHUP as requests while the body runs.

    Args:
        tells: whether this process acknowledges the first one.
    """
    request = StopRequest(tells)
    try:
        request.listen()
        yield request
    finally:
        request.restore()


def ignore_signals(worker: int = 0) -> None:
    """Lets a data-loading worker go on when its whole process group is signalled; its parent may still end it."""
    for number in set(SIGNALS) - {signal.SIGTERM}:
        signal.signal(number, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):  # macOS, where a worker ends by itself once its queue is closed
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # in this thread and those that it starts
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


class Timer:
    """Tells when so many minutes have passed since it was set.

    >>> Timer(minutes=5).is_due()
    False
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic):
        self._seconds, self._clock, self._set_at = 60 * minutes, clock, clock()

    def is_due(self) -> bool:
        """Whether the minutes have passed."""
        return self._clock() - self._set_at >= self._seconds

    def set(self) -> None:
        """Starts again."""
        self._set_at = self._clock()
