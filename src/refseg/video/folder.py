"""A folder of frames, as DAVIS and many tools write them."""

import re
from pathlib import Path

from refseg.errors import InvalidInput
from refseg.images import read_image
from refseg.video.frames import Frames

ENDINGS = ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"


def of_folder(folder: Path) -> Frames:
    """The images of a folder in natural order, evenly spaced; other files are passed over.

    Raises:
        InvalidInput: if it holds no image.
    """
    files = sorted((file for file in folder.iterdir() if _is_frame(file)), key=lambda file: natural(file.name))
    if not files:
        raise InvalidInput(f"{folder} holds no images ({', '.join(ENDINGS)}); give a folder of frames, or a video file")
    return Frames(str(folder), lambda remarks: ((None, read_image(file)) for file in files), len(files))


def natural(name: str) -> list[tuple[int, str]]:
    """What names are sorted by so that numbers in them count as such.

    >>> sorted(["10.png", "9.png", "b2", "b10"], key=natural)
    ['9.png', '10.png', 'b2', 'b10']
    """
    parts = re.split(r"(\d+)", name)  # text and number in turn
    return [(int(part), "") if k % 2 else (0, part.lower()) for k, part in enumerate(parts)]


def _is_frame(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".")
