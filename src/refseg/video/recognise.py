"""Recognition of folders of frames among folders of photographs, by names and sizes."""

import os
import re
from pathlib import Path

from refseg.preprocessing.images import open_image, upright_size
from refseg.video.folder import ENDINGS

_CAMERA = 271  # EXIF: maker of the camera


def is_folder_of_frames(folder: Path) -> bool:
    """Whether the images of a folder look like the frames of one video.

    They do if their names differ in a number alone, which grows in equal steps, if all have one size, and if the first
    names no camera, as photographs do whose names were numbered by it.
    """
    names = [name for name in os.listdir(folder) if not name.startswith(".") and name.lower().endswith(ENDINGS)]
    numbered = [re.fullmatch(r"(.*?)(\d+)(\.\w+)", name, re.ASCII) for name in names]
    if len(names) < 2 or None in numbered or len({(one[1], one[3]) for one in numbered if one}) > 1:
        return False
    numbers = sorted(int(one[2]) for one in numbered if one)
    if len({after - before for before, after in zip(numbers, numbers[1:], strict=False)}) > 1:
        return False
    sizes = set[tuple[int, int]]()
    for name in sorted(names):
        try:
            with open_image(folder / name) as image:
                if not sizes and image.getexif().get(_CAMERA):
                    return False
                sizes.add(upright_size(image))
        except Exception:  # decoders of damaged files raise whatever they like; `read_image` tells of it
            continue
        if len(sizes) > 1:
            return False
    return True
