import pytest
import torch
import torch.nn.functional as F

from refseg.encoders import build_image_encoder, encoder_name
from refseg.encoders.configs import CLIP_ENCODERS, IMAGE_ENCODERS
from refseg.encoders.i3d import EPS, I3D, Mixed, Unit


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_image_encoder(CLIP_ENCODERS["i3d"]).eval()


def test_it_has_the_parameters_of_inception_inflated():
    with torch.device("meta"):
        network = I3D()
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv3d)]
    assert len(convolutions) == 57
    assert sum(layer.weight.numel() for layer in convolutions) == 12_272_704
    assert sum(p.numel() for p in network.parameters()) == 12_279_984  # and a shift of each of 7,280 channels
    assert all(m.eps == EPS and m.weight is None for m in network.modules() if isinstance(m, torch.nn.BatchNorm3d))


@pytest.mark.parametrize(("frames", "height", "width"), [(8, 64, 96), (16, 70, 33)])
@torch.no_grad()
def test_maps_have_the_strides_and_channels_that_are_promised(encoder, frames, height, width):
    maps = encoder.encode_clips(torch.randn(1, frames, 3, height, width))
    for x, channels, stride, steps in zip(maps, encoder.channels, encoder.strides, encoder.frame_strides, strict=True):
        assert x.shape == (1, frames // steps, channels, -(-height // stride), -(-width // stride))
    assert encoder.channels[1:] == (480, 832, 1024) and encoder.strides[1:] == (8, 16, 32)


@torch.no_grad()
def test_frames_are_seen_together_and_clips_are_not(encoder):
    clips = torch.randn(2, 8, 3, 32, 32)
    together = encoder.encode_clips(clips)[-1]
    torch.testing.assert_close(together[:1], encoder.encode_clips(clips[:1])[-1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(encoder.encode_clips(clips.flip(1))[-1], together)


@torch.no_grad()
def test_a_unit_pads_as_tensorflow_does_with_the_larger_share_at_the_end():
    unit = Unit(1, 1, kernel=7, stride=2).eval()
    unit.conv.weight.fill_(1.0)
    counts = unit(torch.ones(1, 1, 8, 8, 8))[0, 0] * (1 + EPS) ** 0.5
    in_reach = torch.tensor([5.0, 7.0, 6.0, 4.0])  # of 8 places, for a kernel of 7 at 0, 2, 4 and 6 with 2 before
    torch.testing.assert_close(counts, in_reach[:, None, None] * in_reach[:, None] * in_reach)


@torch.no_grad()
def test_a_mixed_block_is_four_branches_side_by_side():
    torch.manual_seed(0)
    block, x = Mixed(4, (2, 3, 4, 3, 5, 6)).eval(), torch.rand(1, 4, 3, 5, 6)
    parts = block(x).split((2, 4, 5, 6), dim=1)
    torch.testing.assert_close(parts[0], block.b0(x))
    torch.testing.assert_close(parts[2], block.b2b(block.b2a(x)))
    torch.testing.assert_close(parts[3], block.b3b(F.max_pool3d(F.pad(x, [1] * 6), 3, 1)))
    assert block.outputs == 17


@torch.no_grad()
def test_a_stage_takes_the_map_of_the_one_before(encoder):
    clip = torch.randn(1, 3, 8, 32, 32)
    x = encoder.stem(clip)
    assert x.shape == (1, encoder.stem_channels, 4, 16, 16)
    for stage, x_of_all in zip(encoder.stages, encoder(clip), strict=True):
        x = stage(x)
        torch.testing.assert_close(x, x_of_all)


def test_only_networks_that_take_clips_know_it():
    assert CLIP_ENCODERS.keys() - IMAGE_ENCODERS.keys() == {"i3d", "small_clips"}
    assert encoder_name(CLIP_ENCODERS["i3d"]) == "i3d"
