import pytest
import torch

from refseg.encoders import build_image_encoder
from refseg.encoders.configs import SmallClipsConfig, SmallConfig
from refseg.encoders.small_clips import shifted
from refseg.networks import build

SIZES = {"finder": (8, 8, 8, 16), "top": 8}


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = build_image_encoder(SmallClipsConfig(**SIZES)).eval()
    for name, parameter in encoder.named_parameters():
        if name.endswith("second.1.weight"):  # residual blocks begin as the identity
            torch.nn.init.ones_(parameter)
    return encoder


def test_a_quarter_of_the_channels_comes_from_either_side():
    x = torch.arange(1.0, 4)[None, :, None, None, None].expand(1, 3, 16, 2, 2)
    assert shifted(x)[0, :, :, 0, 0].tolist() == [
        [*[0] * 4, *[2] * 4, *[1] * 8],
        [*[1] * 4, *[3] * 4, *[2] * 8],
        [*[2] * 4, *[0] * 4, *[3] * 8],
    ]


@torch.no_grad()
def test_frames_see_those_before_and_after_and_their_order(encoder):
    clip = torch.randn(1, 3, 3, 64, 64)
    maps = encoder.encode_clips(clip)
    assert [tuple(x.shape) for x in maps] == [(1, 3, 8, 16, 16), (1, 3, 8, 8, 8), (1, 3, 16, 4, 4), (1, 3, 8, 2, 2)]
    for other in (clip[:, [0, 1, 0]], clip[:, [2, 1, 0]]):
        assert not torch.allclose(encoder.encode_clips(other)[-1][:, 1], maps[-1][:, 1])


@torch.no_grad()
def test_it_takes_the_weights_of_the_encoder_for_scenes_and_sees_single_images_as_that_does(encoder):
    still = build_image_encoder(SmallConfig(**SIZES)).eval()
    still.load_state_dict(encoder.state_dict())
    image = torch.randn(2, 3, 64, 64)
    for ours, theirs in zip(encoder(image), still(image), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_network_with_it_does_not_encode_frames_by_themselves():
    for kind, alone in (("small", True), ("small_clips", False)):
        network = build("cmpc_video_small", {"image_encoder": kind}, vocabulary_size=10)
        assert network.encodes_frames == alone
