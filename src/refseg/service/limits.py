"""Limits of the service: of a single request, and of all that the service holds at once."""

from pydantic import Field

from refseg.config import Config


class Limits(Config):
    """Limits of the service; requests beyond them are refused before they cost anything.

    Attributes:
        megabytes: size of the body of a request, in millions of bytes.
        megapixels: size of an image, in millions of pixels.
        expressions: number of expressions about an image in a request.
        characters: length of an expression.
        images: number of images of a batch request.
        frames: number of frames of a video.
        seconds: time from the first byte of a request to its answer.
        queue: number of images that are accepted and not answered yet.
        batch_size: number of images that are answered in one go.
        cache_megabytes: size of the images and features that are kept, in case they are asked about again.
        grace: seconds in which accepted requests are finished when the service is stopped.
    """

    megabytes: float = Field(32, gt=0, le=2_000)
    megapixels: float = Field(25, gt=0, le=100)
    expressions: int = Field(32, ge=1, le=1_000)
    characters: int = Field(500, ge=1, le=10_000)
    images: int = Field(16, ge=1, le=1_000)
    frames: int = Field(300, ge=1, le=100_000)
    seconds: float = Field(60, gt=0, le=3_600)
    queue: int = Field(64, ge=1, le=10_000)
    batch_size: int = Field(16, ge=1, le=256)
    cache_megabytes: float = Field(512, ge=0, le=1_000_000)
    grace: float = Field(30, ge=0, le=3_600)
