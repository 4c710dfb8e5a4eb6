"""Messages between the service and its workers."""

from dataclasses import dataclass
from enum import StrEnum

from refseg.service.limits import Limits
from refseg.service.problems import Code


class Format(StrEnum):
    """Forms of an answer."""

    JSON = "json"
    MASK = "mask"
    OVERLAY = "overlay"


@dataclass(frozen=True)
class Setup:
    """What a worker loads.

    Attributes:
        weights: names; the first one answers where a request names none.
        device: where they run.
        limits: of the service.
        networks: of the weights, from outside of the package, each `FILE.py:NAME`.
        by_image: whether a request that names no weights gets those that suit its image: the second ones if it is
            unlike what the first ones know.
    """

    weights: tuple[str, ...]
    device: str
    limits: Limits
    networks: tuple[str, ...] = ()
    by_image: bool = False


@dataclass(frozen=True)
class Job:
    """An image and expressions about it.

    Attributes:
        number: of the job.
        image: content of an image file.
        digest: its sha256.
        expressions: about it.
        weights: which answer; None for the default.
        threshold: of existence; None for that of the weights.
        format: of the answer.
        deadline: by `time.monotonic`, which all processes of a machine share.
    """

    number: int
    image: bytes
    digest: str
    expressions: tuple[str, ...]
    weights: str | None
    threshold: float | None
    format: Format
    deadline: float


@dataclass(frozen=True)
class WeightsFacts:
    """What is known of loaded weights.

    Attributes:
        name: by which requests name them.
        sha256: of their file; of compositions and open models, of what they are made of.
        network: its name.
        knows: one line on their domain.
        is_default: whether they answer where a request names none.
    """

    name: str
    sha256: str
    network: str
    knows: str
    is_default: bool


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
        number: of the job.
        weights: which answered.
        media_type: of the body.
        body: JSON of a list of results, a picture, or an archive of pictures.
    """

    number: int
    weights: str
    media_type: str
    body: bytes


@dataclass(frozen=True)
class Refusal:
    """A job that cannot be answered, as a problem."""

    number: int
    status: int
    code: Code
    detail: str


@dataclass(frozen=True)
class BatchDone:
    """What a batch was.

    Attributes:
        images: jobs in it.
        encoded: images that were encoded for it.
        cached: images whose features were there already.
        seconds: that it took.
    """

    images: int
    encoded: int
    cached: int
    seconds: float


Message = Ready | Failed | Answer | Refusal | BatchDone
"""What a worker says."""
