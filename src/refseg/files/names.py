"""Conversion of untrusted names to paths that stay within their folder."""

import os
from pathlib import Path, PureWindowsPath

from refseg.errors import InvalidInput, shown

_WINDOWS_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)
_MAX_NAME, _MAX_PATH = 255, 2000  # bytes; the limit of a whole path is 4,096
_MAX_ENDING = 15  # bytes, such as of an unfinished file

_WAY_OUT = "use names relative to the folder, without '..', that lead to files inside of it"


def path_inside(folder: Path, name: str | Path, what: str = "file name") -> Path:
    """Returns the path of `name` in `folder`; the file need not exist.

    A name may have several parts ("train2014/1.jpg"). Links are followed: `folder` may be one, but a link below it
    that leads out of it is refused.

    Args:
        folder: trusted, from the user or the program.
        name: untrusted, from a data set, an archive or a table.
        what: kind of name, for the error.

    Raises:
        InvalidInput: if the name is empty, absolute, climbs ("..") or contains a control character, is the name of a
            device or too long, or if it leads out of the folder.

    >>> path_inside(Path("images"), "train2014/1.jpg").as_posix()
    'images/train2014/1.jpg'
    >>> path_inside(Path("images"), "../../etc/passwd")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    refseg.errors.InvalidInput: file name '../../etc/passwd' leaves its folder ('..'); use names relative to ...
    """
    text = os.fspath(name)
    if fault := _fault(text):
        raise InvalidInput(f"{what} {shown(text, 80)} {fault}; {_WAY_OUT}")
    path = folder / text
    try:
        leaves = not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # a cyclic link, or too long a name
        raise InvalidInput(f"{what} {shown(text, 80)} cannot be a path ({error}); {_WAY_OUT}") from error
    if leaves:
        raise InvalidInput(f"{what} {shown(text, 80)} is a link that leads out of {folder}; {_WAY_OUT}")
    return path


def file_name(name: str, what: str = "name") -> str:
    """Returns `name` if it is a valid name of one file or folder, also with an ending added.

    Raises:
        InvalidInput: if it is not.

    >>> file_name("00042")
    '00042'
    >>> file_name("a/b", "video id")
    Traceback (most recent call last):
    refseg.errors.InvalidInput: video id 'a/b' has a separator; it names one file or folder
    """
    fault = _fault(name, _MAX_NAME - _MAX_ENDING)
    if fault := fault or ("has a separator" if "/" in name or "\\" in name else ""):
        raise InvalidInput(f"{what} {shown(name, 80)} {fault}; it names one file or folder")
    return name


def _fault(text: str, longest: int = _MAX_NAME) -> str:
    """Returns the fault of a name, whatever the folder; "" if there is none."""
    windows = PureWindowsPath(text)
    if not text.strip() or not windows.parts:
        return "is empty"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        return "has a control character"
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return "has half a character (a lone surrogate)"
    if text.startswith(("/", "\\")) or windows.drive or windows.root:
        return "is absolute"
    if ".." in windows.parts:
        return "leaves its folder ('..')"
    if any(len(part.encode()) > longest for part in windows.parts) or len(text.encode()) > _MAX_PATH:
        return "is too long"
    if any(part.split(".")[0].strip().lower() in _WINDOWS_DEVICES for part in windows.parts):
        return "is the name of a device"
    return ""
