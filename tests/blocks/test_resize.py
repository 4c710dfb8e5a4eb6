import torch

from refseg.blocks.resize import resize_map, upsample


def test_a_map_of_that_size_is_returned_itself():
    x = torch.randn(1, 2, 4, 6)
    assert resize_map(x, (4, 6)) is x and resize_map(x, torch.Size([4, 6])) is x


def test_corners_are_not_aligned():
    x = torch.tensor([[[[0.0, 4.0]]]])
    assert resize_map(x, (1, 4)).flatten().tolist() == [0, 1, 3, 4]
    torch.testing.assert_close(upsample(x), resize_map(x, (2, 4)))
