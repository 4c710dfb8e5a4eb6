import pytest
import torch

from refseg.blocks.fusion_neck import FusionNeck, with_coordinates
from refseg.blocks.pixel_decoder import PixelDecoder, UpProjection

LINEAR = {"kernel": 1, "widths": (32, 32, 32), "coordinate_convs": 1}
CRIS = {"kernel": 3, "widths": (16, 32, 64), "coordinate_convs": 2}
CHANNELS = (8, 12, 20)


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def levels(count=2):
    return [torch.randn(count, c, 32 // 2**i, 48 // 2**i) for i, c in enumerate(CHANNELS)]


@pytest.mark.parametrize("preset", [LINEAR, CRIS])
@pytest.mark.parametrize("sentence", [None, 10])
def test_three_levels_become_one_map(preset, sentence):
    neck = FusionNeck(CHANNELS, sentence, out=24, **preset).eval()
    projected = neck.project(levels())
    assert [tuple(x.shape[-2:]) for x in projected] == [(16, 24), (16, 24), (8, 12)]
    out = neck(projected, None if sentence is None else torch.randn(2, sentence))
    assert out.shape == (2, 24, 16, 24)


def test_the_coarsest_level_may_be_as_fine_as_the_one_before():
    neck = FusionNeck(CHANNELS, 10, out=24, **CRIS).eval()
    fine, middle, _ = levels()
    projected = neck.project([fine, middle, torch.randn(2, 20, 16, 24)])
    assert neck(projected, torch.randn(2, 10)).shape == (2, 24, 16, 24)


def test_an_image_is_projected_once_for_all_sentences():
    neck, sentences, maps = FusionNeck(CHANNELS, 10, out=24, **CRIS).eval(), torch.randn(3, 10), levels(1)
    many = neck([x.expand(3, -1, -1, -1) for x in neck.project(maps)], sentences)
    for sentence, one in zip(sentences, many, strict=True):
        torch.testing.assert_close(neck(neck.project(maps), sentence[None])[0], one)


@pytest.mark.parametrize(
    "channels, sentence, settings, count",
    [
        ((512, 1024, 1024), 1024, {}, 24.142e6),  # CRIS with ResNet-50
        ((512, 1024, 512), 512, {}, 23.094e6),  # with ResNet-101
    ],
)
def test_parameters_are_those_of_the_release(channels, sentence, settings, count):
    with torch.device("meta"):
        neck = FusionNeck(channels, sentence, **settings)
    assert abs(sum(p.numel() for p in neck.parameters()) - count) < 500


def test_places_go_from_edge_to_edge_columns_first():
    x = with_coordinates(torch.zeros(1, 1, 2, 3))
    assert x[0, 1].tolist() == [[-1, 0, 1], [-1, 0, 1]] and x[0, 2].tolist() == [[-1, -1, -1], [1, 1, 1]]


def test_the_order_of_queries_says_nothing_and_that_of_words_does():
    pixels, words = torch.randn(1, 16, 3, 4), torch.randn(1, 5, 16)
    for places in (False, True):
        decoder = PixelDecoder(16, 1, 2, 32, word_positions=places).eval()
        same = torch.allclose(decoder(pixels, words.flip(1)), decoder(pixels, words), atol=1e-5)
        assert same is not places


def test_nobody_looks_at_padding():
    decoder, pixels, words = PixelDecoder(16, 2, 2, 32).eval(), torch.randn(1, 16, 3, 4), torch.randn(1, 5, 16)
    word_mask = torch.tensor([[True, True, True, False, False]])
    torch.testing.assert_close(decoder(pixels, words, word_mask), decoder(pixels, words[:, :3]))


def test_a_map_becomes_four_times_as_large():
    assert UpProjection(16, 8).eval()(torch.randn(2, 16, 3, 5)).shape == (2, 8, 12, 20)
