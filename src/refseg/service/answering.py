"""Answering: jobs to answers, in batches, with the features of images kept.

Batches    the first job that waits and whatever else waits by then, without a timer: a job alone is answered at once,
           and while a batch is computed the next one gathers.
Order      Of a batch, as many images as the network takes at once are encoded and answered before the next ones, and
           each answer is sent when it is there. Jobs that are late by then are not computed.
Videos     are answered in turn with batches: a batch if any image waits, some frames of a video, and so on, so that an
           image waits for a few frames at most.
Threads    Images are decoded ahead, and results are encoded behind; few results wait for that.
"""

import io
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Condition, Lock
from typing import Any, Self

from PIL import UnidentifiedImageError

from refseg.array_types import RgbImage
from refseg.checkpoints import bundled
from refseg.counting import counted
from refseg.errors import RefsegError, is_out_of_memory, speaking_to
from refseg.evaluation.report.provenance import weights_facts
from refseg.extensions import add_extension
from refseg.inference.results import Result
from refseg.inference.segmenter import EncodedImage, Segmenter, load
from refseg.networks import NETWORKS
from refseg.preprocessing.images import open_image, read_image, still_kind, upright_size
from refseg.service.encode_results import encode_result, join_results
from refseg.service.encodings import Encodings
from refseg.service.memory_budget import MemoryBudget
from refseg.service.messages import Answer, BatchDone, Format, Job, Loaded, Refusal, Setup, VideoJob, WeightsFacts
from refseg.service.problems import Problem
from refseg.service.videos_in_turn import VideosInTurn
from refseg.video.formats import begins_as_video

THREADS = 4  # that decode images and encode results
WAITING_RESULT_BYTES = 2**28  # of masks and instance maps that were computed and not encoded yet; at least one result
MAX_OVERLAYS = 8  # of an image of the largest size that is allowed, in one answer; more of smaller ones


@dataclass(eq=False)
class Prepared:
    """A job whose image is decoded, or encoded already.

    Attributes:
        job: the request about the image.
        kind: format of its image file, "JPEG".
        size_hw: height and width of the image.
        pixels: (H, W, 3); None if `encoded` is there.
        encoded: the image, encoded by the weights that answer.
    """

    job: Job
    kind: str
    size_hw: tuple[int, int]
    pixels: RgbImage | None = None
    encoded: EncodedImage | None = None

    @property
    def image(self) -> EncodedImage:
        """The encoded image, once it is there."""
        assert self.encoded is not None
        return self.encoded

    @property
    def is_late(self) -> bool:
        """Whether its request has been told already that there was no answer in time."""
        return self.job.deadline < time.monotonic()


