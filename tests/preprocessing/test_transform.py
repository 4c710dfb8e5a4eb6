import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from refseg.preprocessing.restore import crop_padding, mask_at_image_size, to_image_size
from refseg.preprocessing.transform import CLIP_MEAN, CLIP_STD, Preprocessing, clip_photographs, photographs

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
    mask = to_image_size(logits, geometry)[0] > 0
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
    assert to_image_size(torch.zeros(1, 1, 480, 480), geometry).shape == (1, 300, 500)


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


def test_a_letterbox_is_one_warp_with_a_cubic_between_pixels():
    """Pixel x is at scale * x + (side - scale * width) / 2; beyond the image lies the mean."""
    image = noise(30, 50)
    tensor, geometry = clip_photographs(64)(image)
    assert geometry.scale == pytest.approx(1.28) and geometry.resized_hw == (38, 64)
    mean, std = (np.array(value) for value in (CLIP_MEAN, CLIP_STD))
    pixels = np.pad(image - mean, ((4, 4), (4, 4), (0, 0)))
    for row, column in ((13, 0), (14, 63), (30, 31), (49, 40)):
        y, x = (row - (64 - 1.28 * 30) / 2) / 1.28, (column - (64 - 1.28 * 50) / 2) / 1.28
        top, left = int(np.floor(y)), int(np.floor(x))
        rows, columns = (
            [cubic(place - i) for i in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3)] for place in (y, x)
        )
        patch = pixels[top + 3 : top + 7, left + 3 : left + 7]
        wanted = (np.einsum("i,j,ijc->c", rows, columns, patch) + mean).clip(0, 255)
        np.testing.assert_allclose(tensor[:, row, column] * torch.tensor(std) + torch.tensor(mean), wanted, atol=0.01)


