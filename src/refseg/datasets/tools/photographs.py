"""Checks of image files, for `refseg data check`; each is decoded once."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from PIL import Image

from refseg.datasets.tools.findings import Finding, as_size, make_finding
from refseg.errors import RefsegError, first_line
from refseg.preprocessing.images import open_image, orientation_of, to_rgb, upright_size


@dataclass(frozen=True)
class Photograph:
    """An image file.

    Attributes:
        trouble: what is wrong with it: of another size than annotated; of that size if EXIF turns it; ...
        message: that with its name.
        size_hw: height and width of the mask that belongs to it, where they are known.
        digest: of its bytes, where all of it was read.
        name: its path.
        turned: the size (H, W) that it has when it is turned as EXIF says; None if EXIF says nothing.
        transparent: whether any pixel is not opaque.
        deep: its pixels' format if they have more than 8 bits, otherwise "".
    """

    trouble: Literal["", "missing", "unreadable", "size", "turned size"] = ""
    message: str = ""
    size_hw: tuple[int, int] | None = None
    digest: bytes | None = None
    name: str = ""
    turned: tuple[int, int] | None = None
    transparent: bool = False
    deep: str = ""


def read_photograph(
    name: str, opened: Callable[[], IO[Any]], annotated_hw: tuple[int, int] = (0, 0), fast: bool = False
) -> Photograph:
    """Reads an image file; faults are part of the result.

    Args:
        name: for messages.
        opened: opens the file, which exists.
        annotated_hw: the size that the annotations say; (0, 0) if they say none.
        fast: whether only its head is read.
    """
    try:
        with opened() as file:
            content = file if fast else io.BytesIO(file.read())
            with open_image(content, name) as image:
                size_hw = image.height, image.width
                turned = upright_size(image) if orientation_of(image) != 1 else None
                deep = _deep(image)
                if not fast:
                    image.load()
                    if deep:
                        to_rgb(image, upright=False)  # floats have a range
                transparent = not fast and _is_transparent(image)
    except Image.UnidentifiedImageError:
        return Photograph("unreadable", f"{name} is no image", name=name)
    except RefsegError as error:
        message = str(error) if name in str(error) else f"{name}: {error}"
        return Photograph("unreadable", message, name=name)
    except Exception as error:  # decoders of damaged files raise whatever they like
        return Photograph("unreadable", f"{name}: {first_line(error)}", name=name)
    digest = hashlib.blake2b(content.getbuffer()).digest() if isinstance(content, io.BytesIO) else None
    trouble: Literal["", "size", "turned size"] = ""
    message = ""
    if all(annotated_hw) and annotated_hw != size_hw:
        trouble = "turned size" if annotated_hw == turned else "size"
        message = f"{name} is {as_size(size_hw)}, its annotations are for {as_size(annotated_hw)}"
    return Photograph(trouble, message, annotated_hw if trouble else size_hw, digest, name, turned, transparent, deep)


def check_photographs(photographs: Sequence[Photograph], what: str = "photographs") -> Iterator[Finding]:
    """Finds orientations, transparency and depths that other programs may treat otherwise."""
    sizes = [photograph.message for photograph in photographs if photograph.trouble == "turned size"]
    description = f"{what} whose annotations are for the picture as EXIF turns it; the stored pixels are read"
    advice = "turn the stored pixels as EXIF says and remove the orientation, for example: mogrify -auto-orient FILES"
    yield make_finding("EXIF sizes", sizes, description, advice)
    turned = [one.name for one in photographs if one.turned is not None and one.trouble != "turned size"]
    description = (
        f"{what} with an orientation in EXIF, which is not followed: masks are laid on the pixels as they are stored"
    )
    advice = (
        "look whether masks fit (refseg data view); if they were drawn on the turned picture, turn the stored pixels"
    )
    yield make_finding("EXIF orientation", turned, description, advice, "note")
    transparent = [photograph.name for photograph in photographs if photograph.transparent]
    description = f"{what} with transparent pixels, which are laid on white"
    yield make_finding("transparency", transparent, description, "other programs may show what is hidden there", "note")
    deep = [f"{photograph.name} ({photograph.deep})" for photograph in photographs if photograph.deep]
    description = f"{what} of more than 8 bits, which are scaled to 8"
    yield make_finding("bit depth", deep, description, "other programs may cut them to white or black", "note")


def _is_transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return bool((alpha < 255).any())


def _deep(image: Image.Image) -> str:
    """Returns the format of pixels of more than 8 bits; also of those that Pillow cuts to 8 itself."""
    if image.mode == "F" or image.mode.startswith("I"):
        return image.mode
    stored = str(getattr(image, "tile", ""))  # how a file's pixels are decoded, as "RGB;16B"
    return next((word for word in re.findall(r"[\w;]+", stored) if ";16" in word), "")
