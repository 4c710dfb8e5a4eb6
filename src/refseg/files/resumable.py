"""Repair of files that grow line by line after a killed process."""

import os
from pathlib import Path


def cut_to_whole_lines(file: Path) -> None:
    """Removes an incomplete last line of a file, if the file exists."""
    if not file.exists():
        return
    with file.open("rb") as content:
        end = whole = 0
        for line in content:
            end += len(line)
            whole = end if line.endswith(b"\n") else whole
    if whole < end:
        os.truncate(file, whole)
