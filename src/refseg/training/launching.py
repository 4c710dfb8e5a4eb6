"""The processes of a machine: the first one starts the others, takes signals for all of them, and leaves none behind.

A signal to the whole group would otherwise end the others one by one, each with words of its own, and Fabric kills
the first one where another one fails. torchrun starts and ends all of them itself.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from lightning.fabric import Fabric

from refseg.distributed import is_distributed, is_first_error
from refseg.training.stopping import SIGNALS, TrainingStopped

STARTED_BY = "REFSEG_STARTED_BY"
"""Environment variable of a process that another one of the run has started: the number of that one."""

PATIENCE = 3.0  # seconds; what a process has to do once it was told to end is over sooner, its exit need not be


@contextmanager
def launched(fabric: Fabric) -> Iterator[None]:
    """Launches the processes of a run; where the body fails or is stopped, those that this process started end too."""
    if parent := os.environ.pop(STARTED_BY, ""):
        threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    others: list[subprocess.Popen] = getattr(fabric.strategy.launcher, "procs", [])
    try:
        os.environ[STARTED_BY] = str(os.getpid())
        with nullcontext() if parent or fabric.world_size == 1 else _signals_end(others):
            fabric.launch()
        del os.environ[STARTED_BY]
        yield
    except BaseException as error:
        started = list(others)
        others.clear()  # Fabric looks there for processes that failed
        interrupted = isinstance(error, KeyboardInterrupt) and not isinstance(error, TrainingStopped)
        _end(started, patience=0 if interrupted else PATIENCE)
        raise


def tells_error() -> bool:
    """Whether it is this process that tells the user of the error it has: one of all that have any.

    What the first process has started, and is not connected yet, can only have an error that the first had not.
    """
    return is_first_error() if is_distributed() else STARTED_BY in os.environ or is_first_error()


def _end(processes: list[subprocess.Popen], patience: float) -> None:
    """Waits until processes have ended, and kills those that have not after `patience` seconds."""
    end = time.monotonic() + patience
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _signals_end(others: Sequence[subprocess.Popen]) -> Iterator[None]:
    """Lets a signal end this process and the others while the body runs, even where a library waits for them.

    A handler could do that only when the library has come back. In processes that are started in the body signals
    wait for good.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before, over = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS), threading.Event()
    watch = threading.Thread(target=_end_on_signal, args=(set(SIGNALS) - _ignored(), others, over), daemon=True)
    if hasattr(signal, "sigtimedwait"):  # not on macOS, where the signal waits until the body is over
        watch.start()
    try:
        yield
    finally:
        over.set()
        if watch.ident is not None:
            watch.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignored() -> set[int]:
    return {number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN}


def _end_on_signal(signals: Collection[int], others: Sequence[subprocess.Popen], over: threading.Event) -> None:
    while not over.is_set():
        if found := signal.sigtimedwait(signals, 0.1):
            for process in others:
                process.kill()
            os.write(2, b"stopped before the first step\n")
            os._exit(128 + found.si_signo)


def _end_with(parent: int) -> None:
    """Ends this process as soon as its parent has."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
