import pytest
import torch
import torch.nn.functional as F

from refseg.encoders import build_image_encoder, encoder_name
from refseg.encoders.configs import IMAGE_ENCODERS, ResNetConfig, SmallConfig, SwinConfig
from refseg.errors import InvalidInput
from refseg.networks import build

TINY = {
    "swin": SwinConfig(width=8, depths=(2, 2, 2, 2), heads=(1, 2, 2, 4), window=3, drop_path=0.0),
    "resnet": ResNetConfig(depths=(1, 1, 1, 1)),
    "resnet, stride 16": ResNetConfig(depths=(1, 1, 1, 1), output_stride=16),
    "resnet, stride 8": ResNetConfig(depths=(1, 1, 1, 1), output_stride=8),
    "small": SmallConfig(finder=(4, 8, 8, 12), top=8),
    "small, fine": SmallConfig(finder=(4, 8, 8, 12), finest=2),
    "small, stride 16": SmallConfig(finder=(4, 8, 8, 12), top=8, coarsest=16),
}


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("height, width", [(64, 96), (160, 64)])
def test_an_encoder_gives_what_it_promises(kind, height, width):
    encoder = build_image_encoder(TINY[kind]).eval()
    image = torch.randn(2, 3, height, width)
    with torch.no_grad():
        assert encoder.stem(image).shape[1] == encoder.stem_channels
        maps = encoder(image)
    shapes = [(2, c, height // s, width // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)]
    assert [tuple(x.shape) for x in maps] == shapes


@pytest.mark.parametrize("network", ["cris_small", "eavl_small", "vlt_small", "lavt_small_aligner"])
def test_networks_that_join_maps_of_two_strides_refuse_dilated_ones(network):
    told = rf"config of {network}: the maps of this image_encoder are at 1/4, 1/8, 1/8, 1/8 of .* or swin_base$"
    with pytest.raises(InvalidInput, match=told):
        build(network, {"image_encoder": TINY["resnet, stride 8"]}, vocabulary_size=9)


def test_a_shifted_block_pads_before_it_shifts():
    """With two windows side by side and one column of padding, what wraps round is the padding."""
    encoder = build_image_encoder(TINY["swin"]).eval()
    block = encoder.net.layers[0].blocks[1]
    x = torch.randn(1, 3, 5, 8)
    with torch.no_grad():
        padded = F.pad(x, (0, 0, 0, 1))
        whole = block._attn(padded)
        assert not torch.allclose(block._attn(x), whole.roll(1, 2)[:, :, :5])
        torch.testing.assert_close(block._attn(x), whole[:, :, :5])


def test_the_mask_of_a_shift_follows_the_size_and_may_be_trained_after_inference():
    encoder = build_image_encoder(TINY["swin"])
    with torch.inference_mode():
        encoder(torch.randn(1, 3, 64, 96))
    encoder(torch.randn(1, 3, 64, 96))[-1].sum().backward()
    fresh = build_image_encoder(TINY["swin"])
    fresh.load_state_dict(encoder.state_dict())
    image = torch.randn(1, 3, 96, 64)
    torch.testing.assert_close(encoder(image)[-1], fresh(image)[-1])


@pytest.mark.parametrize("stride, dilated", [(32, [False, False, False]), (16, [False, False, True])])
def test_a_resnet_of_any_stride_is_torchvisions_with_the_same_names(stride, dilated):
    from torchvision.models.resnet import Bottleneck, ResNet

    ours = build_image_encoder(ResNetConfig(depths=(1, 1, 2, 2), output_stride=stride)).eval()
    theirs = ResNet(Bottleneck, [1, 1, 2, 2], replace_stride_with_dilation=dilated).eval()
    for norm in (module for module in theirs.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight)
    left = ours.net.load_state_dict(theirs.state_dict(), strict=False)
    assert left.missing_keys == [] and left.unexpected_keys == ["fc.weight", "fc.bias"]
    theirs.avgpool = theirs.fc = torch.nn.Identity()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(image)[-1].flatten(1), theirs(image))


def test_names_stand_for_settings_and_unknown_ones_are_refused():
    assert encoder_name(IMAGE_ENCODERS["swin_base"]) == "swin_base"
    assert encoder_name(TINY["resnet"]) == "resnet (own settings)"
    with pytest.raises(Exception, match="unknown encoder 'swim'; choose one of: swin_tiny"):
        build("dmmi", {"image_encoder": "swim"}, 10)
