"""Work on many bytes, done on a thread lest other requests wait for it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

MANY_BYTES = 2**18  # work on fewer takes about a millisecond

T = TypeVar("T")


async def run_aside(size: int, work: Callable[[], T]) -> T:
    """Returns the result of work on so many bytes, which is done on a thread if they are many."""
    return await asyncio.to_thread(work) if size > MANY_BYTES else work()
