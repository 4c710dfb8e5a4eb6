import pytest
import torch
from torch import nn

from refseg.encoders import build_image_encoder
from refseg.encoders.configs import IMAGE_ENCODERS, DarkNetConfig

TINY = DarkNetConfig(width=2, blocks=(1, 1, 2, 1, 1), pairs=1)


@pytest.mark.parametrize("height, width", [(64, 96), (160, 64)])
def test_it_gives_what_an_encoder_promises(height, width):
    encoder = build_image_encoder(TINY).eval()
    image = torch.randn(2, 3, height, width)
    with torch.no_grad():
        assert encoder.stem(image).shape == (2, encoder.stem_channels, height // 2, width // 2)
        maps = encoder(image)
    shapes = [(2, c, height // s, width // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)]
    assert [tuple(x.shape) for x in maps] == shapes


def test_halving_pads_above_and_on_the_left():
    encoder = build_image_encoder(TINY).eval()
    down = encoder.stages[0][1][0]
    x = torch.randn(1, 4, 6, 8)
    with torch.no_grad():
        expected = nn.functional.conv2d(x, down.weight, stride=2, padding=1)
        torch.testing.assert_close(down(encoder.stages[0][0](x)), expected)
        shifted = nn.functional.conv2d(x, down.weight, stride=2)
        assert not torch.allclose(expected[:, :, :-1, :-1], shifted)


def test_it_has_the_size_that_is_published():
    with torch.device("meta"):
        encoder = build_image_encoder(IMAGE_ENCODERS["darknet53"])
    convolutions = [layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in encoder.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(convolutions) == len(norms) == 58
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    assert encoder.channels == (128, 256, 512, 1024)
    assert sum(p.numel() for p in encoder.parameters()) == 56_322_784
