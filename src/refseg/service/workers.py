"""Workers as the service sees them: a process for each device, which is started again when it dies."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Protocol

from refseg.errors import InvalidInput, first_line
from refseg.service.messages import Answer, Failed, Job, Message, Ready, Refusal, Setup, VideoJob
from refseg.service.worker import IGNORED_SIGNALS, run

MAX_FIRST_STARTS = 3  # of a worker that dies before it was ever ready; then there is no service
MIN_DELAY, MAX_DELAY = 1.0, 30.0  # seconds before a worker that was never ready is started again
_EXIT_SECONDS = 2.0  # that a process may take to end after its connection has ended
_log = logging.getLogger("refseg.service")


class Process(Protocol):
    """The part of `multiprocessing.Process` that is used."""

    @property
    def exitcode(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""

    def kill(self) -> None:
        """Ends it at once."""

    def join(self, timeout: float | None = None) -> None:
        """Waits until it has ended."""


Start = Callable[[Connection, Setup], Process]
"""Starts a worker at the other end of a connection, and closes that end here."""


def start_process(connection: Connection, setup: Setup) -> Process:
    """Starts a worker in a new process, which inherits nothing of this one."""
    process = get_context("spawn").Process(target=run, args=(connection, setup), name="refseg worker", daemon=True)
    with _signals_deferred():  # also in the new process, until it ignores them
        process.start()
    connection.close()
    return process


@contextmanager
def _signals_deferred() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would lift the block as it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Worker:
    """A worker with the jobs that it has; all of it is used in one event loop.

    Attributes:
        setup: the weights that it loads, and how it answers.
        ready: facts on the loaded weights; None while it cannot answer.
        jobs: jobs that it was given and has not answered, by number.
        starts: number of times that it was started.
        heard: time by `time.monotonic` of its last message, or of its first job since it had none.
    """

    def __init__(
        self,
        setup: Setup,
        start: Start,
        on_message: Callable[["Worker", Message], None],
        on_death: Callable[["Worker", dict[int, Job | VideoJob]], None],
    ):
        """Makes a worker, which `live` starts.

        Args:
            setup: the weights that it loads, and how it answers.
            start: function that starts it.
            on_message: function that receives its messages.
            on_death: function that receives the jobs that it had when it died.
        """
        self.setup, self._start, self._on_message, self._on_death = setup, start, on_message, on_death
        self.ready: Ready | None = None
        self.jobs: dict[int, Job | VideoJob] = {}
        self.starts, self.heard = 0, 0.0
        self._process: Process | None = None
        self._outbox = SimpleQueue[Job | VideoJob | None]()
        self._failure, self._was_ready, self._stopping = "", False, False

    @property
    def room(self) -> int:
        """Number of images that it takes now: those of a batch, and of the next one, which it prepares meanwhile."""
        images = len(self.jobs) - self.videos
        return 2 * self.setup.limits.batch_size - images if self.ready and not self._stopping else 0

    @property
    def videos(self) -> int:
        """Number of videos that it has."""
        return sum(isinstance(job, VideoJob) for job in self.jobs.values())

    def give(self, job: Job | VideoJob) -> None:
        """Gives it a job."""
        if not self.jobs:
            self.heard = time.monotonic()
        self.jobs[job.number] = job
        self._outbox.put(job)

    def kill(self) -> None:
        """Ends its process at once."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """Lets its process end after the batch that it answers, for good."""
        self._stopping = True
        self._outbox.put(None)

    async def live(self) -> None:
        """Starts it, and again whenever it dies, until it is stopped.

        Raises:
            InvalidInput: if it never becomes ready; later it is tried again and again.
        """
        delay = 0.0
        while not self._stopping:
            self.starts += 1
            ending = await self._run_once()
            delay = 0.0 if self.ready else min(max(2 * delay, MIN_DELAY), MAX_DELAY)
            lost, self.jobs, self.ready = self.jobs, {}, None
            if not self._stopping and not self._was_ready and (self._failure or self.starts == MAX_FIRST_STARTS):
                raise InvalidInput(
                    self._failure
                    or f"the worker on {self.setup.device} {ending} before it was ready, {self.starts} times; is there "
                    "enough memory for these weights?"
                )
            if not self._stopping:
                _log.warning("the worker on %s %s; it is started again", self.setup.device, self._failure or ending)
            self._on_death(self, lost)
            await asyncio.sleep(delay)

    async def _run_once(self) -> str:
        """Runs its process until it ends; returns how it ended."""
        loop, ended, outbox = asyncio.get_running_loop(), asyncio.Event(), SimpleQueue[Job | VideoJob | None]()
        self._outbox, self._failure = outbox, ""
        own, others = get_context("spawn").Pipe()
        try:
            process = self._process = self._start(others, self.setup)
        except OSError as error:  # no memory, or no file descriptors
            return f"could not be started ({first_line(error)})"

        def receive() -> None:
            try:
                while True:
                    loop.call_soon_threadsafe(self._hear, own.recv())
            except (EOFError, OSError):
                loop.call_soon_threadsafe(ended.set)

        def send() -> None:
            job: Job | VideoJob | None = None
            try:
                while (job := outbox.get()) is not None:
                    own.send(job)
                own.send(None)
            except OSError:  # it has died, as `receive` finds as well
                pass

        for target in (receive, send):
            threading.Thread(target=target, daemon=True, name=f"refseg worker {target.__name__}").start()
        try:
            await ended.wait()
            await asyncio.to_thread(process.join, _EXIT_SECONDS)
        finally:
            outbox.put(None)
            if process.exitcode is None:
                process.kill()
                process.join()
        return _ending(process.exitcode)

    def _hear(self, message: Message) -> None:
        self.heard = time.monotonic()
        if isinstance(message, Ready):
            self.ready, self._was_ready = message, True
        elif isinstance(message, Failed):
            self._failure = message.message
        elif isinstance(message, Answer | Refusal):
            self.jobs.pop(message.number, None)
        self._on_message(self, message)


def _ending(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"ended with code {exitcode}"
    try:
        return f"was ended by {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"was ended by signal {-exitcode}"
