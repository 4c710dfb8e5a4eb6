"""Animated images: GIF, PNG, WebP."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from PIL import Image, ImageSequence

from refseg.images import Rgb, read_image
from refseg.video.frames import Frames

MILLISECOND = Fraction(1, 1000)
SHORTEST, INSTEAD = 20, 100  # milliseconds: browsers show frames that ask for less than the first for the second


def of_animation(path: Path) -> Frames:
    """The frames of an animated image, whole ones, each for as long as a browser shows it."""
    with Image.open(path) as image:
        count = getattr(image, "n_frames", 1)
    return Frames(str(path), lambda remarks: _read(path, remarks), count, MILLISECOND)


def _read(path: Path, remarks: list[str]) -> Iterator[tuple[Fraction | None, Rgb]]:
    with Image.open(path) as animation:
        images, milliseconds = iter(ImageSequence.Iterator(animation)), 0
        while True:
            try:
                image = next(images, None)
                if image is None:
                    return
                pixels = read_image(image)
            except Exception as error:  # decoders of damaged files raise whatever they like
                remarks.append(f"{path} cannot be read to its end ({error}); what comes after is not answered")
                return
            yield milliseconds * MILLISECOND, pixels
            duration = image.info.get("duration", 0)
            milliseconds += round(duration) if duration >= SHORTEST else INSTEAD
