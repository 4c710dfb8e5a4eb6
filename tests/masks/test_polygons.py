import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from refseg.masks.polygons import polygons


def filled(outlines: list[list[float]], shape: tuple[int, int]) -> np.ndarray:
    if not outlines:
        return np.zeros(shape, dtype=bool)
    return coco.decode(coco.merge(coco.frPyObjects(outlines, *shape))).astype(bool)


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_filling_the_polygons_gives_the_mask_again(mask):
    np.testing.assert_array_equal(filled(polygons(mask), mask.shape), mask)


def test_a_hole_with_an_island_with_a_hole_stays_as_it_is():
    y, x = np.mgrid[:101, :101]
    mask = (np.hypot(x - 50, y - 50) // 12 % 2).astype(bool)
    outlines = polygons(mask)
    np.testing.assert_array_equal(filled(outlines, mask.shape), mask)
    assert len(outlines) == 2 + 4  # two rings, four corners of the image


def test_pixels_that_touch_at_a_corner_are_two_parts():
    assert len(polygons(np.eye(2, dtype=bool))) == len(polygons(np.eye(2, dtype=bool)[::-1])) == 2


def test_an_empty_mask_has_no_polygons():
    assert polygons(np.zeros((4, 5), dtype=bool)) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_a_full_mask_is_a_rectangle(shape):
    height, width = shape
    assert polygons(np.ones(shape, dtype=bool)) == [[0, 0, width, 0, width, height, 0, height]]
