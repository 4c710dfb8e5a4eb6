"""Files that grow line by line, and what a killed process leaves of the last one."""

import os
from pathlib import Path


def cut_to_whole_lines(file: Path) -> None:
    """Takes away the half line at the end of a file, if it has one; a file that is not there stays away."""
    if not file.exists():
        return
    with file.open("rb") as content:
        end = whole = 0
        for line in content:
            end += len(line)
            whole = end if line.endswith(b"\n") else whole
    if whole < end:
        os.truncate(file, whole)
