"""The folder for what can be made or fetched again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$REFSEG_CACHE, or refseg in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "refseg"
    return Path(os.environ.get("REFSEG_CACHE", default))
