"""The folder of the page's files: uploads, pictures, downloads; what is old is removed, and all of it at the end."""

import atexit
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg.errors import InvalidInput, first_line, for_caller
from refseg.files.lock import LOCK, UNLOCKABLE, try_lock

if TYPE_CHECKING:
    from filelock import BaseFileLock

KEPT_SECONDS = 900  # time for which files, and answers, are kept
MAX_BYTES = 4e9  # of all files; beyond it the oldest go first
PREFIX = "refseg-page-"
_SWEEP_SECONDS = 10.0  # time between two looks for what is old


class TemporaryFiles:
    """A temporary folder of bounded size whose files are removed when they are old.

    It is locked until it is closed, so that another process can tell what a killed one has left.

    Args:
        seconds: age from which a file is removed.
        max_bytes: size from which the oldest files are removed.

    Attributes:
        folder: path of the folder.

    Raises:
        InvalidInput: if there is no place for it.
    """

    def __init__(self, seconds: float = KEPT_SECONDS, max_bytes: float = MAX_BYTES):
        remove_abandoned()
        self.seconds, self.max_bytes = seconds, max_bytes
        try:
            self.folder, self._lock = _make_locked_folder()
        except OSError as error:
            without = for_caller("--no-page", "page=False")
            raise InvalidInput(
                f"the page has no folder for uploads ({first_line(error)}); set TMPDIR to one that can be written, or "
                f"leave the page out: {without}"
            ) from error
        self._closed = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_until_closed, daemon=True, name="refseg page files")
        atexit.register(self.close)

    def close(self) -> None:
        """Removes the folder, and ends the thread that removes what is old."""
        self._closed.set()
        if self._sweeper.is_alive():
            self._sweeper.join()
        if self._lock is not None:
            self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def new(self, name: str) -> Path:
        """Returns the path of a new file, in a folder of its own, since downloads have its name."""
        return self.new_folder() / name

    def new_folder(self) -> Path:
        """Returns the path of a new folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def get_upload(self, payload: Any) -> str | None:
        """Returns the path of an uploaded file, whatever it holds; gradio itself would fail where it is no image.

        Raises:
            ValueError: if the file was not uploaded.
        """
        path: str | None = payload.path if payload is not None else None
        if path is not None and not Path(path).resolve().is_relative_to(self.folder.resolve()):
            raise ValueError("the file was not uploaded")
        return path

    def sweep(self) -> None:
        """Removes what is old, and the oldest files while all of them are too large."""
        oldest, kept = time.time() - self.seconds, list[tuple[float, int, Path]]()
        for path in sorted(self.folder.rglob("*"), reverse=True):  # what is in a folder comes before it
            with suppress(OSError):
                facts, is_folder = path.lstat(), path.is_dir() and not path.is_symlink()
                if path.name == LOCK:
                    continue
                if facts.st_mtime < oldest:
                    path.rmdir() if is_folder else path.unlink()
                elif not is_folder:
                    kept.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    def start_sweeping(self) -> None:
        """Starts a thread that removes what is old, again and again, until it is closed."""
        self._sweeper.start()

    def _sweep_until_closed(self) -> None:
        while not self._closed.wait(_SWEEP_SECONDS):
            with suppress(OSError):  # others may remove files at the same time
                self.sweep()


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
