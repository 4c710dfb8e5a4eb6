"""Small videos, written by PyAV."""

import struct
from fractions import Fraction

import numpy as np
import pytest

BITS = 6


@pytest.fixture
def picture():
    """Frame `number`: noise, its upper left corner red, its number in black and white blocks at the bottom."""

    def draw(number, height=48, width=64):
        pixels = np.random.default_rng(number).integers(60, 180, (height, width, 3), np.uint8)
        pixels[: height // 3, : width // 4] = 220, 20, 20
        for bit in range(BITS):
            pixels[-16:, 8 * bit : 8 * bit + 8] = 255 * (number >> bit & 1)
        return pixels

    return draw


@pytest.fixture
def numbers():
    """Which pictures frames show."""

    def read(frames):
        return [sum((frame.pixels[-8, 8 * bit + 4, 0] > 128) << bit for bit in range(BITS)) for frame in frames]

    return read


@pytest.fixture
def write_video(tmp_path, picture):
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install 'refseg[video]'")

    def write(
        name="clip.mp4",
        count=20,
        times=None,
        base=Fraction(1, 24),
        size=(48, 64),
        codec="mpeg4",
        metadata=(),
        **options,
    ):
        path = tmp_path / name
        with av.open(str(path), "w", options=options) as container:
            container.metadata.update(metadata)
            stream = container.add_stream(codec, rate=24)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv444p" if codec == "ffv1" else "yuv420p"
            stream.codec_context.time_base = stream.time_base = base
            container.start_encoding()
            for number in range(count):
                pixels = picture(number, *size)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number if times is None else times[number], base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def display_matrix():
    """Writes how a player shows the frames into a video's header."""

    def write(path, across, down, across_of_row, down_of_row):
        content = bytearray(path.read_bytes())
        matrix = content.index(b"tkhd") + 44
        one = 1 << 16
        numbers = across * one, down * one, 0, across_of_row * one, down_of_row * one, 0, 0, 0, 1 << 30
        content[matrix : matrix + 36] = struct.pack(">9i", *numbers)
        path.write_bytes(content)

    return write
