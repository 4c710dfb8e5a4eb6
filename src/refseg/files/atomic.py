"""Atomic writing of files and folders, and removal of what killed processes leave."""

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refseg.errors import RefsegError, UnwritableOutput, another_out, system_errno
from refseg.files.lock import LOCK, UNLOCKABLE, made_folder, try_lock

STAGING = ".refseg-"
"""Prefix of staging folders, which hold a locked file, new files, old folders and a list of moves."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Errors of the operating system that name no file."""
_LOCK, _NEW, _OLD, _MOVES = "lock", "new", "old", "moves.json"


def check_writable(folder: Path) -> None:
    """Checks that a folder can be written or made, without changes.

    Raises:
        UnwritableOutput: if it cannot.
    """
    for parent in (folder, *folder.parents):
        try:
            os.stat(parent)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and not parent.is_symlink():
                continue
            reason = error.strerror
        else:
            if not parent.is_dir():
                raise UnwritableOutput(f"{parent} is not a folder; choose {another_out()}")
            if os.access(parent, os.W_OK | os.X_OK):
                return
            reason = "no permission"
        raise UnwritableOutput(f"{parent} cannot be written ({reason}); choose {another_out()}")


def check_file_writable(file: Path) -> None:
    """Checks that a file can be written, without changes.

    Raises:
        UnwritableOutput: if it cannot.
    """
    check_writable(file.parent)
    try:
        is_folder = stat.S_ISDIR(os.stat(file).st_mode)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise UnwritableOutput(f"{file} cannot be written ({error.strerror}); give another name") from error
        return
    if is_folder:
        raise UnwritableOutput(f"{file} is a folder; give the name of a file in it")


def check_absent(path: Path, way_out: str) -> None:
    """Checks that nothing would be replaced: that a file is not there, or a folder is empty or not there.

    Args:
        path: the file or folder to write.
        way_out: what to do otherwise.

    Raises:
        UnwritableOutput: if it is there.
    """
    try:
        is_there = any(file.name != LOCK for file in path.iterdir()) if path.is_dir() else os.path.lexists(path)
    except OSError:
        return  # what writes there tells why
    if is_there:
        raise UnwritableOutput(f"{path} is there already and would be replaced; {way_out}")


@contextmanager
def all_or_nothing(folder: Path, replaces: bool = False) -> Iterator[Path]:
    """Yields an empty folder, whose files move to `folder` at the end and are removed on any error or Ctrl-C.

    `folder` is made if it is missing. Files of the same names are replaced, and folders as a whole, if they hold files
    of the same suffixes alone. The next process removes what a killed one leaves.

    Args:
        folder: destination of the files.
        replaces: Whether folders are replaced whatever they hold.

    Raises:
        UnwritableOutput: if the folder or the files cannot be written; errors of other files are passed on.
    """
    filled: Path | None = None  # while the caller writes to it
    try:
        with made_folder(folder):
            remove_leftovers(folder)
            with _staging(folder) as staging:
                filled = staging / _NEW
                yield filled
                filled = None
                if not replaces:
                    _check_replaceable(staging / _NEW, folder)
                _move(staging, folder)
    except RefsegError:
        raise
    except Exception as error:
        number = system_errno(error)
        if number is None or filled is not None and not _is_of_writing(error, number, filled):
            raise
        raise UnwritableOutput(f"{folder} cannot be written ({os.strerror(number)}); choose {another_out()}") from error


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yields a path to write a file, which replaces `path` once it is synced to disk, or never.

    Raises:
        UnwritableOutput: if it cannot be written.
    """
    with all_or_nothing(path.parent) as folder:
        yield folder / path.name
        with (folder / path.name).open("rb+") as file:
            os.fsync(file.fileno())


def remove_leftovers(folder: Path) -> None:
    """Removes what dead processes left of `all_or_nothing(folder)`, and undoes their moves.

    For callers that may find everything written. A folder that is missing or read-only is left as it is.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for staging in [folder / name for name in names if name.startswith(STAGING)]:
        with suppress(OSError):
            if _is_ours(staging) and (lock := try_lock(staging / _LOCK)):
                try:
                    _undo(staging, folder)
                    shutil.rmtree(staging, ignore_errors=True)
                finally:
                    lock.release()


def _is_ours(staging: Path) -> bool:
    """Whether `_staging` can have made a folder: it has no links, which could lead to other files."""
    return not any((staging / part).is_symlink() for part in ("", _NEW, _OLD, _LOCK, _MOVES))


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    while True:
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
        try:
            lock = try_lock(staging / _LOCK)
        except OSError as error:
            if error.errno not in UNLOCKABLE:
                shutil.rmtree(staging, ignore_errors=True)
                raise
            lock = None
            break  # without locks no process takes the folder for a leftover
        if lock:
            break  # otherwise another process took it for a leftover before it was locked
    try:
        (staging / _NEW).mkdir()
        (staging / _OLD).mkdir()
        yield staging
    finally:
        _undo(staging, folder)
        shutil.rmtree(staging, ignore_errors=True)
        if lock:
            lock.release()


def _move(staging: Path, folder: Path) -> None:
    """Moves new files into the folder, after it notes names and inodes of those that can be moved back."""
    files = sorted((staging / _NEW).iterdir())
    moves = {file.name: file.lstat().st_ino for file in files if not (folder / file.name).is_file()}
    (staging / _MOVES).write_text(json.dumps(moves), encoding="utf-8")
    for file in files:
        if (folder / file.name).is_dir():
            os.replace(folder / file.name, staging / _OLD / file.name)
        os.replace(file, folder / file.name)


def _undo(staging: Path, folder: Path) -> None:
    """Reverts the moves into the folder, unless they are complete."""
    with suppress(OSError, ValueError, AttributeError):  # nothing was moved, or the folder is another's
        if not any((staging / _NEW).iterdir()):
            return
        moves = json.loads((staging / _MOVES).read_text(encoding="utf-8"))
        for file in folder.iterdir():
            if moves.get(file.name) == file.lstat().st_ino:  # otherwise the file is another
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        for old in (staging / _OLD).iterdir():
            if not (folder / old.name).exists():
                os.replace(old, folder / old.name)


def _is_of_writing(error: Exception, number: int, folder: Path) -> bool:
    """Whether an error can come from writing to a folder."""
    if not isinstance(error, OSError):
        return number != errno.ENOMEM  # from safetensors
    if error.filename is None:
        return number in NO_ROOM
    return Path(os.fsdecode(error.filename)).absolute().is_relative_to(folder.absolute())


def _check_replaceable(new: Path, folder: Path) -> None:
    """Raises UnwritableOutput if a file would replace a folder, or a folder something of another kind."""
    for file in new.iterdir():
        old = folder / file.name
        if old.is_dir() and not file.is_dir():
            raise UnwritableOutput(f"{old} is a folder; choose {another_out()}")
        if file.is_dir() and old.exists():
            kinds = {one.suffix for one in file.iterdir()}
            if not old.is_dir() or any(one.suffix not in kinds for one in old.iterdir()):
                raise UnwritableOutput(f"{old} is or holds something else; choose {another_out()}")
