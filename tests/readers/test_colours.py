import numpy as np
import pytest

from refseg.datasets.drawn_scenes.objects import COLOURS, RGB
from refseg.readers.colours import NAMES, REGIONS, lab, name_pixels, object_colours, share_of

NAMED = {
    "black": [(0, 0, 0), (25, 25, 28)],
    "white": [(255, 255, 255), (230, 230, 228)],
    "grey": [(128, 128, 128), (90, 92, 95)],
    "red": [(220, 20, 20), (128, 0, 0)],
    "pink": [(255, 182, 193), (255, 105, 180)],
    "brown": [(101, 67, 33), (92, 51, 23)],
    "beige": [(210, 180, 140), (222, 200, 170)],
    "orange": [(255, 140, 0)],
    "yellow": [(255, 230, 0)],
    "green": [(0, 128, 0), (60, 180, 75), (85, 107, 47)],
    "cyan": [(0, 210, 210)],
    "blue": [(0, 0, 200), (70, 130, 200), (0, 0, 128)],
    "purple": [(128, 0, 128)],
}


@pytest.mark.parametrize("name", NAMES)
def test_plain_examples_have_their_name(name):
    assert {NAMES[k] for k in name_pixels(np.array(NAMED[name], np.uint8))} == {name}


def test_colours_of_drawn_objects_have_their_names():
    assert [NAMES[k] for k in name_pixels(RGB.astype(np.uint8))] == list(COLOURS)


def test_lightness_runs_from_black_to_white():
    np.testing.assert_allclose(lab(np.array([[0, 0, 0], [255, 255, 255]], np.uint8))[:, 0], [0, 100], atol=1e-3)


def test_regions_of_an_object_are_counted_apart():
    image = np.zeros((40, 20, 3), np.uint8)
    image[6:20], image[24:] = (200, 20, 20), (20, 20, 200)
    colours = object_colours(image, (0, 0, 20, 40), np.ones((40, 20), bool))
    assert set(colours) == set(REGIONS)
    assert share_of(colours, "red", "upper") > 0.7 > 0.1 > share_of(colours, "red", "lower")
    assert share_of(colours, "black", "head") > 0.7


@pytest.mark.parametrize("box", [(-5, -5, 0, 0), (50, 50, 60, 60), (3, 3, 3, 9)])
def test_a_box_outside_of_the_image_has_no_colours(box):
    assert object_colours(np.zeros((40, 20, 3), np.uint8), box) == {}
    assert share_of({}, "red", "whole") is None


def test_a_region_alone_has_the_colours_that_it_has_among_all():
    image = np.random.default_rng(0).integers(0, 256, (200, 150, 3), np.uint8)
    mask = np.zeros((200, 150), np.bool_)
    mask[20:190, 30:140:2] = True  # more pixels than are looked at
    for given in (None, mask):
        together = object_colours(image, (3.5, 7.0, 149.0, 198.2), given)
        for region in REGIONS:
            assert object_colours(image, (3.5, 7.0, 149.0, 198.2), given, (region,)) == {region: together[region]}
