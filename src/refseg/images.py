"""Any image to (H, W, 3) uint8 RGB, upright; whatever cannot be an image is refused in one line."""

import io
import sys
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from refseg.errors import InvalidInput, MissingFile

Rgb = NDArray[np.uint8]
LARGEST_MEGAPIXELS = 100
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Formats that are decoded. No others: EPS, for one, is a program, which Pillow hands to Ghostscript."""
_ALLOWED = "give a path, bytes, a PIL image, a numpy array (H, W, 3) or a torch tensor (3, H, W)"


def read_image(image: Any) -> Rgb:
    """The image as (H, W, 3) uint8 RGB, an own copy.

    Files are turned as their EXIF orientation says, of an animation the first frame is taken, transparent pixels are
    laid on white, 16 bits are scaled to 8.

    Args:
        image: a path, the bytes of an image file, a PIL image, a numpy array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
            of uint8, uint16, bool or floats from 0 to 1, or a torch tensor (3, H, W) of uint8 or floats from 0 to 1.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if it is not an image, is damaged, empty, or larger than `LARGEST_MEGAPIXELS`.

    >>> read_image(np.full((2, 3), 65535, dtype=np.uint16)).shape
    (2, 3, 3)
    """
    if isinstance(image, str | Path):
        return _from_path(Path(image))
    if isinstance(image, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(image), f"the image ({len(image)} bytes)")
    if isinstance(image, Image.Image):
        return _from_pil(image, "the PIL image")
    if isinstance(image, np.ndarray):
        return _from_array(image, "the array")
    torch = sys.modules.get("torch")  # whoever has a tensor has imported torch; nobody else waits for it
    if torch is not None and isinstance(image, torch.Tensor):
        return _from_tensor(image)
    raise InvalidInput(f"{type(image).__name__} is not an image; {_ALLOWED}")


def open_image(source: str | Path | BinaryIO) -> Image.Image:
    """Opens an image file of one of `FORMATS`; only its header is read.

    Raises:
        PIL.UnidentifiedImageError: if it is of another format.
    """
    Image.init()
    return Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN])


def to_rgb(image: Image.Image, upright: bool = True) -> Rgb:
    """The pixels (H, W, 3) uint8 RGB of an opened image, the same for whoever reads it.

    Transparent pixels are laid on white, 16 bits are scaled to 8.

    Args:
        image: from `open_image`.
        upright: whether it is turned as its EXIF orientation says; masks of data sets are drawn on the stored pixels.
    """
    return _pixels(_upright(image) if upright else image)


def _from_path(path: Path) -> Rgb:
    try:
        if path.is_dir():
            raise InvalidInput(f"{path} is a folder; give an image file")
        if not path.exists():
            raise MissingFile(f"{path} is missing; check the path of the image")
        if not path.is_file():
            raise InvalidInput(f"{path} is not a file; give an image file")
        with path.open("rb") as file:
            return _from_file(file, str(path))
    except (InvalidInput, MissingFile):
        raise
    except OSError as error:
        raise InvalidInput(f"{path} cannot be opened ({error.strerror or error}); give an image file") from error


def _from_file(file: Any, what: str) -> Rgb:
    if not file.read(1):
        raise InvalidInput(f"{what} is empty; give an image file")
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PIL: sizes that we allow, odd metadata
            with open_image(file) as image:
                return _from_pil(image, what)
    except Image.DecompressionBombError as error:
        raise InvalidInput(f"{what} has more than {LARGEST_MEGAPIXELS} megapixels; make it smaller first") from error
    except Image.UnidentifiedImageError as error:
        raise InvalidInput(f"{what} is not an image, or of an unknown format; give a PNG or JPEG") from error
    except InvalidInput:
        raise
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise _damaged(what, error) from error


def _from_pil(image: Image.Image, what: str) -> Rgb:
    _check_size(image.height, image.width, what)
    try:
        image.load()
        return to_rgb(image)
    except InvalidInput:
        raise
    except Exception as error:
        raise _damaged(what, error) from error


def _damaged(what: str, error: Exception) -> InvalidInput:
    return InvalidInput(f"{what} cannot be decoded ({error}); is the file damaged or cut off?")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the pixels
        return image


def _pixels(image: Image.Image) -> Rgb:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F":
            return _from_array(values, "the image")
        return _from_array(values.clip(0, 65535).astype(np.uint16), "the image")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _from_tensor(tensor: Any) -> Rgb:
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise InvalidInput(f"the tensor has shape {tuple(tensor.shape)}; an image is (3, H, W)")
    tensor = tensor.detach().cpu().movedim(0, -1)
    return _from_array((tensor.float() if tensor.is_floating_point() else tensor).numpy(), "the tensor")


def _from_array(array: NDArray[Any], what: str) -> Rgb:
    """Grey, RGB or RGBA of any allowed type of number."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4):
        raise InvalidInput(f"{what} has shape {array.shape}; an image is (H, W), (H, W, 3) or (H, W, 4)")
    _check_size(array.shape[0], array.shape[1], what)
    pixels = _eight_bits(array, what)
    if pixels.shape[-1] == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        return ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return pixels.repeat(3, axis=-1) if pixels.shape[-1] == 1 else np.array(pixels, order="C")


def _eight_bits(array: NDArray[Any], what: str) -> Rgb:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= -0.01 and high <= 1.01):  # also NaN; resizing may overshoot a little
            raise InvalidInput(f"{what} has floats from {low:g} to {high:g}; they must lie in 0 to 1 (or be uint8)")
        return (array.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    raise InvalidInput(f"{what} is of {array.dtype}; allowed are uint8, uint16, bool and floats from 0 to 1")


def _check_size(height: int, width: int, what: str) -> None:
    if height == 0 or width == 0:
        raise InvalidInput(f"{what} has no pixels ({width} x {height}); give an image")
    if height * width > LARGEST_MEGAPIXELS * 1e6:
        raise InvalidInput(
            f"{what} has {height * width / 1e6:.0f} megapixels ({width} x {height}), at most {LARGEST_MEGAPIXELS} are "
            "allowed; make it smaller first"
        )
