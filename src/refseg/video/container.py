"""Video files of any kind, through PyAV."""

import errno
import struct
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from refseg.array_types import RgbImage
from refseg.errors import InvalidInput, first_line, system_errno, unreadable
from refseg.optional import import_optional
from refseg.preprocessing.images import LARGEST_MEGAPIXELS, read_image
from refseg.video.formats import DEMUXERS
from refseg.video.frames import FRAME_RATE, Frames

ALLOWED = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}  # nothing is fetched, no other file is opened
_NOT_OPENED = frozenset([errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOENT])
_OF_HEADER = "its header says what no video has, such as a size of 0 or of too many pixels"
"""Instead of the other reasons of the operating system, which FFmpeg gives for what is in a file."""
MISSING_END = 1.0  # seconds that a video may end before it promised to


def read_container(path: Path) -> Frames:
    """Reads the frames of a video file, with its rotation and timestamps applied.

    Packets that cannot be decoded are passed over and counted in the remarks.

    Raises:
        InvalidInput: if it is no video, or PyAV is not installed.
    """
    with _opened(path) as container:
        stream = _stream(container, path)
        rate, base, seconds = stream.average_rate, stream.time_base, _promised(container, stream)
        count = stream.frames or (round(seconds * rate) if seconds and rate else None)
        height, width = stream.codec_context.height, stream.codec_context.width  # 0 where the header does not say
    tick = base or 1 / (rate or Fraction(FRAME_RATE))
    size_hw = (height, width) if height and width else None
    return Frames(str(path), lambda remarks: _read(path, remarks), count, tick, size_hw)


def import_av() -> Any:
    """Imports PyAV.

    Raises:
        InvalidInput: if it is not installed.
    """
    return import_optional("av", "a video file needs PyAV to be read or written", "video")


def read_comment(path: Path) -> str | None:
    """Reads the comment within a video file; None if it has none.

    Raises:
        InvalidInput: if it is no video, or PyAV is not installed.
    """
    with _opened(path) as container:
        comment: str | None = container.metadata.get("comment")
    return comment


def _read(path: Path, remarks: list[str]) -> Iterator[tuple[Fraction | None, RgbImage]]:
    errors, damaged = import_av().error, 0
    to_rgb = import_module("av.video.reformatter").VideoReformatter()  # one for all frames: to set up takes longer
    first: Fraction | None = None
    last = end = Fraction(0)
    with _opened(path) as container:
        stream = _stream(container, path)
        step = 1 / (stream.average_rate or Fraction(FRAME_RATE))
        packets, promised = container.demux(stream), _promised(container, stream)
        while True:
            try:
                packet = next(packets, None)
            except errors.FFmpegError as error:
                remarks.append(f"{path} cannot be read to its end ({error.strerror}); what comes after is not answered")
                break
            if packet is None:
                break
            try:
                frames = packet.decode()
            except errors.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                damaged += frame.is_corrupt
                if frame.pts is None:
                    time = Fraction(0) if first is None else last + step
                else:
                    time = frame.pts * frame.time_base
                first = time if first is None else first
                last, end = time, time + (frame.duration or 0) * frame.time_base
                yield time - first, _upright(to_rgb.reformat(frame, format="rgb24"), frame.side_data)
    if damaged:
        remarks.append(f"{damaged} frames of {path} are damaged; they were passed over, or answered as they look")
    if promised and first is not None and promised - (end - first) > max(MISSING_END, float(promised) / 10):
        remarks.append(f"{path} is cut off: its frames end after {float(end - first):.1f} of {float(promised):.1f} s")


def _opened(path: Path) -> Any:
    av = import_av()
    try:
        return av.open(str(path.absolute()), options=ALLOWED, metadata_errors="replace")
    except Exception as error:  # readers of damaged files raise whatever they like
        if system_errno(error) in _NOT_OPENED and (refusal := unreadable(path, error)):
            raise refusal from error
        reason = _OF_HEADER if isinstance(error, OSError) else getattr(error, "strerror", None) or first_line(error)
        raise InvalidInput(
            f"{path} is neither an image nor a video that can be read ({reason}); is it damaged, or cut off?"
        ) from error


def _stream(container: Any, path: Path) -> Any:
    cover = import_module("av.stream").Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover:
            if stream.codec_context is None:
                raise InvalidInput(f"{path} holds video of an unknown kind; convert it, for example to H.264")
            stream.codec_context.options = {"max_pixels": f"{LARGEST_MEGAPIXELS}000000"}
            return stream
    raise InvalidInput(f"{path} holds no video; is there only sound in it, or is it cut off?")


def _promised(container: Any, stream: Any) -> Fraction | None:
    """Returns the announced seconds of the video; a duration of the whole file may be that of its sound."""
    if stream.duration:
        return stream.duration * stream.time_base
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, import_module("av").time_base)
    return None


def _upright(frame: Any, side_data: Any) -> RgbImage:
    pixels = frame.to_ndarray()
    matrix = side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        across, down, across_of_row, down_of_row = np.take(struct.unpack("=9i", bytes(matrix)), [0, 1, 3, 4])
        if abs(down) > abs(across):  # columns become rows
            pixels, across, down_of_row = pixels.swapaxes(0, 1), across_of_row, down
        pixels = pixels[:: -1 if down_of_row < 0 else 1, :: -1 if across < 0 else 1]
    return read_image(pixels)
