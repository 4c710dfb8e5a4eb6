import pytest
import torch

from refseg.blocks.same_padding import pad_same


@pytest.mark.parametrize(
    ("size", "kernel", "sides"), [(320, 7, (2, 3)), (160, 3, (0, 1)), (321, 7, (3, 3)), (35, 3, (1, 1))]
)
def test_where_a_kernel_does_not_fit_evenly_the_end_has_more_padding(size, kernel, sides):
    padded = pad_same(torch.ones(1, 1, size, 1), (kernel, kernel), (2, 2))[0, 0, :, kernel // 2]
    before, after = sides
    assert len(padded) == size + before + after
    assert not padded[:before].any() and not padded[len(padded) - after :].any()


@pytest.mark.parametrize(("frames", "height", "width"), [(8, 64, 96), (5, 33, 70), (1, 3, 2)])
def test_a_strided_layer_divides_every_axis_by_its_stride_and_rounds_up(frames, height, width):
    kernel, stride = (3, 7, 2), (1, 2, 2)
    padded = pad_same(torch.ones(1, 2, frames, height, width), kernel, stride)
    pooled = torch.nn.functional.max_pool3d(padded, kernel, stride)
    assert pooled.shape == (1, 2, frames, -(-height // 2), -(-width // 2))
