"""The callback by which long functions say how far they are; `commands.progress` shows it on stderr."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Takes further steps, and a note to stand beside them."""

    def __call__(self, steps: int, note: str = "") -> None:
        """Shows that so many more steps are done."""


class Progress(Protocol):
    """Opens the display of a number of steps."""

    def __call__(
        self, total: int | None, rank: int = 0, of: str = "images", done: int = 0
    ) -> AbstractContextManager[Advance]:
        """Returns a context that gives an `Advance`.

        Args:
            total: number of steps; None if it is unknown.
            rank: of this process; rank 0 alone shows anything.
            of: name of the steps.
            done: steps that were done before.
        """


@contextmanager
def no_progress(total: int | None, rank: int = 0, of: str = "images", done: int = 0) -> Iterator[Advance]:
    """Shows nothing; a `Progress`."""

    def advance(steps: int, note: str = "") -> None:
        pass

    yield advance
