"""Reading of images as (H, W, 3) uint8 RGB, upright; anything else is refused with one line."""

import io
import os
import shlex
import stat
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin

from refseg.array_types import RgbImage
from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, first_line

LARGEST_MEGAPIXELS = 100
LONGEST_SIDE = 100_000
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Formats that are decoded; HEIF if pillow_heif is registered with Pillow. EPS, which Ghostscript would run, is not."""
_ALLOWED = "give a path, bytes, a PIL image, a numpy array (H, W, 3) or a torch tensor (3, H, W)"
_STRIP_PIXELS = 2**20
_MAX_TEXTS = 256  # texts of a PNG that are measured
_PNG, _TEXTS = b"\x89PNG\r\n\x1a\n", frozenset([b"tEXt", b"zTXt", b"iTXt", b"iCCP"])
_IMAGE_BRANDS = {
    "HEIC": frozenset(
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1", b"avci", b"avcs"]
    ),
    "AVIF": frozenset([b"avif", b"avis"]),
}
"""Brands of image files in MP4's box format."""
_VIDEO_BOXES = frozenset([b"moov", b"moof"])
"""Boxes of video files."""
_STORED: dict[int, Callable[[RgbImage], RgbImage]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""Views of upright pixels (H, W, 3) in the order of storage, by EXIF orientation."""


def read_image(image: Any) -> RgbImage:
    """Reads an image as a new array (H, W, 3) uint8 RGB.

    The EXIF orientation is applied, the first frame of an animation is taken, transparent pixels are put on white,
    16 bits are scaled to 8.

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
        return _from_file(io.BytesIO(image), f"the image ({counted(len(image), 'byte')})")
    if isinstance(image, Image.Image):
        return _from_pil(image, "the PIL image")
    if isinstance(image, np.ndarray):
        return _from_array(image, "the array")
    torch = sys.modules.get("torch")  # imported already if there is a tensor; otherwise not worth the time
    if torch is not None and isinstance(image, torch.Tensor):
        return _from_tensor(image)
    raise InvalidInput(f"{type(image).__name__} is not an image; {_ALLOWED}")


def open_image(source: str | Path | IO[Any], what: str | None = None) -> Image.Image:
    """Opens an image file of one of `FORMATS`; only its header is read.

    Texts and colour profiles of a PNG above Pillow's limits are skipped.

    Args:
        source: a path, or an open file.
        what: name in errors; by default the path.

    Raises:
        PIL.UnidentifiedImageError: if it is of another format.
        InvalidInput: if it is larger than `LARGEST_MEGAPIXELS` or `LONGEST_SIDE`, no regular file, or a HEIC picture.
    """
    if isinstance(source, str | Path):
        what = what or str(source)
        if not stat.S_ISREG(os.stat(source).st_mode):  # opening a pipe would block
            raise InvalidInput(f"{what} is not a file; give an image file")
    what = what or "the image"
    with _quiet():
        try:
            image = _open(_readable(source))
        except Image.DecompressionBombError as error:
            raise InvalidInput(
                f"{what} has more than the {LARGEST_MEGAPIXELS} megapixels that are allowed; make it smaller first"
            ) from error
        except Image.UnidentifiedImageError:
            if kind := still_kind(source):
                name = Path(source).name if isinstance(source, str | Path) else f"photo.{kind.lower()}"
                raise InvalidInput(
                    f"{what} is a picture in {kind}, which cannot be read; convert it to JPEG or PNG first, for "
                    f"example with ImageMagick: magick {shlex.quote(name)} {shlex.quote(f'{Path(name).stem}.jpg')}"
                ) from None
            raise
    try:
        _check_size(image.height, image.width, what)
    except InvalidInput:
        image.close()
        raise
    return image


def to_rgb(image: Image.Image, upright: bool = True) -> RgbImage:
    """Decodes an opened image to pixels (H, W, 3) uint8 RGB.

    Transparent pixels are put on white, 16 bits are scaled to 8. Errors of decoders are passed on.

    Args:
        image: from `open_image`.
        upright: Whether the EXIF orientation is applied; masks of data sets refer to the stored pixels.
    """
    with _quiet():
        image.load()
        orientation = orientation_of(image) if upright else 1
        across = (image.width, image.height) if orientation >= 5 else (image.height, image.width)
        pixels = np.empty((*across, 3), np.uint8)
        stored = _STORED[orientation](pixels)
        for rows in strips(slice(0, image.height), image.width):
            strip = image if rows == slice(0, image.height) else image.crop((0, rows.start, image.width, rows.stop))
            stored[rows] = _pixels(strip)
    return pixels


def strips(rows: slice, width: int) -> Iterator[slice]:
    """Splits rows of an image into slices of about a million pixels, which bounds memory.

    >>> list(strips(slice(0, 5000), 500))
    [slice(0, 2097, None), slice(2097, 4194, None), slice(4194, 5000, None)]
    """
    step = max(1, _STRIP_PIXELS // max(width, 1))
    return (slice(start, min(start + step, rows.stop)) for start in range(rows.start, rows.stop, step))


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Returns height and width of an opened image after its EXIF orientation is applied."""
    turned = orientation_of(image) >= 5
    return (image.width, image.height) if turned else (image.height, image.width)


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation of an opened image, 1 to 8, by default 1."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return orientation if orientation in _STORED else 1
    except Exception:  # damaged EXIF does not matter for the pixels
        return 1


def still_kind(source: str | Path | IO[Any]) -> str | None:
    """Returns the image format in MP4's box format, HEIC, AVIF or HEIF; None for other files.

    A file with such a brand among its minor ones is a video if it has a video box.
    """
    with _file(source) as file:
        head = file.read(256)
        if head[4:8] != b"ftyp":
            return None
        boxes = set(_boxes(file))
    end = min(struct.unpack(">I", head[:4])[0], len(head))
    brands = [head[8:12], *(head[k : k + 4] for k in range(16, end - 3, 4))]
    for kind, known in _IMAGE_BRANDS.items():
        if brands[0] in known or (not boxes & _VIDEO_BOXES and known.intersection(brands)):
            return kind
    return "HEIF" if b"meta" in boxes and not boxes & _VIDEO_BOXES else None


def _from_path(path: Path) -> RgbImage:
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise InvalidInput(f"{path} is a folder; give an image file")
        if not stat.S_ISREG(kind):
            raise InvalidInput(f"{path} is not a file; give an image file")
        with path.open("rb") as file:
            return _from_file(file, str(path))
    except (InvalidInput, MissingFile):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFile(f"{path} is missing; check the path of the image") from error
    except (OSError, ValueError) as error:  # characters that no path can have
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"{path} cannot be opened ({reason}); give an image file") from error


def _from_file(file: IO[Any], what: str) -> RgbImage:
    if not file.read(1):
        raise InvalidInput(f"{what} is empty; give an image file")
    try:
        with open_image(file, what) as image:
            return to_rgb(image)
    except Image.UnidentifiedImageError as error:
        raise InvalidInput(f"{what} is not an image, or of an unknown format; give a PNG or JPEG") from error
    except InvalidInput:
        raise
    except Exception as error:  # decoders raise various errors on damaged files
        raise _damaged(what, error) from error


def _from_pil(image: Image.Image, what: str) -> RgbImage:
    _check_size(image.height, image.width, what)
    try:
        return to_rgb(image)
    except InvalidInput:
        raise
    except Exception as error:
        raise _damaged(what, error) from error


def _damaged(what: str, error: Exception) -> InvalidInput:
    return InvalidInput(f"{what} cannot be decoded ({first_line(error)}); is the file damaged or cut off?")


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses Pillow's warnings of allowed sizes and odd metadata."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


@contextmanager
def _file(source: str | Path | IO[Any]) -> Iterator[IO[Any]]:
    if isinstance(source, str | Path):
        with open(source, "rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


def _boxes(file: IO[Any]) -> Iterator[bytes]:
    """Yields the kinds of the outermost boxes of an MP4, at most a thousand."""
    start, whole = 0, file.seek(0, io.SEEK_END)
    for _ in range(1000):
        if start >= whole:
            return
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            size = struct.unpack(">Q", head[8:])[0]
        yield kind
        if size < 8:  # 0: to the end of the file
            return
        start += size


def _open(source: str | Path | IO[Any]) -> Image.Image:
    """Opens a file with Pillow's common decoders, or else with all, which take as long to import as Pillow itself."""
    Image.preinit()
    with suppress(Image.UnidentifiedImageError):
        return Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN])
    Image.init()
    return Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN])


