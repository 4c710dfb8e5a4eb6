"""Memory budget: bytes that threads may hold at once."""

from threading import Condition


class MemoryBudget:
    """A number of bytes; who wants more than are left waits, unless nobody else holds any."""

    def __init__(self, size: int):
        self._size, self._taken, self._changed = size, 0, Condition()

    def take(self, size: int) -> None:
        """Waits until so many bytes are left, or all are, and takes them."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self._size)
            self._taken += size

    def give_back(self, size: int) -> None:
        """Gives back bytes that were taken."""
        with self._changed:
            self._taken -= size
            self._changed.notify_all()
