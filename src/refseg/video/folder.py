"""Folders of frames, as DAVIS and many tools write them."""

import re
from pathlib import Path

from refseg.errors import InvalidInput
from refseg.preprocessing.images import open_image, read_image, upright_size
from refseg.video.frames import Frames, size_text

ENDINGS = ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"


def read_folder(folder: Path) -> Frames:
    """Reads the images of a folder in natural order, evenly spaced; other files are ignored.

    Raises:
        InvalidInput: if it cannot be listed, holds no image, or images of different sizes, as no video does.
    """
    try:
        files = sorted(
            (file for file in folder.iterdir() if _is_frame(file)), key=lambda file: natural_sort_key(file.name)
        )
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be listed ({error.strerror}); give a folder that you may enter") from error
    if not files:
        raise InvalidInput(f"{folder} holds no images ({', '.join(ENDINGS)}); give a folder of frames, or a video file")
    _check_sizes(folder, files)
    return Frames(str(folder), lambda remarks: ((None, read_image(file)) for file in files), len(files))


def natural_sort_key(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts the numbers within names by value.

    >>> sorted(["10.png", "9.png", "b2", "b10"], key=natural_sort_key)
    ['9.png', '10.png', 'b2', 'b10']
    """
    parts = re.split(r"(\d+)", name)  # text and number in turn
    return [(int(part), "") if k % 2 else (0, part.lower()) for k, part in enumerate(parts)]


def _check_sizes(folder: Path, files: list[Path]) -> None:
    """Checks the sizes in the heads of the files; errors of opening are left to `read_image`."""
    first: tuple[Path, tuple[int, int]] | None = None
    for file in files:
        try:
            with open_image(file) as image:
                size_hw = upright_size(image)
        except Exception:  # decoders of damaged files raise whatever they like
            continue
        first = first or (file, size_hw)
        if size_hw != first[1]:
            raise InvalidInput(
                f"{folder} holds images of different sizes ({first[0].name} is {size_text(first[1])}, {file.name} is "
                f"{size_text(size_hw)}), so it is no video; give the images one by one, or make all of one size"
            )


def _is_frame(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".")
