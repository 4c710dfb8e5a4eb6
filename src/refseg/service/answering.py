"""Answering: jobs to answers, in batches, with the features of images kept.

Micro-batching without a timer: a batch is the first job that waits and whatever else waits by then. So a job alone is
answered at once, and while a batch is computed the next one gathers. Images are decoded ahead, and answers are written
out behind, on threads.
"""

import io
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Condition, Lock
from typing import Any, Self

from PIL import UnidentifiedImageError

from refseg.array_types import RgbImage
from refseg.errors import RefsegError, is_out_of_memory
from refseg.evaluation.report.provenance import weights_facts
from refseg.extensions import add_extension
from refseg.inference.results import Result
from refseg.inference.segmenter import EncodedImage, Segmenter, load
from refseg.networks import NETWORKS
from refseg.preprocessing.images import open_image, read_image, still_kind, upright_size
from refseg.service.encodings import Encodings
from refseg.service.messages import Answer, BatchDone, Job, Refusal, Setup, WeightsFacts
from refseg.service.problems import Problem
from refseg.service.written import write

THREADS = 4  # that decode images and write answers


@dataclass(eq=False)
class Prepared:
    """A job whose image is decoded, or encoded already.

    Attributes:
        job: the job.
        kind: format of its image file, "JPEG".
        pixels: (H, W, 3); None if `encoded` is there.
        encoded: by the weights that answer.
    """

    job: Job
    kind: str
    pixels: RgbImage | None = None
    encoded: EncodedImage | None = None


class Answering:
    """Segmenters, and the jobs that wait for them; a context that ends its threads."""

    def __init__(self, setup: Setup, send: Callable[[Any], None]):
        """Loads the weights.

        Args:
            setup: which, and the limits.
            send: receives the messages to the service; called by one thread at a time.

        Raises:
            MissingFile, InvalidInput: if weights cannot be loaded.
        """
        for name in setup.networks:
            add_extension(NETWORKS, name)
        self.setup, self._send, self._sending = setup, send, Lock()
        self.segmenters = {name: load(name, setup.device) for name in setup.weights}
        self.encodings = Encodings(setup.limits.cache_megabytes * 1e6)
        for name, segmenter in self.segmenters.items():
            self.encodings.add_weights(name, [segmenter.network])
        self._waiting, self._changed, self._stopped = deque[Prepared](), Condition(), False
        self._threads = ThreadPoolExecutor(THREADS, "image")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def facts(self) -> tuple[WeightsFacts, ...]:
        """What is known of the weights."""
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
        try:
            with open_image(io.BytesIO(job.image)) as image:
                kind, (height, width) = str(image.format), upright_size(image)
        except UnidentifiedImageError as error:
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
        if encoded := self.encodings.get(weights, job.digest):
            return Prepared(job, kind, encoded=encoded)
        return Prepared(job, kind, read_image(job.image))

    def prepare(self, job: Job) -> None:
        """Decodes the image of a job on a thread, after which the job waits to be answered."""
        self._threads.submit(self._prepare, job)

    def stop(self) -> None:
        """Ends the loop, whatever waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def loop(self) -> None:
        """Answers what waits until it is stopped."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                if self._stopped:
                    return
                count = min(len(self._waiting), self.setup.limits.batch_size)
                batch = [self._waiting.popleft() for _ in range(count)]
            self.answer(batch)

    def answer(self, batch: Iterable[Prepared]) -> None:
        """Answers a batch: those of one weights together, and images of one size in one call of the network."""
        begin, count, now = time.perf_counter(), _Count(), time.monotonic()
        by_weights: dict[str, list[Prepared]] = {}
        for one in batch:
            count.images += 1
            if one.job.deadline < now:
                self._refuse(one.job, Problem(504, "timeout", "the request waited too long to be answered"))
            else:
                by_weights.setdefault(one.job.weights or self.setup.weights[0], []).append(one)
        for weights, some in by_weights.items():
            self._answer_with(weights, some, count)
        self._tell(BatchDone(count.images, count.encoded, count.cached, time.perf_counter() - begin))

    def _answer_with(self, weights: str, some: list[Prepared], count: "_Count") -> None:
        segmenter = self.segmenters[weights]
        some = self._all_or_each(some, partial(_check, segmenter))
        some = self._encode(weights, some, count)
        if self.setup.by_image and weights == self.setup.weights[0]:
            others = [one for one in some if one.job.weights is None and one.encoded and not one.encoded.familiar]
            if others:
                some = [one for one in some if one not in others]
                second = self.setup.weights[1]
                for one in others:
                    one.pixels = one.encoded.pixels if one.encoded else one.pixels
                    one.encoded = self.encodings.get(second, one.job.digest)
                self._answer_with(second, others, count)
        for threshold in dict.fromkeys(one.job.threshold for one in some):
            self._all_or_each(
                [one for one in some if one.job.threshold == threshold],
                partial(self._segment, weights, threshold),
            )

    def _encode(self, weights: str, some: list[Prepared], count: "_Count") -> list[Prepared]:
        """Encodes images that are not encoded yet, each once; returns the jobs whose images could be."""
        for one in some:  # by an earlier batch, since the job was prepared
            one.encoded = one.encoded or self.encodings.get(weights, one.job.digest)
        new = {one.job.digest: one for one in some if one.encoded is None}
        count.cached += len(some) - len(new)
        count.encoded += len(new)

        def encode(these: list[Prepared]) -> None:
            images = [one.pixels if one.pixels is not None else read_image(one.job.image) for one in these]
            encoded = self.segmenters[weights].encode(images, self.setup.limits.batch_size)
            for one, image in zip(these, encoded, strict=True):
                one.encoded, one.pixels = image, None

        done = {one.job.digest: one.encoded for one in self._all_or_each(list(new.values()), encode)}
        for one in some:
            if one.encoded is None and one.job.digest in done:
                one.encoded = done[one.job.digest]
            elif one.encoded is None and new[one.job.digest] is not one:  # refused with the first one of its image
                self._all_or_each([one], encode)
        return [one for one in some if one.encoded is not None]

    def _segment(self, weights: str, threshold: float | None, some: list[Prepared]) -> None:
        encoded = [one.encoded for one in some if one.encoded is not None]
        answers = self.segmenters[weights].batch(encoded, [one.job.expressions for one in some], threshold)
        self.encodings.put(weights, [one.job.digest for one in some], encoded)
        for one, results in zip(some, answers, strict=True):
            self._threads.submit(self._write, one, weights, results)

    def _prepare(self, job: Job) -> None:
        try:
            prepared = self.read(job)
        except Exception as error:
            self._refuse(job, error)
            return
        with self._changed:
            self._waiting.append(prepared)
            self._changed.notify()

    def _write(self, one: Prepared, weights: str, results: list[Result]) -> None:
        try:
            media_type, body = write(results, one.job.format, one.kind)
            self._tell(Answer(one.job.number, weights, media_type, body))
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

    def _refuse(self, job: Job, error: Exception) -> None:
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


@dataclass
class _Count:
    images: int = 0
    encoded: int = 0
    cached: int = 0
