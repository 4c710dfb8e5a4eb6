"""The largest memory that a process has had."""

import os
import sys
from pathlib import Path


def peak_memory(process: int | None = None) -> int:
    """Returns the largest memory of a running process in bytes so far, 0 where the system does not tell.

    On Linux `ru_maxrss` begins with what the process had that started it, so that of a small one it tells too much.

    Args:
        process: its id; this process if not given.
    """
    try:
        status = Path(f"/proc/{process or os.getpid()}/status").read_text(encoding="utf-8")
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    except OSError:
        pass
    if process is not None or sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