class Answering:
    """Segmenters, and the jobs that wait for them; a context that ends its threads."""

    def __init__(self, setup: Setup, send: Callable[[Any], None]):
        """Loads the weights.

        Args:
            setup: names of the weights, and the limits.
            send: function that receives the messages to the service; called by one thread at a time.

        Raises:
            MissingFile, InvalidInput: if weights cannot be loaded.
        """
        for name in setup.networks:
            add_extension(NETWORKS, name)
        self.setup, self._send, self._sending = setup, send, Lock()
        self.segmenters: dict[str, Segmenter] = {}
        for name in setup.weights:
            unnamed_reader = setup.by_image and name == bundled.FOR_PHOTOGRAPHS  # which computes in float32
            precision = "f32" if unnamed_reader else setup.precision
            self.segmenters[name] = load(name, setup.device, precision=precision)
            self._tell(Loaded(name, setup.device))
        self.encodings = Encodings(setup.limits.cache_megabytes * 1e6)
        for name, segmenter in self.segmenters.items():
            self.encodings.add_weights(name, [segmenter.network])
        self._waiting, self._changed, self._stopped = deque[Prepared](), Condition(), False
        self._videos = VideosInTurn(self.segmenters, setup, self._tell, self._refuse)
        self._threads, self._unwritten = ThreadPoolExecutor(THREADS, "image"), MemoryBudget(WAITING_RESULT_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def facts(self) -> tuple[WeightsFacts, ...]:
        """Facts on the weights."""
        return tuple(
            WeightsFacts(name, weights_facts(name)["sha256"], one.checkpoint.name, one.checkpoint.knows, not k)
            for k, (name, one) in enumerate(self.segmenters.items())
        )

    def read(self, job: Job) -> Prepared:
        """Checks and decodes the image of a job, unless it is kept.

        Raises:
            Problem: if it is larger than allowed, or no image.
            InvalidInput: if it is damaged.
        """
        weights, limits = job.weights or self.setup.weights[0], self.setup.limits
        if not job.image:
            raise Problem(422, "not_valid", "the image is empty; give an image file")
        self._check_takes_images(weights)
        try:
            with open_image(io.BytesIO(job.image)) as image:
                kind, (height, width) = str(image.format), upright_size(image)
        except UnidentifiedImageError as error:
            if begins_as_video(job.image):
                way_out = (
                    "choose the tab Video" if job.caller == "page" else "give a frame of it, or use refseg segment"
                )
                raise Problem(415, "not_supported", f"this is a video, not an image; {way_out}") from error
            raise Problem(415, "not_supported", "the image is of an unknown format; give a PNG or JPEG") from error
        except RefsegError as error:
            other = still_kind(io.BytesIO(job.image))
            raise Problem(415 if other else 413, "not_supported" if other else "too_large", str(error)) from error
        except Exception:  # whatever a decoder makes of a damaged file; the next one says it
            read_image(job.image)
            raise
        if height * width > limits.megapixels * 1e6:
            raise Problem(
                413,
                "too_large",
                f"the image has {height * width / 1e6:.1f} megapixels ({width} x {height}), at most "
                f"{limits.megapixels:g} are allowed here; make it smaller first",
            )
        pixels = height * width * len(job.expressions)
        if job.format is Format.OVERLAY and pixels > MAX_OVERLAYS * limits.megapixels * 1e6:
            raise Problem(
                413,
                "too_large",
                f"the overlays of {counted(len(job.expressions), 'expression')} have {pixels / 1e6:.1f} megapixels, at "
                f"most {MAX_OVERLAYS * limits.megapixels:g} are allowed in an answer; ask in several requests",
            )
        if encoded := self.encodings.get(weights, job.digest):
            return Prepared(job, kind, (height, width), encoded=encoded)
        return Prepared(job, kind, (height, width), read_image(job.image))

    def prepare(self, job: Job | VideoJob) -> None:
        """Decodes the image of a job on a thread, after which the job waits to be answered; a video waits at once."""
        if isinstance(job, Job):
            self._threads.submit(self._prepare, job)
            return
        with self._changed:
            self._videos.add(job)
            self._changed.notify()

    def stop(self) -> None:
        """Ends the loop, whatever waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def loop(self) -> None:
        """Answers what waits until it is stopped."""
        with self._videos.closing():
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._videos or self._stopped)
                    if self._stopped:
                        return
                    count = min(len(self._waiting), self.setup.limits.batch_size)
                    batch = [self._waiting.popleft() for _ in range(count)]
                if batch:
                    self.answer(batch)
                self._videos.advance()

    def answer(self, batch: Iterable[Prepared]) -> None:
        """Answers a batch: those of one weights together, and images of one size in one call of the network."""
        begin, count = time.perf_counter(), _Count()
        by_weights: dict[str, list[Prepared]] = {}
        for one in batch:
            count.images += 1
            by_weights.setdefault(one.job.weights or self.setup.weights[0], []).append(one)
        for weights, some in by_weights.items():
            self._answer_with(weights, some, count)
        self._tell(BatchDone(count.images, count.encoded, count.cached, time.perf_counter() - begin))

    def _answer_with(self, weights: str, some: list[Prepared], count: "_Count") -> None:
        others: list[Prepared] = []
        by_image = self.setup.by_image and weights == self.setup.weights[0]
        answerable = self._all_or_each(some, partial(_check, self.segmenters[weights]))
        for encoded in self._encode(weights, answerable, count):
            if by_image:
                others += [one for one in encoded if one.job.weights is None and not one.image.familiar]
            self._segment(weights, [one for one in encoded if one not in others])
        if others:
            second = self.setup.weights[1]
            for one in others:
                one.pixels, one.encoded = one.image.pixels, self.encodings.get(second, one.job.digest)
            self._answer_with(second, others, count)

    def _encode(self, weights: str, some: list[Prepared], count: "_Count") -> Iterator[list[Prepared]]:
        """Yields jobs with encoded images: those that are there already, then the others, batch by batch."""
        kept, new = list[Prepared](), dict[str, list[Prepared]]()
        for one in some:
            one.encoded = one.encoded or self.encodings.get(weights, one.job.digest)  # by a batch since it was prepared
            if one.encoded is not None:
                kept.append(one)
            else:
                new.setdefault(one.job.digest, []).append(one)
        count.cached += len(some) - len(new)
        yield kept
        same = list(new.values())  # jobs about one image, which is encoded once
        segmenter, batch_size = self.segmenters[weights], self.setup.limits.batch_size
        for batch in segmenter.encoding_batches([jobs[0].size_hw for jobs in same], batch_size):
            images = [jobs for jobs in (self._in_time(same[i]) for i in batch) if jobs]
            count.encoded += len(images)
            firsts = [jobs[0] for jobs in images]
            for first in self._all_or_each(firsts, partial(_encode_images, segmenter, batch_size)):
                for one in images[firsts.index(first)]:
                    one.encoded, one.pixels = first.encoded, None
            for first, *others in images:
                if first.encoded is None:  # it was refused, and so are the others
                    self._all_or_each(others, partial(_encode_images, segmenter, batch_size))
            yield [one for jobs in images for one in jobs if one.encoded is not None]

    def _segment(self, weights: str, some: list[Prepared]) -> None:
        """Answers jobs whose images are encoded, as many together as the network answers at once."""
        together: dict[tuple[object, ...], list[Prepared]] = {}
        for one in some:
            job = one.job
            together.setdefault((id(one.image.together), job.threshold, job.words, job.caller), []).append(one)
        for same in together.values():
            for few in _few_at_once(same, same[0].image.together.max_expressions):
                with speaking_to(few[0].job.caller, self.setup.weights):
                    self._all_or_each(self._in_time(few), partial(self._segment_at_once, weights))
        self.encodings.put(weights, [one.job.digest for one in some], [one.image for one in some])
        for one in some:
            one.encoded = None  # which others may drop

    def _segment_at_once(self, weights: str, few: list[Prepared]) -> None:
        """Answers jobs of one threshold in one go, or one job expression after expression while it is in time."""
        encoded: list[list[Future[bytes]]] = [[] for _ in few]
        expressions = [one.job.expressions for one in few]
        segmenter = Segmenter(self.segmenters[weights].checkpoint, view_words=few[0].job.words)
        results = segmenter.ask_batch([one.image for one in few], expressions, few[0].job.threshold)
        for index, result in results:
            one, size = few[index], 2 * result.mask.size
            self._unwritten.take(size)
            encoded[index].append(self._threads.submit(self._encode_result, one, result, size))
            if len(encoded[index]) == len(one.job.expressions):
                self._threads.submit(self._send_answer, one, weights, encoded[index])
            elif len(few) == 1 and one.is_late:
                raise _too_late()

    def _in_time(self, some: list[Prepared]) -> list[Prepared]:
        """Refuses the jobs that are late, and returns the others."""
        late = [one for one in some if one.is_late]
        for one in late:
            self._refuse(one.job, _too_late())
        return [one for one in some if one not in late]

    def _prepare(self, job: Job) -> None:
        try:
            prepared = self.read(job)
        except Exception as error:
            self._refuse(job, error)
            return
        with self._changed:
            self._waiting.append(prepared)
            self._changed.notify()

    def _encode_result(self, one: Prepared, result: Result, size: int) -> bytes:
        try:
            return encode_result(result, one.job.format, one.kind)
        finally:
            self._unwritten.give_back(size)

    def _send_answer(self, one: Prepared, weights: str, encoded: list[Future[bytes]]) -> None:
        try:
            media_type, body = join_results([result.result() for result in encoded], one.job.format, one.kind)
            self._tell(Answer(one.job.number, weights, one.job.digest, media_type, body))
        except Exception as error:
            self._refuse(one.job, error)

    def _all_or_each(self, some: list[Prepared], work: Callable[[list[Prepared]], object]) -> list[Prepared]:
        """Does something for all at once, and if that fails for each alone, so that one job never fails the others.

        Returns those for which it went well; the others are refused.
        """
        if not some:
            return []
        try:
            work(some)
            return some
        except Exception as error:
            if len(some) == 1:
                self._refuse(some[0].job, error)
                return []
        return [one for one in some if self._all_or_each([one], work)]

    def _check_takes_images(self, weights: str) -> None:
        if self.segmenters[weights].network.frames == 1:
            return
        others = [repr(name) for name, one in self.segmenters.items() if one.network.frames == 1]
        which = f"choose {' or '.join(others)}" if others else "none for images are loaded here"
        raise Problem(422, "not_valid", f"the weights {weights!r} answer about videos, not about images; {which}")

    def _refuse(self, job: Job | VideoJob, error: Exception) -> None:
        if isinstance(error, Problem):
            problem = error
        elif isinstance(error, RefsegError):
            problem = Problem(422, "not_valid", str(error))
        elif is_out_of_memory(error):
            problem = Problem(503, "out_of_memory", "there is not enough memory for this request; make it smaller")
        else:
            traceback.print_exception(error)
            problem = Problem(500, "internal_error", "the service could not answer; its log says why")
        self._tell(Refusal(job.number, problem.status, problem.code, problem.detail))

    def _tell(self, message: Any) -> None:
        with self._sending:
            try:
                self._send(message)
            except OSError:  # nobody is there any more
                self.stop()


def _check(segmenter: Segmenter, some: list[Prepared]) -> None:
    for one in some:
        segmenter.check(one.job.expressions)


def _encode_images(segmenter: Segmenter, batch_size: int, some: list[Prepared]) -> None:
    images = [one.pixels if one.pixels is not None else read_image(one.job.image) for one in some]
    for one, image in zip(some, segmenter.encode(images, batch_size), strict=True):
        one.encoded, one.pixels = image, None


def _few_at_once(some: list[Prepared], max_expressions: int) -> Iterator[list[Prepared]]:
    """Yields successive jobs with so many expressions together at most, but at least one."""
    few: list[Prepared] = []
    for one in some:
        if few and sum(len(other.job.expressions) for other in [*few, one]) > max_expressions:
            yield few
            few = []
        few.append(one)
    if few:
        yield few


def _too_late() -> Problem:
    return Problem(504, "timeout", "the request waited too long to be answered")


@dataclass
class _Count:
    images: int = 0
    encoded: int = 0
    cached: int = 0
