import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from refseg.errors import InvalidInput
from refseg.protocols import davis, mevis
from refseg.protocols.hungarian import assign


def clip(frames=4, second=0):
    """Two objects; with `second` pixels the lower one is moved."""
    labels = np.zeros((frames, 48, 64), np.uint8)
    labels[:, 4:20, 4:30] = 1
    labels[:, 26:44, 10 + second : 40 + second] = 2
    return labels


def swapped(labels):
    return np.array([0, 2, 1], np.uint8)[labels]


def scored(score, prediction, truth):
    return davis.summarize_objects([score(prediction, truth)])


def test_the_boundary_compares_right_and_down_and_never_has_the_last_corner():
    mask = np.zeros((1, 3, 4), bool)
    mask[0, 1:, 1:] = True
    expected = [[1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(davis.boundary(mask)[0], np.array(expected, bool))
    mask[:] = np.arange(12).reshape(3, 4) == 11
    assert davis.boundary(mask)[0].nonzero()[0].tolist() == [1, 1, 2] and not davis.boundary(mask)[0, 2, 3]


def test_near_is_a_disk_of_whole_pixels_that_nothing_outside_reaches():
    dot = np.zeros((1, 300, 400), bool)
    dot[0, 0, 100] = True  # diagonal 500: radius 4
    touched = davis.near(dot)[0]
    assert touched[0].sum() == 9 and touched[4].sum() == 1 and touched[3, 102] and not touched[3, 103]
    assert not davis.near(dot[:, :299, :399])[0, 5:].any()


def test_empty_masks_agree_and_one_empty_mask_does_not():
    some = clip()[:1] == 1
    for measure in (0, 1):
        assert davis.region_and_contour(~some & some, ~some & some)[measure] == 1
        assert davis.region_and_contour(some, ~some & some)[measure] == 0


def test_matching_hides_swapped_identities_which_semi_supervised_does_not():
    truth = clip()
    assert scored(davis.unsupervised, swapped(truth), truth)["J&F"] == 1
    assert scored(davis.semi_supervised, swapped(truth), truth)["J"] == 0


def test_surplus_labels_are_free_and_missing_ones_are_empty_masks():
    truth, more = clip(), clip()
    more[:, :3, 50:] = 3
    assert scored(davis.unsupervised, more, truth)["J&F"] == 1
    assert scored(davis.unsupervised, np.where(truth == 2, 0, truth), truth)["J&F"] == 0.5


def test_void_is_cut_out_and_semi_supervised_takes_it_for_background():
    prediction, truth = clip(), clip()
    truth[:, 26:44, 10:25] = 255
    assert scored(davis.unsupervised, prediction, truth)["J"] == 1
    assert scored(davis.semi_supervised, prediction, truth)["J"] == 0.75


def test_the_first_frame_says_how_many_objects_there_are():
    truth = clip()
    truth[0, 26:] = 0
    assert davis.unsupervised(clip(), truth)[0].shape == (1, 4)


def test_semi_supervised_leaves_out_the_first_and_the_last_frame():
    prediction, truth = clip(), clip()
    prediction[[0, -1]] = 0
    assert scored(davis.semi_supervised, prediction, truth)["J&F"] == 1
    assert scored(davis.unsupervised, prediction, truth)["J"] == 0.5


def test_objects_count_alike_in_long_and_short_clips():
    one = clip()
    one[one == 2] = 0
    good, bad = davis.unsupervised(one, one), davis.unsupervised(0 * clip(), clip())
    assert davis.summarize_objects([good, bad])["J"] == pytest.approx(1 / 3)


def test_decay_is_of_quarters_that_share_their_bounds():
    frames = np.arange(9.0)  # bounds 0, 2, 4, 6, 8
    assert davis.decay(frames) == 1 - 7


@pytest.mark.parametrize(("frames", "expected"), [(256, 32 - 223), (300, math.nan), (400, 50 - 93)])
def test_decay_is_wrong_above_256_frames_as_the_tools_8_bits_are(frames, expected):
    assert davis.decay(np.arange(float(frames))) == pytest.approx(expected, nan_ok=True)


def test_mevis_merges_all_labels_but_void():
    truth = clip()
    assert mevis.summarize([mevis.expression(swapped(truth), truth)])["J&F"] == 1
    truth[:, 26:44, 10:25] = 255
    expected = (16 * 26 + 18 * 15) / (16 * 26 + 18 * 30)
    assert mevis.summarize([mevis.expression(clip(), truth)])["J"] == pytest.approx(expected)


def test_a_clip_without_an_answer_counts_0_in_mevis():
    perfect, missing = mevis.expression(clip(9), clip(9)), mevis.expression(None, clip(3))
    assert mevis.summarize([perfect, missing]) == {"J&F": 0.5, "J": 0.5, "F": 0.5}


@pytest.mark.parametrize("score", [davis.unsupervised, davis.semi_supervised, mevis.expression])
def test_labels_of_another_size_are_refused(score):
    with pytest.raises(InvalidInput, match="4 x 48 x 64, the true ones 5 x 48 x 64"):
        score(clip(4), clip(5))


def test_nothing_to_score_has_no_metrics():
    empty = 0 * clip()
    assert scored(davis.unsupervised, clip(), empty) == {} == mevis.summarize([])


@given(arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.integers(0, 9)))
def test_no_other_matching_costs_less(costs):
    rows, columns = assign(costs.astype(float))
    assert len(set(columns.tolist())) == len(rows) == min(costs.shape) and sorted(rows) == rows.tolist()
    wide = costs if costs.shape[0] <= costs.shape[1] else costs.T
    least = min(wide[range(len(wide)), list(p)].sum() for p in permutations(range(wide.shape[1]), len(wide)))
    assert costs[rows, columns].sum() == least
