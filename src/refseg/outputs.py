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
def all_or_nothing(folder: Path, staging: Path | None = None) -> Iterator[Path]:
    """Yields an empty folder; its files move to `folder` at the end, and vanish on any error or Ctrl-C.

    `folder` is made where it is missing; files of the same names are replaced. So are folders, as a whole, if they
    hold files of the same kinds alone.

    Args:
        folder: where the files go.
        staging: where they are until then, on the same disk; what a killed process left there is removed. None: a new
            folder within `folder`.

    Raises:
        UnwritableOutput: if the folder or the files cannot be written.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    done = False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if staging is None:
            staging = Path(tempfile.mkdtemp(prefix=".refseg-", dir=folder))
        else:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
        try:
            yield staging
            files = sorted(staging.iterdir())
            for file in files:
                _check_replaceable(folder / file.name, file)
            for file in files:
                if (folder / file.name).is_dir():
                    os.replace(folder / file.name, staging / f"{file.name}.replaced")
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


def _check_replaceable(old: Path, new: Path) -> None:
    if old.is_dir() and not new.is_dir():
        raise UnwritableOutput(f"{old} is a folder; choose another place with --out")
    if new.is_dir() and old.exists():
        kinds = {file.suffix for file in new.iterdir()}
        if not old.is_dir() or any(file.suffix not in kinds for file in old.iterdir()):
            raise UnwritableOutput(f"{old} is or holds something else; choose another place with --out")


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