def cubic(distance):
    """OpenCV's."""
    d, a = abs(distance), -0.75
    return (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0


def test_a_letterbox_has_the_mean_around_the_image():
    tensor, geometry = clip_photographs(96)(np.zeros((100, 200, 3), np.uint8))
    assert geometry.resized_hw == (48, 96) and geometry.padded_hw == (96, 96) and tensor.shape == (3, 96, 96)
    assert (tensor[:, :23] == 0).all() and (tensor[:, 73:] == 0).all() and (tensor[:, 26:70] < -1).all()
    black = (0 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)
    torch.testing.assert_close(tensor[:, 48, 48], black)


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_letterbox_comes_back_where_it_was(height, width):
    ramp = torch.arange(height)[:, None] + torch.arange(width) * 2
    geometry = clip_photographs(128).geometry((height, width))
    rows, columns = ((torch.arange(128) - (128 - geometry.scale * own) / 2) / geometry.scale for own in (height, width))
    logits = (rows[:, None] + columns * 2)[None, None]
    inner = tuple(slice(own // 4, own * 3 // 4) for own in (height, width))
    near = 0.15 / geometry.scale + 1e-2  # the cubic is no straight line
    torch.testing.assert_close(to_image_size(logits, geometry)[0][inner], ramp[inner].float(), atol=near, rtol=0)
    assert crop_padding(logits, geometry).shape[-2:] == geometry.resized_hw


@pytest.mark.parametrize(
    ("resize", "own_hw", "resized_hw", "offset_hw"),
    [
        ("letterbox_rounded", (427, 640), (214, 320), (53, 0)),  # 213.5 goes to the even side
        ("letterbox_rounded", (425, 640), (212, 320), (54, 0)),
        ("letterbox_rounded", (640, 333), (320, 166), (0, 77)),
        ("letterbox_truncated", (427, 640), (213, 320), (53, 0)),
        ("letterbox_truncated", (20, 2000), (3, 320), (158, 0)),
        ("letterbox_truncated", (1, 2000), (1, 320), (159, 0)),
    ],
)
def test_sides_and_offsets_of_a_letterbox_are_whole(resize, own_hw, resized_hw, offset_hw):
    geometry = Preprocessing(resize=resize, side=320).geometry(own_hw)
    assert (geometry.resized_hw, geometry.offset_hw) == (resized_hw, offset_hw)


@pytest.mark.parametrize(
    ("resize", "mode", "padding", "ground"),
    [("letterbox_rounded", "bilinear", "black", 0), ("letterbox_truncated", "bicubic", "grey", 127.5)],
)
def test_an_image_in_a_letterbox_is_resized_without_smoothing_to_whole_colours(resize, mode, padding, ground):
    image, prepare = noise(60, 80), Preprocessing(resize=resize, side=48, padding=padding, mean=0, std=1)
    tensor, geometry = prepare(image)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = F.interpolate(pixels, (36, 48), mode=mode, align_corners=False)[0].round().clamp(0, 255)
    difference = (tensor[:, 6:42] - expected).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 1e-2 and geometry.offset_hw == (6, 0)
    assert (tensor[:, :6] == ground).all() and (tensor[:, 42:] == ground).all()


@given(
    st.integers(8, 400),
    st.integers(8, 400),
    st.sampled_from(["keep", "square", "letterbox", "letterbox_rounded", "letterbox_truncated"]),
    st.sampled_from([1, 2, 4]),
)
def test_a_ramp_over_the_networks_grid_is_read_where_the_image_lies(height, width, resize, stride):
    """By the one affine map of each geometry; a network's cell is where its pixels are on average."""
    geometry = Preprocessing(resize=resize, side=64).geometry((height, width))
    rows, columns = (torch.arange(0.0, side, stride) + (stride - 1) / 2 for side in geometry.padded_hw)
    read = to_image_size((rows[:, None] * 100 + columns)[None, None], geometry)[0]
    (slope, start), (slope_x, start_x) = geometry.placed()
    expected = (slope * torch.arange(height) + start)[:, None] * 100 + slope_x * torch.arange(width) + start_x
    inner = tuple(slice(own // 2 - own // 8, own // 2 + own // 8) for own in (height, width))
    near = 0.51 * stride * 101  # a thin image may lie between the middles of two cells
    torch.testing.assert_close(
        read[inner], expected[inner], atol=near if min(geometry.resized_hw) < 16 else 0.05, rtol=0
    )


@pytest.mark.parametrize("how", [preprocessing, photographs(64), clip_photographs(64)])
def test_the_colours_of_a_normalised_image_are_those_it_had(how):
    image = noise(64, 64)
    normalised = how.normalise(torch.from_numpy(image).permute(2, 0, 1)[None])[0]
    np.testing.assert_array_equal(how.denormalise(normalised), image)


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["keep", "square", "letterbox", "letterbox_rounded"]))
def test_the_foreground_is_where_the_restored_logits_are_above_zero(height, width, resize):
    geometry = Preprocessing(resize=resize, side=48).geometry((height, width))
    logits = torch.full((2, 1, 12, 12), -1.0)
    logits[:, :, 3:7, 5:8] = torch.randn(2, 1, 4, 3, generator=torch.manual_seed(height))
    assert torch.equal(mask_at_image_size(logits, geometry), to_image_size(logits, geometry) > 0)
    assert not mask_at_image_size(torch.full((1, 1, 12, 12), -1.0), geometry).any()


def test_an_image_that_is_warped_to_the_very_edge_reads_no_pixel_beyond_it():
    geometry = clip_photographs(416).geometry((679, 166))
    assert -1e-9 < geometry.placed()[0][1] < 0  # by rounding
    ramp = torch.arange(104.0).view(1, 1, 104, 1).expand(1, 1, 104, 104)
    restored = to_image_size(ramp, geometry)[0, :, 0]
    assert restored[0] == 0 and restored[-1] > 102
    assert mask_at_image_size(ramp - 50, geometry)[0, :, 0].equal(restored > 50)


def test_some_rows_and_columns_are_restored_as_in_the_whole():
    geometry = Preprocessing(resize="letterbox_rounded", side=96, multiple_of=32).geometry((300, 500))
    logits = torch.randn(2, 1, 24, 24)
    whole = to_image_size(logits, geometry)
    for rows, columns in ((slice(17, 130), slice(0, 500)), (slice(299, 300), slice(40, 41))):
        assert torch.equal(to_image_size(logits, geometry, rows, columns), whole[:, rows, columns])


def test_rows_that_nobody_reads_are_not_normalised(monkeypatch):
    seen, normalise = [], Preprocessing.normalise
    monkeypatch.setattr(
        Preprocessing, "normalise", lambda self, images: seen.append(images.shape[-2]) or normalise(self, images)
    )
    Preprocessing(resize="letterbox", side=32, multiple_of=32)(np.zeros((2000, 1000, 3), np.uint8))
    assert max(seen) <= 4 * 32
