"""Messages between the service and its workers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from refseg.errors import Caller
from refseg.service.limits import Limits
from refseg.service.problems import Code


class Format(StrEnum):
    """Forms of an answer."""

    JSON = "json"
    MASK = "mask"
    OVERLAY = "overlay"


@dataclass(frozen=True)
class Setup:
    """The weights that a worker loads, and how it answers.

    Attributes:
        weights: names of the weights; the first ones answer where a request names none.
        device: device on which they run.
        limits: limits of the service.
        networks: networks of the weights that are not in the package, each `FILE.py:NAME`.
        by_image: whether a request that names no weights gets those that suit its image: the second ones if it is
            unlike what the first ones know.
        for_videos: weights that are there for videos alone, unless an image names them; None if there are none.
        precision: of the networks' arithmetic, as of `refseg.load`; a reader that nobody named computes in "f32".
    """

    weights: tuple[str, ...]
    device: str
    limits: Limits
    networks: tuple[str, ...] = ()
    by_image: bool = False
    for_videos: str | None = None
    precision: str = "f32"


@dataclass(frozen=True)
class Job:
    """An image and expressions about it.

    Attributes:
        number: number of the job.
        image: content of an image file.
        digest: its sha256.
        expressions: expressions about the image.
        weights: name of the weights that answer; None for the default.
        threshold: threshold of existence; None for that of the weights.
        format: form of the answer.
        deadline: time by `time.monotonic`, which all processes of a machine share, after which nobody waits for it.
        words: whether the weights of words are told, where the network has some.
        caller: whose words messages use.
        way_out: advice where there is no answer in time.
    """

    way_out: ClassVar[str] = "ask later, or about fewer expressions"

    number: int
    image: bytes
    digest: str
    expressions: tuple[str, ...]
    weights: str | None
    threshold: float | None
    format: Format
    deadline: float
    words: bool = False
    caller: Caller = "http"


@dataclass(frozen=True)
class VideoJob:
    """A video and expressions about it.

    Attributes:
        number: number of the job.
        video: path of a video file.
        name: its name in messages.
        folder: path of the folder for what is written about it.
        expressions: expressions about the video.
        weights: name of the weights that answer; None for the default.
        every: how many frames from one that is answered to the next.
        deadline: as of `Job`.
        way_out: as of `Job`.
    """

    way_out: ClassVar[str] = "give a shorter video, fewer expressions, or answer fewer of its frames"

    number: int
    video: str
    name: str
    folder: str
    expressions: tuple[str, ...]
    weights: str | None
    every: int
    deadline: float


@dataclass(frozen=True)
class WeightsFacts:
    """Facts on loaded weights.

    Attributes:
        name: name of the weights in requests.
        sha256: checksum of their file; of compositions and open models, of what they are made of.
        network: name of their network.
        knows: one line on their domain.
        is_default: whether they answer where a request names none.
    """

    name: str
    sha256: str
    network: str
    knows: str
    is_default: bool


@dataclass(frozen=True)
class Loaded:
    """A worker has loaded one of its weights; others may follow."""

    weights: str
    device: str


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its weights."""

    device: str
    weights: tuple[WeightsFacts, ...]


@dataclass(frozen=True)
class Failed:
    """A worker could not load its weights; the message is for the user."""

    message: str


@dataclass(frozen=True)
class Answer:
    """The answer to a job.

    Attributes:
        number: number of the job.
        weights: name of the weights that answered.
        digest: sha256 of the image file; "" of a video.
        media_type: media type of the body.
        body: JSON of a list of results, a picture, or an archive of pictures; of a video, JSON of `VideoFacts`.
    """

    number: int
    weights: str
    digest: str
    media_type: str
    body: bytes


@dataclass(frozen=True)
class VideoProgress:
    """The part of a video that is answered so far.

    Attributes:
        number: number of the job.
        weights: name of the weights that answer.
        frames: number of frames up to the last one that was answered.
        count: number of all frames; None if the file does not say it.
    """

    number: int
    weights: str
    frames: int
    count: int | None


@dataclass(frozen=True)
class Refusal:
    """A job that cannot be answered, as a problem."""

    number: int
    status: int
    code: Code
    detail: str


@dataclass(frozen=True)
class BatchDone:
    """Facts on a batch that was answered.

    Attributes:
        images: number of its jobs.
        encoded: number of images that were encoded for it.
        cached: number of jobs whose image was encoded already.
        seconds: time that it took.
    """

    images: int
    encoded: int
    cached: int
    seconds: float


Message = Loaded | Ready | Failed | Answer | VideoProgress | Refusal | BatchDone
"""Messages of a worker."""