def _readable(source: str | Path | IO[Any]) -> str | Path | IO[Any]:
    """Returns the file, or a copy without texts and colour profiles for which Pillow would refuse the file."""
    with _file(source) as file:
        large = list(_large_texts(file))
        if not large:
            return source
        file.seek(0)
        kept = io.BytesIO()
        for begin, end in large:
            kept.write(file.read(begin - file.tell()))
            file.seek(end)
        kept.write(file.read())
    return kept


def _large_texts(file: IO[Any]) -> Iterator[tuple[int, int]]:
    """Yields begin and end of texts and colour profiles of a PNG that exceed Pillow's limits, alone or in total."""
    whole = file.seek(0, io.SEEK_END)
    file.seek(0)
    if file.read(len(_PNG)) != _PNG:
        return
    start, total, count = len(_PNG), 0, 0
    while True:
        file.seek(start)
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"IEND")
        if kind == b"IEND":
            return
        end = start + 12 + length
        if kind in _TEXTS and end <= whole:
            count += 1
            if count > _MAX_TEXTS or total >= PngImagePlugin.MAX_TEXT_MEMORY // 2:
                size = None  # the limit of decompression is reached
            else:
                size = length if kind == b"tEXt" else _text_size(kind, file.read(length), length)
            if size is None or total + size > PngImagePlugin.MAX_TEXT_MEMORY:
                yield start, end
            else:
                total += size
        start = end


