"""One case in a child process: limits on memory and time, and a watch on what it opens and runs."""

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from refseg.errors import RefsegError

MEMORY = 1 << 30
"""Bytes that a case may take beyond what the parent has."""
SECONDS = 20
"""Processor time of a case."""
PATIENCE = 120.0
"""Wall-clock seconds after which a case that waits for something is ended."""
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
OUTCOMES = ("ok", "refused", "traceback", "memory", "time", "crash", "escaped")


def run_in_child(use: Callable[[], None], case: Path) -> tuple[str, str]:
    """The outcome of a call, one of `OUTCOMES`, and what is to be said about it.

    Args:
        use: what is called; it may write below `case`/data and `case`/out.
        case: folder of the case; nothing below `case`/secret may be read.
    """
    told = case / "told"
    child = os.fork()
    if not child:
        try:
            outcome, what = _limited(use, case)
            told.write_text(f"{outcome}\n{what}", encoding="utf-8", errors="replace")
        finally:
            os._exit(0)
    status = _wait(child)
    if status is None:
        return "time", f"waits for more than {PATIENCE:g} s"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return (
            ("time", f"more than {SECONDS} s") if number == signal.SIGXCPU else ("crash", signal.Signals(number).name)
        )
    outcome, _, what = told.read_text(encoding="utf-8").partition("\n")
    return outcome, what


def _wait(child: int) -> int | None:
    """The child's status; None if it was ended because it took too long."""
    end, pause = time.monotonic() + PATIENCE, 0.0005
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(pause)
        pause = min(0.02, pause * 1.5)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _limited(use: Callable[[], None], case: Path) -> tuple[str, str]:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    escapes: list[str] = []
    _watch(case.resolve(), escapes)
    outcome, what = _call(use)
    if (case / "ran").exists():
        escapes.append("a command was run")
    return ("escaped", escapes[0]) if escapes else (outcome, what)


def _watch(case: Path, escapes: list[str]) -> None:
    """Remembers what is run, what is written outside of the case's folders, and what is read from its secret one."""
    allowed = tuple(f"{case}/{name}" for name in ("data", "out", "cache", "told")) + ("/dev/null",)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if path.startswith(f"{case}/secret") or (writes and not path.startswith(allowed)):
                escapes.append(f"opens {path}")
        elif event in FORBIDDEN:
            escapes.append(f"{event}{arguments!r}"[:200])

    sys.addaudithook(hook)


def _call(use: Callable[[], None]) -> tuple[str, str]:
    try:
        use()
    except (RefsegError, ValidationError) as error:
        return "refused", str(error)
    except MemoryError:
        return "memory", _last_place()
    except BaseException as error:
        kind = "memory" if "alloc" in str(error) and isinstance(error, RuntimeError) else "traceback"
        return kind, f"{_last_place()}: {type(error).__name__}: {str(error)[:200]}"
    return "ok", ""


def _last_place() -> str:
    """The last line of the package that an error passed."""
    frames = [frame for frame in traceback.extract_tb(sys.exc_info()[2]) if "/refseg/" in frame.filename]
    return f"{'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno}" if frames else "the fuzzer itself"
