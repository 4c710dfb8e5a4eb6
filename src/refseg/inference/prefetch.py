"""Ordered map on threads with bounded prefetch; decoding, resizing and counting release Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_THREADS = 8  # more do not help beside one network
MAX_WAITING = 3  # items for each thread that may be begun or done and not yet read


def prefetch_map(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Yields `work` of each item, in order; the items themselves are read by the thread that reads the results.

    >>> list(prefetch_map(abs, [-3, 2, -1], workers=2))
    [3, 2, 1]
    """
    if workers == 0:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > MAX_WAITING * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def count_threads(workers: int | None) -> int:
    """Returns the number of threads: `workers`, or as many as there are processors, at most 8, if that is None."""
    return min(os.cpu_count() or 1, MAX_THREADS) if workers is None else workers
