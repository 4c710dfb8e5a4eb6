"""Schemas of the JSON that is answered, for /openapi.json; fields that are left out are never null."""

from typing import Annotated

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from refseg.inference.verdicts import DecidedBy
from refseg.service.problems import Code

PixelBox = Annotated[tuple[int, int, int, int], Field(description="Left, top, right, bottom; the last two outside.")]
Box = Annotated[tuple[float, float, float, float], Field(description="Left, top, right, bottom in pixels.")]
Probability = Annotated[float, Field(ge=0, le=1)]


class Rle(BaseModel):
    """A mask in COCO's compressed run-length code."""

    size: Annotated[tuple[int, int], Field(description="Height and width.")]
    counts: str


class InstanceFacts(BaseModel):
    """An object of a mask."""

    box: PixelBox
    area: Annotated[int, Field(ge=1, description="Pixels.")]
    rle: Rle


class ReadObject(BaseModel):
    """An object that a reader may have chosen."""

    box: Annotated[Box, Field(description="Box of the finder: left, top, right, bottom in pixels.")]
    classes: dict[str, Probability]
    score: Annotated[Probability, Field(description="How sure the finder is that it is an object.")]
    probability: Annotated[Probability, Field(description="How sure the reader is that it is referred to.")]
    chosen: bool


class ReadingFacts(BaseModel):
    """How a reader read the expression."""

    program: str
    outcome: str
    unknown: Annotated[str, Field(description="The noun that the finder has no name for.")]
    reason: Annotated[str, Field(description="Why nothing was looked for.")]
    finder: str
    not_understood: list[str]
    objects: list[ReadObject]


class CandidateFacts(BaseModel):
    """A box that a detector considered."""

    box: Box
    score: Probability
    meant: bool


class WordRowFacts(BaseModel):
    """Weights of the words in one part of a network."""

    name: str
    source: Annotated[str, Field(description="Figure, equation or module of the paper.")]
    meaning: str
    values: Annotated[list[float], Field(description="A number for each piece.")]


class WordsFacts(BaseModel):
    """Weights of the words in a network."""

    pieces: Annotated[list[str], Field(description="Words or word pieces that the network read.")]
    rows: list[WordRowFacts]


class ResultFacts(BaseModel):
    """The answer to one expression."""

    expression: str
    found: bool
    exists: Annotated[Probability, Field(description="Probability that the expression refers to anything.")]
    exists_threshold: Probability
    decided_by: DecidedBy
    familiar: Annotated[bool, Field(description="Whether the image is like those that the weights were trained on.")]
    size: Annotated[tuple[int, int], Field(description="Height and width of the image.")]
    area: Annotated[int, Field(ge=0, description="Pixels of the mask.")]
    box: PixelBox | None
    rle: Rle
    instances: list[InstanceFacts]
    warnings: list[str]
    unknown_words: list[str]
    reading: ReadingFacts | SkipJsonSchema[None] = None
    candidates: list[CandidateFacts] | SkipJsonSchema[None] = None
    words: Annotated[WordsFacts | SkipJsonSchema[None], Field(description="Only if asked for.")] = None


class ProblemDetails(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="What was given, what is allowed, the way out.")]
    code: Annotated[Code, Field(description="For programs.")]
    retry_after: Annotated[int | SkipJsonSchema[None], Field(description="Seconds.")] = None


class SegmentAnswer(BaseModel):
    """The answer about an image."""

    weights: str
    sha256: Annotated[str, Field(description="Checksum of the weights.")]
    version: str
    image_sha256: str
    seconds: float
    results: Annotated[list[ResultFacts], Field(description="One for each expression, in their order.")]


class ImageAnswer(BaseModel):
    """The answer about an image of a batch."""

    name: Annotated[str | SkipJsonSchema[None], Field(description="Name of the file, or as given.")] = None
    weights: str
    sha256: str
    image_sha256: str
    results: list[ResultFacts]


class ImageProblem(BaseModel):
    """An image of a batch that cannot be answered."""

    name: str | SkipJsonSchema[None] = None
    problem: ProblemDetails


class BatchAnswer(BaseModel):
    """The answer about several images."""

    version: str
    seconds: float
    images: Annotated[list[ImageAnswer | ImageProblem], Field(description="One for each image, in their order.")]


class WeightsDescription(BaseModel):
    """Weights that answer."""

    name: Annotated[str, Field(description="As requests name them.")]
    sha256: str
    network: str
    knows: Annotated[str, Field(description="What they were trained on.")]
    is_default: bool


class WeightsAnswer(BaseModel):
    """All weights of a service."""

    version: str
    weights: list[WeightsDescription]
