"""Readers of videos: a file, a folder of frames, an animation, or an iterable of frames."""

import os
import stat
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.preprocessing.images import open_image, read_image
from refseg.video.formats import is_video_file
from refseg.video.frames import FRAME_RATE, Frames

ANIMATIONS = "GIF", "PNG", "WEBP", "AVIF"  # formats of images that may move


_ALLOWED = "give a video file, a folder of frames, or frames one after another"


def read_frames(source: Any) -> Frames:
    """Opens a video; only its header is read before the first frame is requested.

    Args:
        source: the path of a video file (needs PyAV), of an animated GIF, PNG, WebP or AVIF, or of a folder of images,
            which are taken in natural order; a `Clip`; or an iterable of anything that `read_image` reads.

    Raises:
        MissingFile: if there is no such file.
        InvalidInput: if it is no video, holds no frame, or PyAV is needed and not installed.
    """
    if isinstance(source, Frames):
        return source
    if isinstance(source, str | Path):
        return _of_path(Path(source))
    from refseg.samples import Clip  # with torch, which a wrong path need not wait for

    if isinstance(source, Clip):
        base = 1 / Fraction(source.frame_rate or FRAME_RATE).limit_denominator(1000)
        return Frames(
            source.clip_id, lambda _: ((None, source.frame(t)) for t in range(len(source))), len(source), base
        )
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | memoryview):
        return Frames("the video", lambda remarks: ((None, read_image(image)) for image in source))
    raise InvalidInput(f"{type(source).__name__} is not a video; {_ALLOWED}")


def is_video(path: Path) -> bool:
    """Whether a path is a folder, an animation or a video file, as far as can be told without decoding it.

    Raises:
        InvalidInput: if it is a file that is neither an image nor a video.
    """
    if os.path.isdir(path):  # `Path.is_dir` may raise
        return True
    try:
        with open_image(path) as image:
            return image.format in ANIMATIONS and bool(getattr(image, "is_animated", False))
    except Image.UnidentifiedImageError as error:
        if is_video_file(path):
            return True
        if not path.stat().st_size:
            return False
        raise InvalidInput(
            f"{path} is neither an image nor a video that can be read; give a PNG, a JPEG or an MP4"
        ) from error
    except Exception:  # a missing file, or an image that is damaged or too large: `read_image` says so
        return False


def _of_path(path: Path) -> Frames:
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFile(f"{path} is missing; check the path of the video") from error
    except (OSError, ValueError) as error:  # of letters that no path has
        raise InvalidInput(f"{path} cannot be opened ({getattr(error, 'strerror', error)}); {_ALLOWED}") from error
    if stat.S_ISDIR(facts.st_mode):
        from refseg.video.folder import read_folder

        return read_folder(path)
    if not stat.S_ISREG(facts.st_mode):
        raise InvalidInput(f"{path} is not a file; {_ALLOWED}")
    if not facts.st_size:
        raise InvalidInput(f"{path} is empty; {_ALLOWED}")
    try:
        with open_image(path) as image:
            kind = image.format
    except InvalidInput:
        raise
    except Image.UnidentifiedImageError:
        from refseg.video.container import read_container

        return read_container(path)
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise InvalidInput(f"{path} cannot be opened ({first_line(error)}); {_ALLOWED}") from error
    if kind not in ANIMATIONS:
        raise InvalidInput(f"{path} is a single image; {_ALLOWED}")
    from refseg.video.animation import read_animation

    return read_animation(path)
