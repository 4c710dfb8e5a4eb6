"""The folder of the page's files: uploads, pictures, downloads; what is old is removed, and all of it at the end."""

import atexit
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from refseg.errors import InvalidInput, first_line, for_caller
from refseg.files.lock import LOCK, UNLOCKABLE, try_lock

if TYPE_CHECKING:
    from filelock import BaseFileLock

KEPT_SECONDS = 900  # time for which files, and answers, are kept
PREFIX = "refseg-page-"
_SWEEP_SECONDS = 60.0  # time between two looks for what is old


class TemporaryFiles:
    """A temporary folder whose files are removed when they are old.

    It is locked as long as this process lives, so that another one can tell what a killed one has left.

    Args:
        seconds: age from which a file is removed.

    Attributes:
        folder: path of the folder.

    Raises:
        InvalidInput: if there is no place for it.
    """

    def __init__(self, seconds: float = KEPT_SECONDS):
        remove_abandoned()
        self.seconds = seconds
        try:
            self.folder, self._lock = _make_locked_folder()
        except OSError as error:
            without = for_caller("--no-page", "page=False")
            raise InvalidInput(
                f"the page has no folder for uploads ({first_line(error)}); set TMPDIR to one that can be written, or "
                f"leave the page out: {without}"
            ) from error
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)

    def new(self, ending: str) -> Path:
        """Returns the path of a new file with an ending, ".png"."""
        handle, name = tempfile.mkstemp(suffix=ending, dir=self.folder)
        os.close(handle)
        return Path(name)

    def new_folder(self) -> Path:
        """Returns the path of a new folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def sweep(self) -> None:
        """Removes what is old."""
        oldest = time.time() - self.seconds
        for path in sorted(self.folder.rglob("*"), reverse=True):  # what is in a folder comes before it
            with suppress(OSError):
                if path.name != LOCK and path.lstat().st_mtime < oldest:
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def sweep_for_ever(self) -> None:
        """Starts a thread that removes what is old, once a minute."""

        def sweep() -> None:
            while True:
                time.sleep(_SWEEP_SECONDS)
                self.sweep()

        threading.Thread(target=sweep, daemon=True, name="refseg page files").start()


def remove_abandoned() -> None:
    """Removes this user's folders of services that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            facts = folder.lstat()
            is_own = not folder.is_symlink() and facts.st_uid == getattr(os, "getuid", int)()
            if is_own and (lock := try_lock(folder / LOCK)):
                shutil.rmtree(folder, ignore_errors=True)
                lock.release()


def _make_locked_folder() -> "tuple[Path, BaseFileLock | None]":
    """Makes a folder; its lock is None on file systems without locks, where nobody takes it for abandoned."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            lock = try_lock(folder / LOCK)
        except OSError as error:
            if error.errno in UNLOCKABLE:
                return folder, None
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if lock:  # otherwise another process took it for abandoned before it was locked
            return folder, lock
