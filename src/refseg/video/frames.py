"""Videos as streams of frames, one of which is in memory at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from refseg.array_types import RgbImage
from refseg.errors import InvalidInput

FRAME_RATE = 24  # frames a second, where it is not known


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video.

    Attributes:
        index: counted from 0.
        time: of its beginning, in seconds after that of frame 0.
        pixels: (H, W, 3) uint8, RGB, upright.
    """

    index: int
    time: Fraction
    pixels: RgbImage


class Frames:
    """Frames of a video, all of one size, their times increasing; each `iter` starts again.

    A video whose frames change their size ends where they do.

    Attributes:
        name: for messages.
        count: announced number of frames; None where it is not known before the end.
        time_base: seconds of which the times are multiples.
        size_hw: announced height and width; None where they are not known before the first frame.
        remarks: after reading, one line for each thing that was wrong with the video.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[list[str]], Iterable[tuple[Fraction | None, RgbImage]]],
        count: int | None = None,
        time_base: Fraction = Fraction(1, FRAME_RATE),
        size_hw: tuple[int, int] | None = None,
    ):
        """Wraps a reader of times (None: evenly spaced, by `time_base`) and pixels, which also adds remarks."""
        self.name, self.count, self.time_base, self.size_hw = name, count, time_base, size_hw
        self.remarks: list[str] = []
        self._read = read

    def __iter__(self) -> Iterator[Frame]:
        self.remarks = []
        before: Frame | None = None
        for given, pixels in self._read(self.remarks):
            time = given or Fraction(0)
            if before is not None:
                if pixels.shape != before.pixels.shape:
                    now, then = (size_text(shape[:2]) for shape in (pixels.shape, before.pixels.shape))
                    self.remarks.append(
                        f"frame {before.index + 1} of {self.name} is {now}, those before are {then}: the video ends "
                        "there; what comes after is not answered"
                    )
                    return
                after = before.time + self.time_base
                time = after if given is None else max(given, after)
            before = Frame(before.index + 1 if before else 0, time, pixels)
            yield before
        if before is None:
            raise InvalidInput(f"{self.name} holds no frame that can be decoded; is it damaged, or cut off?")


def size_text(size_hw: Sequence[int]) -> str:
    """Returns a size as text: width x height.

    >>> size_text((48, 64))
    '64 x 48'
    """
    return f"{size_hw[1]} x {size_hw[0]}"
