"""Videos that a worker answers in turn: some frames of one, then of the next."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from refseg.errors import speaking_to
from refseg.inference.segmenter import Segmenter
from refseg.service.answer_video import Step, answer_video, choose_weights
from refseg.service.messages import Answer, Setup, VideoJob, VideoProgress


@dataclass
class _Running:
    job: VideoJob
    weights: str = ""
    steps: Generator[Step, None, bytes] | None = None


class VideosInTurn:
    """The videos that a worker has, which begin when it is their turn; true if there are any.

    Args:
        segmenters: the weights by name.
        setup: how the worker answers.
        tell: function that receives answers, and how far those are that follow.
        refuse: function that receives jobs without one, and the reason.
    """

    def __init__(
        self,
        segmenters: dict[str, Segmenter],
        setup: Setup,
        tell: Callable[[Answer | VideoProgress], None],
        refuse: Callable[[VideoJob, Exception], None],
    ):
        self._segmenters, self._setup, self._tell, self._refuse = segmenters, setup, tell, refuse
        self._running = deque[_Running]()

    def __bool__(self) -> bool:
        return bool(self._running)

    def add(self, job: VideoJob) -> None:
        """Adds a video; may be called by another thread than the one that answers."""
        self._running.append(_Running(job))

    def advance(self) -> None:
        """Answers some frames of the video whose turn it is, if there is one."""
        if not self._running:
            return
        running = self._running.popleft()
        try:
            with speaking_to("page", self._setup.weights):
                if running.steps is None:
                    running.weights = choose_weights(running.job, self._segmenters, self._setup)
                    segmenter = self._segmenters[running.weights]
                    running.steps = answer_video(running.job, segmenter, self._setup.limits)
                frames, count = next(running.steps)
            self._running.append(running)
            self._tell(VideoProgress(running.job.number, running.weights, frames, count))
        except StopIteration as end:
            self._tell(Answer(running.job.number, running.weights, "", "application/json", end.value))
        except Exception as error:
            self._refuse(running.job, error)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Closes, at the end, the files of videos that are not answered."""
        try:
            yield
        finally:
            while self._running:
                running = self._running.popleft()
                if running.steps is not None:
                    running.steps.close()
