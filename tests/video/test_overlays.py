"""The overlay of a video, and the line that tells what was found in it."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from refseg.commands.segment_video import _Found, _write_overlays
from refseg.masks.rle import encode_rle
from refseg.video.frames import Frames
from refseg.video.reading import read_frames

pytest.importorskip("av", reason="PyAV is not installed: pip install 'refseg[video]'")


def answer(t: int, mask: np.ndarray, exists: float = 0.9, familiar: bool = True) -> dict[str, Any]:
    rle = encode_rle(mask)
    return {
        "frame": t, "found": bool(mask.any()), "exists": exists, "exists_threshold": 0.5, "familiar": familiar,
        "warnings": [], "rle": rle, "instances": [],
    }  # fmt: skip


@pytest.fixture
def overlay(tmp_path):
    """Writes the overlay of answers about frames of one colour each; gives its frames."""

    def run(colours: list[tuple[int, int, int]], answers: list[dict[str, Any]]) -> list[np.ndarray]:
        pixels = [np.full((160, 240, 3), colour, np.uint8) for colour in colours]
        frames = Frames("the clip", lambda remarks: ((None, one) for one in pixels), len(pixels), Fraction(1, 8))
        _write_overlays([tmp_path / "o.mp4"], frames, iter([[one] for one in answers]), lambda done: None, "")
        return [frame.pixels.astype(int) for frame in read_frames(tmp_path / "o.mp4")]

    return run


def test_the_colour_of_a_mask_stays_the_same_when_what_it_covers_changes(overlay):
    mask = np.zeros((160, 240), bool)
    mask[60:140, 80:200] = True
    first, second = overlay([(200, 60, 60), (60, 60, 200)], [answer(0, mask), answer(1, mask)])
    mixed = first[100, 140] * 2 - (200, 60, 60), second[100, 140] * 2 - (60, 60, 200)
    assert np.abs(mixed[0] - mixed[1]).max() < 40
    assert np.abs(first[100, 140] - first[10, 10]).sum() > 90


def test_frames_that_the_weights_do_not_know_are_grey_with_a_band_and_keep_their_size(overlay):
    mask = np.zeros((160, 240), bool)
    mask[60:140, 80:200] = True
    known, unknown = overlay([(60, 120, 60)] * 2, [answer(0, mask), answer(1, mask, familiar=False)])
    assert known.shape == unknown.shape == (160, 240, 3)
    assert np.ptp(known[100, 140]) > 40 and np.ptp(unknown[60:, :], axis=-1).max() < 25
    assert (unknown[2, 5:-5, 0] > unknown[2, 5:-5, 1] + 60).all()


@pytest.mark.parametrize(
    "exists, line",
    [
        (0.3, "nothing matches in 2 frames: exists 10.0% to 30.0% is below the threshold 50.0%"),
        (0.772, "nothing matches in 2 frames: no object was chosen, although exists reaches 77.2%"),
    ],
)
def test_the_line_of_a_video_says_which_decided_that_there_is_nothing(exists, line):
    found = _Found()
    for t, one in enumerate((0.1, exists)):
        found.add(answer(t, np.zeros((4, 4), bool), one))
    assert line in str(found)


@pytest.mark.parametrize(
    "familiar, line",
    [
        ((False, False), "no answer: unfamiliar to these weights (found in 2 of 2 frames, exists 90.0% to 90.0%)"),
        ((True, False), "exists 90.0% to 90.0%; 1 of 2 frames is unlike what these weights know"),
        ((True, True), "found in 2 of 2 frames, exists 90.0% to 90.0%"),
    ],
)
def test_the_line_of_a_video_says_how_many_frames_are_unfamiliar(familiar, line):
    found = _Found()
    for t, one in enumerate(familiar):
        found.add({**answer(t, np.ones((4, 4), bool), 0.9), "familiar": one})
    assert line in str(found) and ("unlike" in str(found) or "unfamiliar" in str(found)) == (not all(familiar))
