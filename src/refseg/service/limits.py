"""Limits of the service: what one request may bring, and what the service holds at once."""

from pydantic import Field

from refseg.config import Config


class Limits(Config):
    """Limits of the service; what is beyond them is refused before it costs anything.

    Attributes:
        megabytes: of the body of a request.
        megapixels: of an image.
        expressions: of a request about one image.
        characters: of an expression.
        images: of a batch request.
        seconds: from the first byte of a request to its answer.
        queue: images that are accepted and not answered yet.
        batch_size: images that are answered in one go.
        cache_megabytes: of images and their features that are kept, in case they are asked about again.
        grace: seconds in which accepted requests are finished when the service is stopped.
    """

    megabytes: float = Field(32, gt=0, le=2_000)
    megapixels: float = Field(25, gt=0, le=100)
    expressions: int = Field(32, ge=1, le=1_000)
    characters: int = Field(500, ge=1, le=10_000)
    images: int = Field(16, ge=1, le=1_000)
    seconds: float = Field(60, gt=0, le=3_600)
    queue: int = Field(64, ge=1, le=10_000)
    batch_size: int = Field(16, ge=1, le=256)
    cache_megabytes: float = Field(512, ge=0, le=1_000_000)
    grace: float = Field(30, ge=0, le=3_600)
