"""Animated images: GIF, PNG, WebP, AVIF."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from PIL import ImageSequence

from refseg.array_types import RgbImage
from refseg.errors import first_line
from refseg.preprocessing.images import open_image, read_image, upright_size
from refseg.video.frames import Frames

MILLISECOND = Fraction(1, 1000)
SHORTEST, INSTEAD = 20, 100  # milliseconds: browsers show frames that ask for less than the first for the second


def read_animation(path: Path) -> Frames:
    """Reads the frames of an animated image, composed, each for as long as a browser shows it."""
    count, size_hw = None, None
    try:
        with open_image(path) as image:
            size_hw = upright_size(image)
            count = getattr(image, "n_frames", 1)
    except Exception:  # decoders of damaged files raise whatever they like
        pass
    return Frames(str(path), lambda remarks: _read(path, remarks), count, MILLISECOND, size_hw)


def _read(path: Path, remarks: list[str]) -> Iterator[tuple[Fraction | None, RgbImage]]:
    with open_image(path) as animation:
        images, milliseconds = iter(ImageSequence.Iterator(animation)), 0
        while True:
            try:
                image = next(images, None)
                if image is None:
                    return
                pixels = read_image(image)
            except Exception as error:  # decoders of damaged files raise whatever they like
                reason = first_line(error)
                remarks.append(f"{path} cannot be read to its end ({reason}); what comes after is not answered")
                return
            yield milliseconds * MILLISECOND, pixels
            duration = image.info.get("duration", 0)
            milliseconds += round(duration) if duration >= SHORTEST else INSTEAD
