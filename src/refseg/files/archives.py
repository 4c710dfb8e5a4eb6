"""Names of the members of ZIP archives: nothing is unpacked, and torch is not imported."""

import zipfile
import zlib
from pathlib import Path

from refseg.counting import counted

MAX_MEMBERS = 1_000_000
"""Largest number of members; those of weights have thousands."""
ZIP = b"PK\x03\x04", b"PK\x05\x06"
"""First bytes of an archive, and of an empty one."""


def check_member(path: Path, name: str, max_size: int) -> None:
    """Checks that a member of a ZIP archive is whole, by its checksum; a larger one than `max_size` is not read.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size <= max_size:
                archive.read(name)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def member_names(path: Path) -> list[str]:
    """Returns the names of the members of a ZIP archive, which only its directory at the end of the file tells.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is no archive, damaged, or has too many members.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(str(error)) from error
    if len(names) > MAX_MEMBERS:
        raise ValueError(f"it has {counted(len(names), 'member')}")
    return names
