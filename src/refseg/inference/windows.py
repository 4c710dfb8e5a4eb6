"""The clip around each frame that is answered, while the video passes by."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from refseg.array_types import RgbImage
from refseg.preprocessing.transform import ClipSampling
from refseg.video.frames import Frame

Prepared = TypeVar("Prepared")


def windows(
    frames: Iterable[Frame], sampling: ClipSampling, every: int, start: int, prepare: Callable[[RgbImage], Prepared]
) -> Iterator[tuple[Frame, list[Prepared]]]:
    """Yields each frame that is answered, with the prepared frames of its clip.

    A frame is prepared once, if any clip has it, and kept for as long as a clip may have it. Of frames as they were
    read, there are kept those that are answered and wait for the end of their clip, and the last.

    Args:
        frames: of a video, from the first on.
        sampling: which frames make a clip; those before the first and after the last are repeated.
        every: from one frame that is answered to the next.
        start: the first frame that is answered.
        prepare: what is done to the pixels of a frame that a clip has.
    """
    first, last = sampling.offsets[0], sampling.offsets[-1]
    kept: dict[int, Prepared] = {}
    waiting: deque[Frame] = deque()

    def is_answered(index: int) -> bool:
        return index >= start and (index - start) % every == 0

    def clip(count: int) -> tuple[Frame, list[Prepared]]:
        frame = waiting.popleft()
        prepared = [kept[index] for index in sampling.around(frame.index, count)]
        for index in [index for index in kept if index < max(0, frame.index + every + first)]:
            del kept[index]
        return frame, prepared

    newest: Frame | None = None
    for newest in frames:
        index = newest.index
        if any(is_answered(index - offset) for offset in sampling.offsets) or (index == 0 and start + first < 0):
            kept[index] = prepare(newest.pixels)
        if is_answered(index):
            waiting.append(newest)
        if waiting and waiting[0].index + last <= index:
            yield clip(index + 1)
    if waiting:
        assert newest is not None
        if newest.index not in kept:
            kept[newest.index] = prepare(newest.pixels)
        while waiting:
            yield clip(newest.index + 1)
