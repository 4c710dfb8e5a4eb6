import numpy as np
import pytest

from refseg.masks.overlay import COLOURS, coloured, contrasting_colours


def square(*places: slice) -> np.ndarray:
    region = np.zeros((40, 60), bool)
    region[places] = True
    return region


@pytest.mark.parametrize("own", COLOURS)
@pytest.mark.parametrize("ground", [(0, 0, 0), (128, 128, 128), (255, 255, 255)])
def test_the_tint_of_a_region_differs_from_what_it_covers_and_from_the_ground(own, ground):
    region = np.hypot(*(np.mgrid[:40, :60] - [[[20]], [[30]]])) < 15
    image = np.where(region[..., None], own, ground).astype(np.uint8)
    [colour] = contrasting_colours(image, [region])
    shown = coloured(image, [region], [colour])[20, 30].astype(int)
    assert np.abs(shown - own).sum() > 90 and np.abs(shown - ground).sum() > 90


def test_colours_are_not_used_again_before_all_are_taken():
    image = np.full((40, 60, 3), 100, np.uint8)
    regions = [square(slice(5, 9), slice(6 * k, 6 * k + 4)) for k in range(9)]
    colours = contrasting_colours(image, regions)
    assert set(colours[:7]) == set(COLOURS) and len(set(colours[7:])) == 2


def test_an_empty_region_has_a_colour_and_leaves_the_image_as_it_is():
    image = np.full((40, 60, 3), 100, np.uint8)
    [colour] = contrasting_colours(image, [square(slice(0))])
    np.testing.assert_array_equal(coloured(image, [square(slice(0))], [colour]), image)
