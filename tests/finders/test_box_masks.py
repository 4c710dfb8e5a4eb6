import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.errors import InvalidInput
from refseg.finders.box_masks import MASKERS, box_mask, ellipse_mask, find_masker, grabcut_mask


def disc_and_noise(size: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A red half disc, which fills its box badly, on a green ground, both noisy; and its true mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    mask = (np.hypot(rows - 80, columns - 60) < 40) & (rows < 80)
    mask[40:80, 20:50] = False  # what is left of it is a quarter and a bit
    colours = np.where(mask[..., None], [200, 60, 50], [60, 150, 70])
    return (colours + rng.normal(0, 12, colours.shape)).clip(0, 255).astype(np.uint8), mask


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_colours_find_a_shape_that_no_ellipse_is():
    image, true = disc_and_noise()
    box = box_of(true)
    assert iou(ellipse_mask(image, box), true) < 0.8
    assert iou(grabcut_mask(image, box), true) > 0.93


def test_without_contrast_the_mask_is_about_the_ellipse():
    image = np.full((80, 80, 3), 90, np.uint8)
    box = (20.0, 10.0, 60.0, 70.0)
    assert iou(grabcut_mask(image, box), ellipse_mask(image, box)) > 0.9


def test_two_calls_give_the_same_mask_whatever_the_seed():
    image, true = disc_and_noise()
    np.random.seed(1)
    first = grabcut_mask(image, box_of(true))
    np.random.seed(2)
    assert (first == grabcut_mask(image, box_of(true))).all()


def test_the_image_is_left_as_it_is():
    image, true = disc_and_noise()
    image.setflags(write=False)
    before = image.copy()
    grabcut_mask(image, box_of(true))
    assert (image == before).all()


@pytest.mark.parametrize("name", MASKERS)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    sides=st.tuples(*[st.floats(0, 1)] * 4),
    seed=st.integers(0, 9),
)
def test_every_box_in_an_image_gives_a_mask_within_it(name, size, sides, seed):
    (height, width), (x, y, w, h) = size, sides
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    box = (x * 0.9 * width, y * 0.9 * height, x * 0.9 * width + w * width + 0.1, y * 0.9 * height + h * height + 0.1)
    mask = MASKERS[name](image, box)
    assert mask.shape == (height, width) and mask.dtype == bool and mask.any()
    assert not (mask & ~box_mask(image, box)).any() or name == "ellipse"


@pytest.mark.parametrize("name", MASKERS)
@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 5, 5, 9), (20, 0, 30, 9), (-9, 0, -1, 9), (float("nan"), 0, 9, 9)])
def test_a_box_without_pixels_is_refused(name, box):
    with pytest.raises(InvalidInput, match="empty or outside of the image of 20 x 10"):
        MASKERS[name](np.zeros((10, 20, 3), np.uint8), box)


def test_an_unknown_masker_is_refused_with_the_choices():
    with pytest.raises(
        InvalidInput, match=r"unknown masker 'sam3'; did you mean sam2\? choose one of: grabcut, ellipse, box"
    ):
        find_masker("sam3")


@pytest.mark.parametrize(
    "box", [(3.2, 4.7, 50.9, 33.1), (-9.0, -5.0, 30.5, 80.0), (20.1, 10.0, 20.9, 30.0), (0, 0, 60, 40)]
)
def test_an_ellipse_is_all_pixels_whose_centres_it_holds(box):
    x0, y0, x1, y1 = box
    rows, columns = np.mgrid[:40, :60] + 0.5
    inside = ((2 * columns - x0 - x1) / (x1 - x0)) ** 2 + ((2 * rows - y0 - y1) / (y1 - y0)) ** 2 <= 1
    np.testing.assert_array_equal(ellipse_mask(np.zeros((40, 60, 3), np.uint8), box), inside)
