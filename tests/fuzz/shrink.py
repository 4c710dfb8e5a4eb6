"""Smaller inputs that fail alike."""

from collections.abc import Callable


def shrink(content: bytes, fails: Callable[[bytes], bool], tries: int = 60) -> bytes:
    """A smaller content that still fails: ever smaller parts are left out.

    Args:
        content: fails.
        fails: whether a content fails in the same way.
        tries: how many contents are tried at most.
    """
    part = len(content) // 2
    while part and tries:
        place = 0
        while place < len(content) and tries:
            shorter = content[:place] + content[place + part :]
            tries -= 1
            if shorter and fails(shorter):
                content = shorter
            else:
                place += part
        part //= 2
    return content
