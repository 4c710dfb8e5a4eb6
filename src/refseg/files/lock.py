"""Locks between processes, so that one process at a time writes an output.

The operating system keeps a file locked as long as its owner lives. The file alone means nothing: the next process
locks that of a dead one again.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from refseg.errors import UnwritableOutput, another_out

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".refseg.lock"
UNLOCKABLE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors of file systems without locks, such as some network file systems; nothing is locked there."""


@contextmanager
def only_writer(out: Path, beside: bool = False) -> Iterator[None]:
    """Locks `out` against writing by other processes, which fail at once.

    A hidden file is locked, in a folder that is made if it is missing; both are removed afterwards, the folder if it
    is empty.

    Args:
        out: the folder or file that is written.
        beside: Whether the hidden file is beside `out`, which need not exist yet, or within the folder `out`.

    Raises:
        UnwritableOutput: if another process writes to `out`, or the file cannot be locked.
    """
    file = out.absolute().parent / f".{out.absolute().name}.lock" if beside else out / LOCK
    with made_folder(file.parent):
        try:
            lock = try_lock(file)
        except OSError as error:
            if error.errno in UNLOCKABLE:
                yield
                return
            raise UnwritableOutput(f"{out} cannot be written ({error.strerror}); choose {another_out()}") from error
        if lock is None:
            raise UnwritableOutput(
                f"{out} is being written by another run (process {_owner(file)}); wait for it, or choose "
                f"{another_out()}"
            )
        try:
            yield
        finally:
            with suppress(OSError):  # before the release, after which it may be the next owner's
                file.unlink()
            lock.release()


def try_lock(file: Path) -> "BaseFileLock | None":
    """Locks a file, which is made if it is missing, until `release()`; None if another owner has locked it.

    Raises:
        OSError: if the file cannot be made or locked.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    with suppress(OSError):  # the number is for information only
        file.write_text(f"{os.getpid()}\n", encoding="ascii")
    return lock


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Makes a folder and its parents if they are missing; removes those that are empty afterwards.

    Raises:
        UnwritableOutput: if it cannot be made.
    """
    made = [parent for parent in (folder, *folder.parents) if not os.path.lexists(parent)]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnwritableOutput(f"{folder} cannot be written ({error.strerror}); choose {another_out()}") from error
        yield
    finally:
        with suppress(OSError):
            for parent in made:
                parent.rmdir()


def _owner(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").split()[0]
    except (OSError, ValueError, IndexError):
        return "unknown"
