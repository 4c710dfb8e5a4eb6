"""What users are told: one line that says what was given, what is allowed, and the way out.

The command line prints these without a traceback and exits with code 2.
"""

import errno
import os
import re
import sys
from pathlib import Path

WAYS_OUT = {
    errno.ENOSPC: "make room, or choose a place on another disk",
    errno.EDQUOT: "make room, or choose a place on another disk",
    errno.EROFS: "choose another place",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.ENAMETOOLONG: "file systems allow 255 bytes in a name; give a shorter one",
    errno.ELOOP: "it is a link that leads to itself; give another",
    errno.ENOENT: "give one that exists",
    errno.ENOTDIR: "a part of it is a file, not a folder",
    errno.EMFILE: "raise the limit of open files with ulimit -n",
    errno.ENFILE: "close other programs",
    errno.ENOMEM: "close other programs, or take fewer or smaller images at once",
    errno.EIO: "the disk is damaged or gone",
    errno.ESTALE: "the disk is damaged or gone",
}
"""What a user can do when the operating system refuses something."""


class RefsegError(Exception):
    """Something that the user gave cannot be used; the message is the whole explanation."""


class InvalidInput(RefsegError, ValueError):
    """A value, an expression, an image or a setting that is not allowed."""


class MissingFile(RefsegError, FileNotFoundError):
    """A file or folder that should be there and is not."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnwritableOutput(RefsegError, OSError):
    """A place where results should go and cannot be written."""

    def __str__(self) -> str:
        return str(self.args[0])


def first_line(error: BaseException, limit: int = 120) -> str:
    r"""The first line of an error's message, cut to `limit` letters, or the name of its type if it has none.

    >>> first_line(ValueError("bad magic number\nat offset 0")), first_line(EOFError())
    ('bad magic number', 'EOFError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0][:limit]


def shortened(text: str, limit: int = 100) -> str:
    """A text of at most `limit` letters.

    >>> shortened("a" * 50, 10)
    'aaaaaaa...'
    """
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def shown(value: object, limit: int = 100) -> str:
    """What was given, as it is shown in a message: cut to `limit` letters.

    >>> shown("a.b=1"), shown("x" * 200, limit=12), shown(10**5000)
    ("'a.b=1'", "'xxxxxxxx...", 'of type int')
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        return f"of type {type(value).__name__}"
    return shortened(text, limit)


def printable(text: str) -> str:
    r"""A text as one line that a terminal only shows: letters that it would obey are written as escapes.

    >>> print(printable("a cup\x1b[2J\n"))
    a cup\x1b[2J\n
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def system_errno(error: BaseException) -> int | None:
    """The number of the operating system's reason for an error, ENOMEM where memory ran out; None for other errors.

    A file that is read at an impossible place (EINVAL) is damaged, so that is none.
    """
    if is_out_of_memory(error):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return None if error.errno == errno.EINVAL else error.errno
    if re.fullmatch(r"\d+ requested and \d+ written", str(error)):  # by NumPy, which does not pass the reason on
        return errno.ENOSPC
    told = re.search(r"\(os error (\d+)\)", str(error))  # by safetensors, as text only
    return int(told[1]) if told else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory; of the CPU's, torch tells by a text only."""
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules:
        return False
    import torch

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and re.search("(can't|cannot) allocate memory", str(error), re.I) is not None
    )


def unreadable(path: Path, error: BaseException) -> InvalidInput | None:
    """The error for a file that the operating system, or want of memory, kept from being read; None for other errors.

    >>> print(unreadable(Path("x.pth"), OSError(errno.EMFILE, "Too many open files")))
    x.pth cannot be read (Too many open files); raise the limit of open files with ulimit -n
    """
    number = system_errno(error)
    if number is None:
        return None
    way_out = WAYS_OUT.get(number, "give another file")
    return InvalidInput(f"{path} cannot be read ({os.strerror(number)}); {way_out}")
