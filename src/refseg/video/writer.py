"""Writer of overlay videos: H.264 where PyAV's build has it, otherwise MPEG-4."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from refseg.array_types import RgbImage
from refseg.video.container import import_av

ENCODERS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qmin": "2", "qmax": "5"}}
FINEST = 60_000  # ticks a second, where the video's own are too fine for MPEG-4, which counts them in 16 bits


def encoder() -> str:
    """Returns the best encoder of PyAV's build.

    Raises:
        InvalidInput: if PyAV is not installed.
    """
    return next(name for name in ENCODERS if name in import_av().codecs_available)


@contextmanager
def video_writer(
    path: Path, size_hw: tuple[int, int], time_base: Fraction, comment: str = ""
) -> Iterator[Callable[[Fraction, RgbImage], None]]:
    """Yields a function that adds a frame: its time in seconds, later than the last, and its pixels.

    Codecs want even sizes: an odd last row or column is there twice.
    """
    av, name = import_av(), encoder()
    height, width = size_hw
    odd = (0, height % 2), (0, width % 2), (0, 0)
    base = time_base if time_base.numerator == 1 and time_base.denominator < 2**16 else Fraction(1, FINEST)
    last = -1
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = comment
        stream = container.add_stream(name, options=ENCODERS[name])
        stream.height, stream.width, stream.pix_fmt = height + odd[0][1], width + odd[1][1], "yuv420p"
        stream.codec_context.time_base = stream.time_base = base

        def add(time: Fraction, pixels: RgbImage) -> None:
            nonlocal last
            frame = av.VideoFrame.from_ndarray(np.pad(pixels, odd, mode="edge"), format="rgb24")
            last = frame.pts = max(round(time / base), last + 1)
            frame.time_base = base
            container.mux(stream.encode(frame))

        yield add
        container.mux(stream.encode())
