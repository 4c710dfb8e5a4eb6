"""The cache folder."""

import os
from pathlib import Path

from refseg.errors import UnwritableOutput


def cache_folder() -> Path:
    """Returns $REFSEG_CACHE, or refseg in the user's cache folder.

    Raises:
        UnwritableOutput: if there is no such folder, since the user has no home.
    """
    folder = os.environ.get("REFSEG_CACHE") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "refseg"))
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise UnwritableOutput(f"there is no home folder for {folder}; set REFSEG_CACHE to a folder") from error
