import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.errors import InvalidInput
from refseg.inference.windows import windows
from refseg.preprocessing.transform import ClipSampling
from refseg.video.reading import read_frames

OFFSETS = st.sets(st.integers(-9, 9), max_size=5).map(lambda some: tuple(sorted(some | {0})))


def frames(count):
    return read_frames(np.full((1, 1, 3), number, np.uint8) for number in range(count))


@given(st.integers(1, 40), OFFSETS, st.integers(1, 20), st.integers(0, 20))
def test_clips_are_those_of_the_whole_video(count, offsets, every, start):
    sampling = ClipSampling(offsets=offsets)
    prepared = []

    def prepare(pixels):
        prepared.append(int(pixels[0, 0, 0]))
        return prepared[-1]

    found = [(frame.index, clip) for frame, clip in windows(frames(count), sampling, every, start, prepare)]
    assert found == [(index, sampling.around(index, count)) for index in range(start, count, every)]
    assert len(prepared) == len(set(prepared))
    longer = {index for frame in range(start, count + 10, every) for index in sampling.around(frame, count + 99)}
    assert set(prepared) <= {index for _, clip in found for index in clip} | longer


def test_no_more_is_kept_than_a_clip_reaches_over():
    alive: list[weakref.ref] = []

    class Prepared:
        pass

    def prepare(pixels):
        one = Prepared()
        alive.append(weakref.ref(one))
        return one

    sampling = ClipSampling(offsets=(-8, -4, 0, 4, 7))
    for _, clip in windows(frames(100), sampling, 1, 0, prepare):
        assert len(clip) == 5 and sum(one() is not None for one in alive) <= 16


@pytest.mark.parametrize("offsets", [(), (-1, 1), (0, 0), (1, 0)])
def test_offsets_grow_around_0(offsets):
    with pytest.raises(ValueError, match="must grow"):
        ClipSampling(offsets=offsets)


def test_a_video_without_frames_is_told():
    with pytest.raises(InvalidInput, match="holds no frame"):
        list(windows(frames(0), ClipSampling(), 1, 0, lambda pixels: 0))
