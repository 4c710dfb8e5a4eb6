"""Service: accepts jobs up to a bound and gives them to workers; each gets an answer or a problem in time."""

import asyncio
import hashlib
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from refseg.counting import counted
from refseg.errors import Caller, InvalidInput, choose_one, shown
from refseg.service.messages import (
    Answer,
    BatchDone,
    Format,
    Job,
    Loaded,
    Message,
    Ready,
    Refusal,
    Setup,
    VideoJob,
    VideoProgress,
    WeightsFacts,
)
from refseg.service.metrics import Metrics
from refseg.service.problems import Problem
from refseg.service.run_aside import run_aside
from refseg.service.workers import Start, Worker, start_process

MAX_RETRY_SECONDS = 60  # that a refused request is told to wait
MAX_VIDEOS = 2  # that a worker has at once; each gets a part of its time
_WATCH_EVERY = 1.0  # seconds


@dataclass
class Slots:
    """A part of the queue that a request holds.

    Attributes:
        count: number of images.
        deadline: time by `time.monotonic` at which they must be answered.
    """

    count: int
    deadline: float

    @property
    def seconds_left(self) -> float:
        """Time until the deadline, not below 0."""
        return max(self.deadline - time.monotonic(), 0.0)


class Service:
    """The queue between requests and workers; used in one event loop.

    Attributes:
        limits: limits of requests and of the queue.
        metrics: counts and times of requests.
        stopping: whether it accepts nothing new.
        on_loaded: function that is told of each of the weights that a worker has loaded.
    """

    def __init__(self, setups: Sequence[Setup], start: Start = start_process):
        """Makes a service, which `start` starts.

        Args:
            setups: setup of each worker, with the same weights and limits.
            start: function that starts a worker.
        """
        self.setups, self.limits, self.metrics, self.stopping = setups, setups[0].limits, Metrics(), False
        self.metrics.queue_limit.set(self.limits.queue)
        self.workers = [Worker(setup, start, self._hear, self._lose) for setup in setups]
        self._waiting, self._videos = deque[Job | VideoJob](), 0
        self._futures: dict[int, asyncio.Future[Answer]] = {}
        self._on_progress: dict[int, Callable[[VideoProgress], None]] = {}
        self._numbers, self._held, self._seconds_per_image = itertools.count(1), 0, 0.1
        self._known: tuple[WeightsFacts, ...] = ()
        self._lives: list[asyncio.Task[None]] = []
        self._watch: asyncio.Task[None] | None = None
        self._changed, self._end = asyncio.Event(), 0.0
        self.on_loaded: Callable[[Loaded], None] = lambda _: None

    def start(self) -> None:
        """Starts the workers, if they are not started yet."""
        if self._lives:
            return
        self._lives = [asyncio.create_task(self._live(worker)) for worker in self.workers]
        self._watch = asyncio.create_task(self._watch_workers())

    async def wait_until_ready(self) -> None:
        """Waits until all workers have loaded their weights.

        Raises:
            InvalidInput: if one cannot.
        """
        while not all(worker.ready for worker in self.workers):
            for life in self._lives:
                if life.done():
                    life.result()
                    raise InvalidInput("the service was stopped before it was ready")
            self._changed.clear()
            await self._changed.wait()

    async def stop(self, grace: float | None = None) -> int:
        """Accepts nothing new, finishes what was accepted within a grace, and ends the workers.

        Args:
            grace: time in seconds; that of the limits if not given.

        Returns:
            the number of images that were not answered in time, which their requests were told.
        """
        self.stopping = True
        self._end = time.monotonic() + (self.limits.grace if grace is None else grace)
        while self._held and time.monotonic() < self._end:
            await asyncio.sleep(0.02)
        late = len(self._futures)
        for number in list(self._futures):
            self._fail(number, Problem(503, "stopping", "the service was stopped before this was answered", 5))
        if self._watch is not None:
            self._watch.cancel()
        for worker in self.workers:
            worker.stop()
        if self._lives:
            await asyncio.wait(self._lives, timeout=0.1 if late else 2)
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        return late

    def hurry(self) -> None:
        """Ends the grace of `stop`."""
        self._end = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether requests are accepted and a worker can answer them."""
        return not self.stopping and any(worker.ready for worker in self.workers)

    @property
    def weights(self) -> tuple[WeightsFacts, ...]:
        """Facts on the weights, () until they are loaded."""
        return next((worker.ready.weights for worker in self.workers if worker.ready), self._known)

    @contextmanager
    def accepted(self) -> Iterator[Slots]:
        """A place in the queue for one image, before anything of it is read.

        Raises:
            Problem: 503, if there is none.
        """
        if self.stopping:
            raise Problem(503, "stopping", "the service is being stopped; ask another one, or ask again", 5)
        if not self._known:
            raise Problem(503, "not_ready", "the weights are being loaded; ask again soon", 5)
        slots = Slots(0, time.monotonic() + self.limits.seconds)
        self.widen(slots, 1)
        try:
            yield slots
        finally:
            self._hold(-slots.count)

    @contextmanager
    def request(self, path: str) -> Iterator[Slots]:
        """A request with a place in the queue, which is counted and, if it gets an answer, timed.

        Args:
            path: path of the request, for the metrics.

        Raises:
            Problem: 503, if there is no place.
        """
        begin, status = time.monotonic(), 500
        try:
            with self.accepted() as slots:
                yield slots
            status = 200
            self.metrics.seconds.labels(path).observe(time.monotonic() - begin)
        except Problem as problem:
            status = problem.status
            self.metrics.problems.labels(problem.code).inc()
            raise
        finally:
            self.metrics.requests.labels(path, str(status)).inc()

    def widen(self, slots: Slots, count: int) -> None:
        """Makes a request hold so many places of the queue.

        Raises:
            Problem: 503, if there are not so many.
        """
        more = count - slots.count
        if self._held + more > self.limits.queue:
            raise Problem(
                503,
                "queue_full",
                f"{counted(self._held, 'image')} of at most {self.limits.queue} are waiting to be answered; ask again "
                "later",
                self.retry_after,
            )
        slots.count = count
        self._hold(more)

    @property
    def retry_after(self) -> int:
        """Seconds until what waits now should be answered."""
        seconds = self._held * self._seconds_per_image / len(self.workers)
        return min(max(1, math.ceil(seconds)), MAX_RETRY_SECONDS)

    def check_weights(self, name: str | None) -> None:
        """Checks that a request names weights that are loaded, or none.

        Raises:
            Problem: 422, if it names others.
        """
        names = [facts.name for facts in self.weights]
        if name is not None and name not in names:
            raise Problem(422, "not_valid", f"unknown weights {shown(name)}; {choose_one(name, names)}")

    async def answer(
        self,
        slots: Slots,
        image: bytes,
        expressions: Sequence[str],
        weights: str | None = None,
        threshold: float | None = None,
        format: Format = Format.JSON,
        words: bool = False,
        caller: Caller = "http",
    ) -> Answer:
        """Returns the answer about an image, which has a place in the queue.

        Args:
            slots: the places that its request holds.
            image: content of an image file.
            expressions: expressions about it.
            weights: name of the weights that answer; None for the default.
            threshold: threshold of existence; None for that of the weights.
            format: form of the answer.
            words: whether the weights of words are told, where the network has some.
            caller: whose words messages use.

        Raises:
            Problem: if there is none.
        """
        digest = await run_aside(len(image), lambda: hashlib.sha256(image).hexdigest())
        number, asked, until = next(self._numbers), tuple(expressions), slots.deadline
        job = Job(number, image, digest, asked, weights, threshold, format, until, words, caller)
        return await self._answer(slots, job)

    async def answer_video(
        self,
        slots: Slots,
        video: Path,
        name: str,
        folder: Path,
        expressions: Sequence[str],
        weights: str | None = None,
        every: int = 1,
        on_progress: Callable[[VideoProgress], None] = lambda _: None,
    ) -> Answer:
        """Returns the answer about a video, which has a place in the queue; few are answered at the same time.

        Args:
            slots: the place that its request holds.
            video: path of a video file.
            name: its name in messages.
            folder: folder for the files of the answer (`answer_video`), which the caller removes.
            expressions: expressions about it.
            weights: name of the weights that answer; None for those that suit it.
            every: how many frames from one that is answered to the next.
            on_progress: function that receives how far the answer is.

        Raises:
            Problem: if there is none.
        """
        if self._videos >= MAX_VIDEOS * len(self.workers):
            detail = f"{counted(self._videos, 'video')} of others are being answered, no more at once; ask again later"
            raise Problem(503, "queue_full", detail, MAX_RETRY_SECONDS)
        number, about = next(self._numbers), tuple(expressions)
        job = VideoJob(number, str(video), name, str(folder), about, weights, every, slots.deadline)
        self._videos, self._on_progress[number] = self._videos + 1, on_progress
        try:
            return await self._answer(slots, job)
        finally:
            self._videos -= 1
            del self._on_progress[number]

    async def _answer(self, slots: Slots, job: Job | VideoJob) -> Answer:
        """Returns the answer to a job as soon as a worker gives it."""
        future = self._futures[job.number] = asyncio.get_running_loop().create_future()
        self._waiting.append(job)
        self._give_out()
        try:
            answer = await asyncio.wait_for(future, slots.seconds_left)
        except TimeoutError:
            raise Problem(
                504,
                "timeout",
                f"there was no answer within {self.limits.seconds:g} seconds; {job.way_out}",
            ) from None
        finally:
            self._futures.pop(job.number, None)
            if job in self._waiting:
                self._waiting.remove(job)
        self.metrics.expressions.inc(len(job.expressions))
        return answer

    def _hold(self, more: int) -> None:
        self._held += more
        self.metrics.queue.set(self._held)

    def _give_out(self) -> None:
        """Gives jobs that wait to workers, the one with the fewest jobs of the kind first."""
        while self._waiting:
            if isinstance(self._waiting[0], VideoJob):
                worker = max(self.workers, key=lambda one: (one.room > 0, -one.videos))
            else:
                worker = max(self.workers, key=lambda one: one.room)
            if worker.room <= 0:
                return
            worker.give(self._waiting.popleft())

    def _hear(self, worker: Worker, message: Message) -> None:
        if isinstance(message, Answer):
            future = self._futures.get(message.number)
            if future is not None and not future.done():
                future.set_result(message)
        elif isinstance(message, VideoProgress):
            if on_progress := self._on_progress.get(message.number):
                on_progress(message)
        elif isinstance(message, Refusal):
            again = self.retry_after if message.status == 503 else None
            self._fail(message.number, Problem(message.status, message.code, message.detail, again))
        elif isinstance(message, BatchDone):
            self.metrics.add_batch(message)
            self._seconds_per_image += 0.2 * (message.seconds / max(message.images, 1) - self._seconds_per_image)
        elif isinstance(message, Loaded):
            self.on_loaded(message)
        elif isinstance(message, Ready):
            self._known = message.weights
        self._note_workers()
        self._give_out()

    def _lose(self, worker: Worker, lost: dict[int, Job | VideoJob]) -> None:
        if not self.stopping:
            self.metrics.restarts.inc()
        for number, job in lost.items():
            what = "video" if isinstance(job, VideoJob) else "image"
            detail = f"the worker that had this {what} has died and is started again; ask again"
            self._fail(number, Problem(503, "worker_died", detail, 5))
        self._note_workers()
        self._give_out()

    def _fail(self, number: int, problem: Problem) -> None:
        future = self._futures.get(number)
        if future is not None and not future.done():
            future.set_exception(problem)

    def _note_workers(self) -> None:
        self.metrics.workers.set(sum(worker.ready is not None for worker in self.workers))
        self._changed.set()

    async def _live(self, worker: Worker) -> None:
        try:
            await worker.live()
        finally:
            self._changed.set()

    async def _watch_workers(self) -> None:
        """Ends workers that have jobs and say nothing any more, which starts them again."""
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            for worker in self.workers:
                if worker.ready and worker.jobs and time.monotonic() - worker.heard > 2 * self.limits.seconds:
                    worker.kill()
