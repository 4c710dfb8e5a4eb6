"""Progress of a long command, on stderr: a bar on a terminal, lines in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from refseg.progress import Advance, no_progress

EVERY = 30.0  # seconds between lines, where nobody watches a bar


@contextmanager
def progress(total: int | None, rank: int = 0, of: str = "images", done: int = 0) -> Iterator[Advance]:
    """Shows progress with speed and time left; rank 0 alone does.

    Yields a function of the further steps, and of a note that stands beside them.

    Args:
        total: how many steps there are; None if nobody knows.
        rank: of this process.
        of: what the steps are.
        done: how many were done before.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if rank:
        with no_progress(total) as advance:
            yield advance
    elif sys.stderr.isatty():
        columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeElapsedColumn()
        left = TextColumn("left"), TimeRemainingColumn()
        console, of_terminal = Console(stderr=True), sys.stdout.isatty()  # what goes to a file or pipe is left alone
        with Progress(
            TextColumn(of), *columns, *left, console=console, transient=True, redirect_stdout=of_terminal
        ) as bar:
            task = bar.add_task(of, total=total, completed=done, speed="")

            def advance(steps: int, note: str = "") -> None:
                bar.advance(task, steps)
                bar.update(task, speed=note or f"{bar.tasks[0].speed or 0:,.1f}/s")

            yield advance
    else:
        yield _Lines(total, of, done)


class _Lines:
    def __init__(self, total: int | None, of: str, done: int):
        import time

        self._total, self._of, self._first, self._done = total, of, done, done
        self._clock = time.monotonic
        self._begin = self._printed = self._clock()

    def __call__(self, steps: int, note: str = "") -> None:
        self._done += steps
        now = self._clock()
        if now - self._printed >= EVERY:
            self._printed = now
            speed = (self._done - self._first) / (now - self._begin)
            line = f"{self._done:,} {self._of}, {speed:,.1f}/s"
            if self._total is not None:
                left = max(self._total - self._done, 0) / speed
                line = f"{self._done:,} of {self._total:,} {self._of}, {speed:,.1f}/s, {left:,.0f} s left"
            print(f"{line}, {note}" if note else line, file=sys.stderr, flush=True)