def _text_size(kind: bytes, content: bytes, length: int) -> int | None:
    """Returns the size in bytes of a decompressed text or profile; None if it exceeds Pillow's limit."""
    _, _, rest = content.partition(b"\0")
    if kind == b"iTXt":
        if rest[:1] == b"\0":
            return length
        rest = rest[1:2] + rest[2:].split(b"\0", 2)[-1]
    limit = PngImagePlugin.MAX_TEXT_CHUNK
    try:
        unpacked = zlib.decompressobj()
        text = unpacked.decompress(rest[1:], limit)
    except zlib.error:  # Pillow skips it
        return 0
    return None if unpacked.unconsumed_tail else len(text)


def _pixels(image: Image.Image) -> RgbImage:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F":
            return _from_array(values, "the image")
        return _from_array(values.clip(0, 65535).astype(np.uint16), "the image")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _from_tensor(tensor: Any) -> RgbImage:
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise InvalidInput(f"the tensor has shape {tuple(tensor.shape)}; an image is (3, H, W)")
    tensor = tensor.detach().cpu().movedim(0, -1)
    return _from_array((tensor.float() if tensor.is_floating_point() else tensor).numpy(), "the tensor")


def _from_array(array: NDArray[Any], what: str) -> RgbImage:
    """Converts grey, RGB or RGBA values of any allowed dtype."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4):
        raise InvalidInput(f"{what} has shape {array.shape}; an image is (H, W), (H, W, 3) or (H, W, 4)")
    height, width = array.shape[:2]
    _check_size(height, width, what)
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in strips(slice(0, height), width):
        part = _eight_bits(array[rows], what)
        if part.shape[-1] == 4:
            alpha = part[..., 3:].astype(np.uint16)
            part = ((part[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
        pixels[rows] = part
    return pixels


def _eight_bits(array: NDArray[Any], what: str) -> RgbImage:
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
    if max(height, width) > LONGEST_SIDE:
        raise InvalidInput(
            f"{what} is {width} x {height}, at most {LONGEST_SIDE} pixels a side are allowed; cut it into parts first"
        )
