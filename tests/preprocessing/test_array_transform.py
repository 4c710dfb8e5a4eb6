"""What is computed without torch equals what torch computes, to the last bit."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from refseg.preprocessing import array_transform
from refseg.preprocessing.array_transform import network_input, resize_antialiased, to_image_size
from refseg.preprocessing.restore import mask_at_image_size
from refseg.preprocessing.transform import Preprocessing, photographs

RNG = np.random.default_rng(0)
PREPROCESSINGS = [
    Preprocessing(),
    Preprocessing(padding="grey"),
    Preprocessing(padding="black", mean=(120.0, 110.0, 100.0), std=(58.3, 57.1, 57.4)),
    photographs(96),
    Preprocessing(resize="none", multiple_of=1),
]


@pytest.mark.parametrize(
    "sizes", [((480, 640), (111, 148)), ((37, 9), (64, 200)), ((5, 700), (3, 3)), ((50, 60), (50, 31))]
)
def test_resized_bytes_equal_those_of_torch(sizes):
    own, resized = sizes
    image = RNG.integers(0, 256, (*own, 3), np.uint8)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = F.interpolate(tensor, resized, mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(resize_antialiased(image, resized), expected)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS, ids=lambda one: f"{one.resize}, {one.padding}")
@pytest.mark.parametrize("size", [(128, 128), (301, 97), (40, 333)])
def test_inputs_and_masks_equal_those_of_torch(preprocessing, size):
    image = RNG.integers(0, 256, (*size, 3), np.uint8)
    tensor, geometry = preprocessing(image)
    pixels, same = network_input(preprocessing, image)
    assert geometry == same and np.array_equal(tensor.numpy(), pixels)
    for stride in (1, 4):
        grid = RNG.normal(size=tuple(-(-side // stride) for side in geometry.padded_hw)).astype(np.float32)
        mask = np.zeros(size, bool)
        for rows, values in to_image_size(grid, geometry):
            mask[rows] = values > 0
        assert np.array_equal(mask, array_transform.mask_at_image_size(grid, geometry))
        assert np.array_equal(mask, mask_at_image_size(torch.from_numpy(grid)[None, None], geometry)[0].numpy())
