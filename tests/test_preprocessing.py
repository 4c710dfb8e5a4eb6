import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from refseg.preprocessing import Preprocessing, photographs, restore

preprocessing = Preprocessing()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_image_of_the_trained_size_is_only_normalised():
    image = noise(128, 128)
    tensor, geometry = preprocessing(image)
    torch.testing.assert_close(tensor, (torch.from_numpy(image).permute(2, 0, 1).float() - 118) / 60)
    assert geometry.padded_hw == (128, 128)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_sizes_keep_shape_and_scale_within_the_limits(height, width):
    geometry = preprocessing.geometry((height, width))
    (h, w), (padded_h, padded_w) = geometry.resized_hw, geometry.padded_hw
    assert 1 <= h <= padded_h < h + 16 and 1 <= w <= padded_w < w + 16
    assert padded_h % 16 == padded_w % 16 == 0 and max(h, w) <= 512
    scale = min(128 / (height * width) ** 0.5, 512 / max(height, width))
    assert abs(h - max(1, height * scale)) <= 0.5 and abs(w - max(1, width * scale)) <= 0.5


def test_the_padding_is_the_mean_and_lies_right_and_below():
    tensor, geometry = preprocessing(np.zeros((200, 100, 3), np.uint8))
    assert geometry.resized_hw == (181, 91) and tensor.shape == (3, 192, 96)
    assert (tensor[:, 181:] == 0).all() and (tensor[:, :, 91:] == 0).all() and (tensor[:, :181, :91] < -1).all()


@pytest.mark.slow
def test_resizing_is_that_of_torchvision():
    from torchvision.transforms.v2.functional import resize

    image = noise(300, 200)
    tensor, geometry = preprocessing(image)
    theirs = resize(torch.from_numpy(image).permute(2, 0, 1), list(geometry.resized_hw), antialias=True)
    height, width = geometry.resized_hw
    torch.testing.assert_close(tensor[:, :height, :width] * 60 + 118, theirs.float(), atol=1.01, rtol=0)


@given(st.integers(100, 700), st.integers(100, 700), st.sampled_from([1, 2, 4]))
def test_a_shape_comes_back_where_it_was(height, width, stride):
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 4 : height * 3 // 4, width // 2 :] = 255
    tensor, geometry = preprocessing(image)
    logits = F.avg_pool2d(tensor[:1], stride)[None] if stride > 1 else tensor[None, :1]
    mask = restore(logits, geometry)[0] > 0
    true = torch.from_numpy(image[..., 0] > 0)
    assert mask.shape == true.shape
    assert (mask & true).sum() / (mask | true).sum() > 0.9


def test_batches_are_normalised_whether_channels_come_first_or_last():
    images = torch.from_numpy(noise(8, 8))[None]
    torch.testing.assert_close(preprocessing.normalise(images), preprocessing.normalise(images.permute(0, 3, 1, 2)))


def test_a_square_does_not_keep_the_shape_and_comes_back_to_it():
    preprocessing = photographs(480)
    image = noise(300, 500)
    tensor, geometry = preprocessing(image)
    assert tensor.shape == (3, 480, 480) and geometry.resized_hw == geometry.padded_hw == (480, 480)
    assert restore(torch.zeros(1, 1, 480, 480), geometry).shape == (1, 300, 500)


def test_photographs_are_normalised_channel_by_channel():
    image = np.full((480, 480, 3), (124, 116, 104), np.uint8)
    tensor, _ = photographs(480)(image)
    expected = (torch.tensor([124, 116, 104]) / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(tensor[:, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_one_mean_stands_for_the_three_channels():
    assert Preprocessing(mean=118, std=60.0) == Preprocessing(mean=(118, 118, 118))
    with pytest.raises(ValueError, match="must be above 0"):
        Preprocessing(std=0)
