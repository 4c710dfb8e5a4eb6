import json

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from refseg.inference.results import Result


def result(instance_map: np.ndarray, **changes: object) -> Result:
    mask = instance_map > 0
    image = np.full((*mask.shape, 3), 100, np.uint8)
    logits = torch.from_numpy(np.where(mask, 3.0, -3.0).astype(np.float32))
    return Result("the stars", image, mask, 0.9, logits, instance_map=instance_map, **changes)


@pytest.fixture
def two() -> Result:
    instance_map = np.zeros((20, 30), np.uint8)
    instance_map[2:8, 3:9] = 1
    instance_map[10:20, 9:30] = 2
    return result(instance_map)


@pytest.fixture
def none() -> Result:
    return result(np.zeros((20, 30), np.uint8))


def test_boxes_hold_the_instances_with_right_and_bottom_just_outside(two):
    assert two.boxes == [(3, 2, 9, 8), (9, 10, 30, 20)] and two.box == (3, 2, 30, 20)
    assert two.area == 36 + 210 and two.share == 246 / 600 and two.found


def test_instances_part_the_mask(two):
    assert (sum(instance.astype(int) for instance in two.instances) == two.mask).all()


def test_without_a_match_everything_is_empty(none):
    assert not none.found and none.box is None and none.boxes == none.instances == none.polygons() == []
    assert none.area == 0 and coco.area(none.rle()) == 0
    np.testing.assert_array_equal(np.asarray(none.overlay()), none.image)


def test_a_network_without_objects_has_the_box_of_the_mask_and_no_instances(two):
    alone = Result("it", two.image, two.mask, 0.9, two.logits)
    assert alone.instances == [] and alone.boxes == [alone.box]
    assert (np.asarray(alone.overlay()) != alone.image).any(-1).sum() == alone.area


def test_probability_is_above_a_half_in_the_mask(two):
    assert two.probability.dtype == np.float32
    np.testing.assert_array_equal(two.probability > 0.5, two.mask)


def test_the_overlay_colours_the_mask_alone_and_each_instance_differently(two):
    pixels = np.asarray(two.overlay())
    np.testing.assert_array_equal((pixels != two.image).any(-1), two.mask)
    assert (pixels[5, 6] != pixels[15, 15]).any()
    assert (pixels[2, 3] != pixels[5, 6]).any()  # the contour


def test_the_run_length_code_is_that_of_coco(two):
    np.testing.assert_array_equal(coco.decode(two.rle()).astype(bool), two.mask)


def test_the_dictionary_survives_json(two, none):
    for some in (two, none):
        assert json.loads(json.dumps(some.to_dict())) == some.to_dict()
    content = two.to_dict()
    assert [instance["area"] for instance in content["instances"]] == [36, 210]
    assert content["box"] == [3, 2, 30, 20] and content["size"] == [20, 30]


def test_the_representation_says_what_was_found(two, none):
    assert repr(two) == "Result('the stars': 2 found, 246 px (41.0%), exists 0.90)"
    assert "nothing matches" in repr(none)
