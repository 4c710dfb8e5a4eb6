"""How far a long command is, and how long it will still take, on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 30.0  # seconds between lines, where nobody watches a bar


@contextmanager
def progress(total: int | None, rank: int = 0, of: str = "images") -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, lines in a log; call what it yields with each step. Rank 0 alone speaks.

    Args:
        total: how many steps there are; None if nobody knows.
        rank: of this process.
        of: what the steps are.
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
        yield lambda steps: None
    elif sys.stderr.isatty():
        columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeElapsedColumn()
        left = TextColumn("left"), TimeRemainingColumn()
        with Progress(TextColumn(of), *columns, *left, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(of, total=total, speed="")

            def advance(steps: int) -> None:
                bar.advance(task, steps)
                bar.update(task, speed=f"{bar.tasks[0].speed or 0:,.1f}/s")

            yield advance
    else:
        yield _Lines(total, of)


class _Lines:
    def __init__(self, total: int | None, of: str):
        import time

        self._total, self._of, self._done = total, of, 0
        self._clock = time.monotonic
        self._begin = self._said = self._clock()

    def __call__(self, steps: int) -> None:
        self._done += steps
        now = self._clock()
        if now - self._said >= EVERY:
            self._said = now
            speed = self._done / (now - self._begin)
            line = f"{self._done:,} {self._of}, {speed:,.1f}/s"
            if self._total is not None:
                left = max(self._total - self._done, 0) / speed
                line = f"{self._done:,} of {self._total:,} {self._of}, {speed:,.1f}/s, {left:,.0f} s left"
            print(line, file=sys.stderr, flush=True)
