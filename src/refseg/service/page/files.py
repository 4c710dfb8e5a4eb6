"""The folder of the page's files: uploads, pictures, downloads; what is old is removed, and all of it at the end."""

import atexit
import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from refseg.errors import InvalidInput, first_line, for_caller

SECONDS = 900  # for which files, and answers, are kept
PREFIX = "refseg-page-"
_EVERY = 60.0  # seconds between two looks for what is old


class TemporaryFiles:
    """A temporary folder whose files are removed when they are old.

    Args:
        seconds: after which a file is removed.

    Attributes:
        folder: the folder.

    Raises:
        InvalidInput: if there is no place for it.
    """

    def __init__(self, seconds: float = SECONDS):
        remove_abandoned()
        self.seconds = seconds
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
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

    def sweep(self) -> None:
        """Removes what is old."""
        oldest = time.time() - self.seconds
        for path in sorted(self.folder.rglob("*"), reverse=True):  # what is in a folder comes before it
            with suppress(OSError):
                if path.lstat().st_mtime < oldest:
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def sweep_for_ever(self) -> None:
        """Starts a thread that removes what is old, once a minute."""

        def sweep() -> None:
            while True:
                time.sleep(_EVERY)
                self.sweep()

        threading.Thread(target=sweep, daemon=True, name="refseg page files").start()


def remove_abandoned() -> None:
    """Removes the folders of services that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        with suppress(ValueError, OSError):
            process = int(folder.name.removeprefix(PREFIX).partition("-")[0])
            if (
                folder.lstat().st_uid == getattr(os, "getuid", int)()
                and not folder.is_symlink()
                and not _is_running(process)
            ):
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
