import pytest
import timm
import torch
import torch.nn.functional as F

from refseg.encoders import build_image_encoder
from refseg.encoders.clip_image import AttentionPool
from refseg.encoders.configs import ClipImageConfig

TINY = ClipImageConfig(depths=(1, 1, 2, 1), width=8, joint=12)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("height, width", [(64, 96), (160, 64)])
def test_the_encoder_gives_what_it_promises(height, width):
    encoder = build_image_encoder(TINY).eval()
    image = torch.randn(2, 3, height, width)
    assert encoder.stem(image).shape[1] == encoder.stem_channels == 8
    shapes = [(2, c, height // s, width // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)]
    assert [tuple(x.shape) for x in encoder(image)] == shapes


def test_the_encoder_is_the_one_of_timm():
    ours, theirs = build_image_encoder(ClipImageConfig()).eval(), timm.create_model("resnet50_clip").eval()
    ours.net.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("head.")})
    image = torch.randn(1, 3, 64, 32)
    torch.testing.assert_close(ours(image)[-1], theirs.forward_features(image), rtol=0, atol=0)


def pool(mean_token):
    torch.manual_seed(0)
    return AttentionPool(16, 12, 4, mean_token).eval()


def test_the_vector_is_that_of_the_mean_of_the_pixels():
    """With the mean among the tokens, on CLIP's own grid, it is torch's attention."""
    torch.manual_seed(0)
    ours, x = pool(True), torch.randn(2, 16, 7, 7)
    pixels = x.flatten(2).mT
    tokens = torch.cat([pixels.mean(1, keepdim=True), pixels], dim=1) + ours.positions
    wanted, _ = F.multi_head_attention_forward(
        *(3 * [tokens.transpose(0, 1)]),
        embed_dim_to_check=16,
        num_heads=4,
        in_proj_weight=None,
        in_proj_bias=torch.cat([layer.bias for layer in (ours.query, ours.key, ours.value)]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=ours.project.weight,
        out_proj_bias=ours.project.bias,
        training=False,
        use_separate_proj_weight=True,
        q_proj_weight=ours.query.weight,
        k_proj_weight=ours.key.weight,
        v_proj_weight=ours.value.weight,
    )
    attended, vector = ours(x)
    torch.testing.assert_close(vector, wanted[0], rtol=1e-4, atol=1e-5)
    pixels = wanted[1:].permute(1, 2, 0).unflatten(-1, (7, 7))
    torch.testing.assert_close(attended, F.relu(pixels + ours.shortcut(x)), rtol=1e-4, atol=1e-5)


def test_without_the_mean_among_the_tokens_the_vector_changes_no_pixel():
    ours, x = pool(False), torch.randn(2, 16, 3, 5)
    alone, none = ours(x, vector=False)
    attended, vector = ours(x)
    assert none is None and vector.shape == (2, 12) and attended.shape == (2, 12, 3, 5)
    torch.testing.assert_close(attended, alone)
    assert not torch.allclose(pool(True)(x)[0], alone)
