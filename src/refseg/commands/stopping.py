"""SIGTERM and SIGHUP end a command as Ctrl-C does: what cleans up after one cleans up after the others."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN = 1.0  # seconds; `timeout` and job schedulers send the same signal to a process and to its group


class Stopped(KeyboardInterrupt):
    """The process was asked to end."""


class Stop:
    """Which signal asked the process to end.

    Attributes:
        signal: its number, 0 if there was none.
    """

    def __init__(self) -> None:
        self.signal, self._at = 0, 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raises Stopped where the main thread is; not again for the same signal at once."""
        now = time.monotonic()
        if self.signal and now - self._at < AGAIN:
            return
        self.signal, self._at = number, now
        raise Stopped


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Raises Stopped in the body on SIGTERM or SIGHUP, unless the process ignores them (`nohup`)."""
    stop, before = Stop(), {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield stop
    finally:
        for number, handler in before.items():
            if stop.signal:  # the same once more would disturb the end
                signal.signal(number, signal.SIG_IGN)
            elif handler is not None:  # one that was not set from Python cannot be set again
                signal.signal(number, handler)
