"""SIGTERM and SIGHUP end a command as Ctrl-C does: what cleans up after one cleans up after the others.

Ctrl-C once more ends it at once: cleaning up, as waiting for threads, may take long.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 128  # plus the number of the signal: exit code
AGAIN = 1.0  # seconds; `timeout` and job schedulers send the same signal to a process and to its group
SHOW_CURSOR = b"\x1b[?25h"  # which a progress bar hides


class Stopped(KeyboardInterrupt):
    """The process was asked to end."""


class Stop:
    """Which signal asked the process to end.

    Attributes:
        signal: its number, 0 if there was none, or Ctrl-C.
        is_asked: whether there was one, or Ctrl-C.
    """

    def __init__(self) -> None:
        self.signal, self.is_asked, self._at = 0, False, 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raises Stopped where the main thread is; not again for the same signal at once."""
        now = time.monotonic()
        if self.signal and now - self._at < AGAIN:
            return
        self.signal, self.is_asked, self._at = number, True, now
        raise Stopped

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Raises KeyboardInterrupt where the main thread is; ends the process if it was asked to end a while before."""
        now = time.monotonic()
        if self.is_asked and now - self._at < AGAIN:
            return
        if self.is_asked:
            if os.isatty(2):
                os.write(2, SHOW_CURSOR)
            os._exit(STOPPED + number)
        self.is_asked, self._at = True, now
        raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Raises Stopped in the body on SIGTERM or SIGHUP, unless the process ignores them (`nohup`).

    After Ctrl-C the next one ends the process. That handler stays behind the body: Python waits for threads as it ends.
    """
    stop, before = Stop(), {}
    if threading.current_thread() is threading.main_thread():
        names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in (getattr(signal, name) for name in names)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop.interrupt if number == signal.SIGINT else stop)
        yield stop
    finally:
        for number, handler in before.items():
            if number == signal.SIGINT and stop.is_asked:
                continue
            if stop.signal:  # the same once more would disturb the end
                signal.signal(number, signal.SIG_IGN)
            elif handler is not None:  # one that was not set from Python cannot be set again
                signal.signal(number, handler)
