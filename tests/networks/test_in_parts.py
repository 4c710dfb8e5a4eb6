import pytest
import torch

from refseg.checkpoints.io import load_checkpoint
from refseg.inference.chunks import expressions_at_once, fuse_in_parts


def test_large_images_are_asked_about_one_at_a_time():
    assert expressions_at_once((4000, 4000)) == 1
    assert expressions_at_once((128, 128)) == 64


@pytest.mark.parametrize("count", [1, 3, 100])
def test_parts_are_joined_in_order(count, monkeypatch):
    network = load_checkpoint("selector").network
    generator = torch.Generator().manual_seed(0)
    images, tokens = torch.randn(2, 3, 64, 64, generator=generator), torch.randint(2, 50, (7, 5), generator=generator)
    word_mask, image_of_expression = torch.ones_like(tokens, dtype=torch.bool), torch.tensor([0, 0, 1, 1, 0, 1, 1])
    monkeypatch.setattr("refseg.inference.chunks.PIXELS_AT_ONCE", count * 64 * 64)
    with torch.inference_mode():
        features, words = network.encode_image(images), network.encode_words(tokens, word_mask)
        whole = network.fuse(features, words, word_mask, image_of_expression)
        parts = fuse_in_parts(network, features, words, word_mask, image_of_expression, (64, 64))
    for name, value in vars(whole).items():
        torch.testing.assert_close(getattr(parts, name), value, rtol=1e-4, atol=1e-4, msg=name)
