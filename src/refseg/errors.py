"""Error types with one-line messages: what was given, what is allowed, and the way out.

The command line prints these without a traceback and exits with code 2.
"""

import errno
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

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
"""Advice for errors of the operating system."""

Caller = Literal["python", "command", "http", "page"]
"""Callers for whom messages are worded: Python programs, users of a command, HTTP clients, visitors of the page."""

_is_command = False  # whether a command of `refseg` is running: see `command_line`
_asking: ContextVar[tuple[Caller, tuple[str, ...]] | None] = ContextVar("asking", default=None)  # see `speaking_to`


class RefsegError(Exception):
    """An error of the user's input; the message is the whole explanation."""


class InvalidInput(RefsegError, ValueError):
    """A value, an expression, an image or a setting that is not allowed."""


class MissingFile(RefsegError, FileNotFoundError):
    """A missing file or folder."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnwritableOutput(RefsegError, OSError):
    """An output path that cannot be written."""

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def speaking_to(caller: Caller, served: Iterable[str] = ()) -> Iterator[None]:
    """Makes messages of this thread name ways out as a caller uses them, whoever runs the process.

    Args:
        caller: who reads the messages.
        served: names of the weights that clients of a service, or users of its page, can choose.
    """
    token = _asking.set((caller, tuple(served)))
    try:
        yield
    finally:
        _asking.reset(token)


@contextmanager
def command_line() -> Iterator[None]:
    """Makes messages of all threads name options as a user types them, `--out results`, not parameters of Python."""
    global _is_command
    before, _is_command = _is_command, True
    try:
        yield
    finally:
        _is_command = before


def _listener() -> tuple[Caller, tuple[str, ...]]:
    """Returns who reads messages, and the weights that a service offers to them."""
    return _asking.get() or ("command" if _is_command else "python", ())


def for_caller(command: str, python: str) -> str:
    """Returns the first text within a command of `refseg`, and the second where Python calls the library."""
    return command if _listener()[0] == "command" else python


def weights_choice(name: str, **settings: str) -> str:
    """Names weights, with settings of theirs, as the caller chooses them.

    >>> weights_choice("reader", finder="gdino")
    'refseg.load("reader", finder="gdino")'
    >>> with command_line():
    ...     weights_choice("reader", finder="gdino")
    '--weights reader --set finder=gdino'
    >>> with speaking_to("http", ["selector", "reader:finder=gdino"]):
    ...     weights_choice("reader", finder="gdino"), weights_choice("clipseg")
    ('weights=reader:finder=gdino', "'clipseg' (not here yet: refseg serve --weights clipseg)")
    >>> with speaking_to("page", ["reader"]):
    ...     weights_choice("reader")
    "'reader' under Weights"
    """
    caller, weights = _listener()
    if caller == "python":
        more = "".join(f', {key}="{value}"' for key, value in settings.items())
        return f'refseg.load("{name}"{more})'
    pairs = [f"{key}={value}" for key, value in settings.items()]
    if caller == "command":
        return " ".join([f"--weights {name}", *(f"--set {pair}" for pair in pairs)])
    served = f"{name}:{','.join(pairs)}" if pairs else name
    if served not in weights:
        return f"{served!r} (not here yet: refseg serve --weights {served})"
    return f"weights={served}" if caller == "http" else f"{served!r} under Weights"


def option(name: str, value: object = None) -> str:
    """Names a parameter, and the value to give, as the caller writes them.

    >>> option("split_by"), option("out", Path("my results")), option("masks", True)
    ('split_by=...', "out='my results'", 'masks=True')
    >>> with command_line():
    ...     option("split_by"), option("out", Path("my results")), option("masks", True)
    ('--split-by', "--out 'my results'", '--masks')
    """
    if _listener()[0] != "command":
        shown_value = "..." if value is None else repr(str(value) if isinstance(value, Path) else value)
        return f"{name}={shown_value}"
    words = f"--{name.replace('_', '-')}"
    return words if value is None or value is True else f"{words} {shlex.quote(str(value))}"


def another_out() -> str:
    """Returns what to give where an output cannot be written: another place, by its option within a command."""
    return for_caller("another --out", "another place")


def setting(name: str, value: object) -> str:
    """Names a change of a recipe as the caller writes it.

    >>> setting("stages.learn.images", 8)
    'recipe.with_settings(["stages.learn.images=8"])'
    >>> with command_line():
    ...     setting("stages.learn.images", 8)
    '--set stages.learn.images=8'
    """
    return for_caller(f"--set {name}={value}", f'recipe.with_settings(["{name}={value}"])')


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """Returns a question that names what may have been meant, to stand before all choices; "" if nothing is near.

    Case does not count, nor does the letter between words.

    >>> did_you_mean("RefCOCOg", ["refcoco", "refcocog"]), did_you_mean("tset", ["train", "test"])
    ('did you mean refcocog? ', 'did you mean test? ')
    >>> did_you_mean("lavt-swin-bse", ["lavt_swin_base", "lavt_swin_large"]), did_you_mean(3, ["cpu", "cuda"])
    ('did you mean lavt_swin_base or lavt_swin_large? ', '')
    """
    plain = {_plain(one): one for one in names}
    given = _plain(str(name))
    near = [given] if given in plain else get_close_matches(given, plain, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(plain[one] for one in near)}? " if near else ""


def choose_one(name: object, names: Iterable[str]) -> str:
    """Returns what may be given in place of an unknown name: what may have been meant, and all there is.

    >>> choose_one("cdua", ["cpu", "cuda"]), choose_one("x", ["cpu", "cuda"])
    ('did you mean cuda? choose one of: cpu, cuda', 'choose one of: cpu, cuda')
    """
    names = list(names)
    return f"{did_you_mean(name, names)}choose one of: {', '.join(names)}"


def _plain(name: str) -> str:
    return re.sub(r"[-_ .]+", "_", name.strip().casefold())


def first_line(error: BaseException, limit: int = 120) -> str:
    r"""Returns the first line of an error's message, at most `limit` letters, or the name of its type.

    >>> first_line(ValueError("bad magic number\nat offset 0")), first_line(EOFError())
    ('bad magic number', 'EOFError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0][:limit]


def shortened(text: str, limit: int = 100) -> str:
    """Shortens a text to at most `limit` letters.

    >>> shortened("a" * 50, 10)
    'aaaaaaa...'
    """
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def shown(value: object, limit: int = 100) -> str:
    """Formats a value for a message, in at most `limit` letters.

    >>> shown("a.b=1"), shown("x" * 200, limit=12), shown(10**5000)
    ("'a.b=1'", "'xxxxxxxx...", 'of type int')
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or deeply nested lists
        return f"of type {type(value).__name__}"
    return shortened(text, limit)


def printable(text: str) -> str:
    r"""Escapes control characters, so that a terminal shows a text as one line.

    >>> print(printable("a cup\x1b[2J\n"))
    a cup\x1b[2J\n
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def system_errno(error: BaseException) -> int | None:
    """Returns the operating system's errno of an error, ENOMEM if memory ran out; None for other errors.

    EINVAL is excluded: a file that is read at an impossible position is damaged.
    """
    if is_out_of_memory(error):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return None if error.errno == errno.EINVAL else error.errno
    if re.fullmatch(r"\d+ requested and \d+ written", str(error)):  # NumPy does not pass the errno on
        return errno.ENOSPC
    found = re.search(r"\(os error (\d+)\)", str(error))  # safetensors has it in the text only
    return int(found[1]) if found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; torch reports that of the CPU by the text of a RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules:
        return False
    import torch

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and re.search("(can't|cannot) allocate memory", str(error), re.I) is not None
    )


def unreadable(path: Path, error: BaseException) -> InvalidInput | None:
    """Returns the error for a file that the system could not read; None for errors of other kinds.

    >>> print(unreadable(Path("x.pth"), OSError(errno.EMFILE, "Too many open files")))
    x.pth cannot be read (Too many open files); raise the limit of open files with ulimit -n
    """
    number = system_errno(error)
    if number is None:
        return None
    way_out = WAYS_OUT.get(number, "give another file")
    return InvalidInput(f"{path} cannot be read ({os.strerror(number)}); {way_out}")
