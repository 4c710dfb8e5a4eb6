"""Files that appear all at once or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refseg.errors import RefsegError, UnwritableOutput


def check_writable(folder: Path) -> None:
    """Says early that a folder cannot be written, or not be made; changes nothing.

    Raises:
        UnwritableOutput: if so.
    """
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(parent))
    if not existing.is_dir():
        raise UnwritableOutput(f"{existing} is not a folder; choose another place with --out")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UnwritableOutput(f"{existing} cannot be written; choose another place with --out")


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[Path]:
    """Yields an empty folder; its files move to `folder` at the end, and vanish on any error or Ctrl-C.

    `folder` is made where it is missing; files of the same names are replaced.

    Raises:
        UnwritableOutput: if the folder or the files cannot be written.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    done = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".refseg-", dir=folder))
        try:
            yield staging
            files = sorted(staging.iterdir())
            for file in files:
                if (folder / file.name).is_dir():
                    raise UnwritableOutput(f"{folder / file.name} is a folder; choose another place with --out")
            for file in files:
                os.replace(file, folder / file.name)
            done = True
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except RefsegError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise UnwritableOutput(f"{folder} cannot be written ({reason}); choose another place with --out") from error
    finally:
        if not done:
            _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
