import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from refseg.batch import Batch, Objects
from refseg.networks.vlt import PRESETS, VLT, VLTConfig, positions, with_coordinates

VOCABULARY_SIZE = 20
SMALL = {"kind": "small", "finder": (8, 8, 8, 12), "top": 16}
BERT = {"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16}
TINY = VLTConfig(
    image_encoder=SMALL,
    freeze_image_encoder=False,
    word_encoder=BERT,
    max_words=8,
    image_size=64,
    channels=16,
    queries=3,
    width=16,
    heads=2,
    dropout=0.0,
)
GRU = TINY.replace(word_encoder={"kind": "gru", "vector": 6, "width": 16, "dropout": 0.0})
SWIN = TINY.replace(norm_stages=True, hide_padding=True, output_stride=4, reduction="mean")
FORMS = {
    "gru": GRU,
    "swin": SWIN,
    "spatial": SWIN.replace(fusion="spatial"),
    "free queries": TINY.replace(causal_queries=False),
}


def tiny(config=TINY):
    """A small network away from its first weights, whose masks are never emptied."""
    torch.manual_seed(0)
    network = VLT(config, VOCABULARY_SIZE)
    network.exists_threshold_logit = -torch.inf
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def asked(count=3, height=64, width=64, words=5):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(count, 3, height, width, generator=generator)
    tokens = torch.randint(2, VOCABULARY_SIZE, (count, words), generator=generator)
    return image, tokens, torch.ones(count, words, dtype=torch.bool)


def batch(targets=(True, False, True)):
    """An image with a square, and an expression for each target: it means the square, or nothing."""
    image, *_ = asked(1)
    _, tokens, word_mask = asked(len(targets))
    id_map = torch.zeros(1, 64, 64, dtype=torch.long)
    id_map[:, 10:30, 10:30] = 1
    centres, radii = torch.tensor([[[20.0, 20.0]]]), torch.tensor([[10.0]])
    objects = Objects(id_map, centres, radii, torch.zeros(1, 1, 2).long(), torch.ones(1, 1).bool())
    return Batch(
        image=image,
        tokens=tokens,
        word_mask=word_mask,
        image_of_expression=torch.zeros(len(targets), dtype=torch.long),
        targets=torch.tensor(targets)[:, None],
        objects=objects,
    )


def outputs_of(modules):
    """What the named modules give in the next forward pass."""
    seen = {}
    for name, module in modules.items():
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
    return seen


class TestForms:
    @pytest.mark.parametrize("form", FORMS)
    def test_every_form_answers_and_learns(self, form):
        config = FORMS[form]
        network = tiny(config)
        with torch.no_grad():
            logits = network(*asked()).logits
        assert logits.shape == (3, 1, 64 // config.output_stride, 64 // config.output_stride)
        network.train().loss(batch())["loss"].backward()
        fixed = {"word_encoder.vectors.weight"}
        silent = {key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()}
        assert silent <= fixed

    def test_padding_words_are_read_unless_they_are_hidden(self):
        for config, changes in ((TINY, True), (SWIN, False), (FORMS["spatial"], False)):
            network, (image, _, word_mask) = tiny(config), asked(1)
            words = torch.randn(1, 8, 16)
            other = words.clone()
            other[:, 5:] = torch.randn(3, 16)
            with torch.no_grad():
                features = network.encode_image(image)
                a, b = (network.fuse(features, w, word_mask, torch.tensor([0])).logits for w in (words, other))
            assert torch.allclose(a, b) != changes

    def test_a_pixels_own_sentence_is_not_that_of_the_others(self):
        network = tiny(FORMS["spatial"])
        seen = outputs_of({"sentence": network.fusion.sentence})
        with torch.no_grad():
            network(*asked(1))
        assert seen["sentence"].std((-2, -1)).max() > 1e-3

    @pytest.mark.parametrize("setting", [{"heads": 5}, {"image_size": 70}, {"threshold": 1}, {"output_stride": 16}])
    def test_settings_that_cannot_be_are_refused(self, setting):
        with pytest.raises(ValueError, match=next(iter(setting))):
            TINY.replace(**setting)


class TestFrozenEncoder:
    def test_it_neither_learns_nor_follows_the_images(self):
        network = tiny(TINY.replace(freeze_image_encoder=True)).train()
        before = {key: value.clone() for key, value in network.image_encoder.state_dict().items()}
        network.loss(batch())["loss"].backward()
        assert all(p.grad is None for p in network.image_encoder.parameters())
        after = network.image_encoder.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert network.fusion.training and not network.image_encoder.training

    def test_frozen_batch_norms_are_all_frozen(self):
        network = tiny()
        network.freeze_batch_norm()
        before = {key: value.clone() for key, value in network.named_buffers()}
        network.train().loss(batch())
        assert all(torch.equal(before[key], value) for key, value in network.named_buffers())


class TestGrid:
    @pytest.mark.parametrize("size_hw", [(64, 96), (160, 32), (128, 128)])
    def test_any_multiple_of_32_works(self, size_hw):
        with torch.no_grad():
            logits = tiny()(*asked(1, *size_hw)).logits
        assert logits.shape[-2:] == (size_hw[0] // 2, size_hw[1] // 2)
        assert logits.isfinite().all()

    def test_coordinates_run_from_edge_to_edge(self):
        x = with_coordinates(torch.zeros(2, 1, 3, 5))
        assert x.shape == (2, 7, 3, 5)
        torch.testing.assert_close(x[1, 1:4, 0], torch.linspace(-1, 1, 5).expand(3, -1))
        torch.testing.assert_close(x[1, 4:, :, 0], torch.tensor([-1.0, 0, 1]).expand(3, -1))

    def test_places_are_sines_and_cosines_in_turn(self):
        code = positions(7, 4, torch.device("cpu"))
        wanted = [math.sin(6), math.cos(6), math.sin(6 / 100), math.cos(6 / 100)]
        torch.testing.assert_close(code[6], torch.tensor(wanted))


class TestQueries:
    @pytest.mark.parametrize("causal", [True, False])
    def test_a_query_sees_those_before_it(self, causal):
        network = tiny(TINY.replace(causal_queries=causal))
        pixels, queries = torch.randn(1, 16, 4, 4), torch.randn(1, 3, 16)
        changed = queries.clone()
        changed[:, 2] += 1
        with torch.no_grad():
            a, b = network.transformer(pixels, queries), network.transformer(pixels, changed)
        assert torch.allclose(a[:, :2], b[:, :2]) == causal
        assert not torch.allclose(a[:, 2], b[:, 2])

    def test_a_query_without_confidence_does_not_count(self):
        balance = tiny().balance
        balance.confidence[2].bias.data.fill_(-1e4)
        with torch.no_grad():
            maps = balance(torch.randn(1, 3, 16), torch.randn(1, 3, 16), (4, 4))
            nothing = balance.response(torch.zeros(16)).view(4, 4)
        torch.testing.assert_close(maps, nothing.expand(1, 3, 4, 4))

    def test_maps_before_the_mask_are_at_every_scale(self):
        maps = tiny().decoder.maps(torch.randn(1, 3, 4, 4))
        assert [tuple(x.shape) for x in maps] == [(1, 16, 4 * 2**i, 4 * 2**i) for i in range(4)]


class TestAnswer:
    def test_the_threshold_is_a_probability(self):
        network, inputs = tiny(), asked()
        seen = outputs_of({"decoder": network.decoder})
        with torch.no_grad():
            logits = network(*inputs).logits
        assert torch.equal(logits > 0, seen["decoder"].sigmoid() > 0.35)

    @pytest.mark.parametrize(("reduction", "pixels"), [("sum", 32 * 32), ("mean", 1)])
    def test_the_loss_is_that_of_the_logits_without_threshold(self, reduction, pixels):
        network, data = tiny(TINY.replace(reduction=reduction)), batch()
        seen = outputs_of({"decoder": network.decoder})
        loss = network.loss(data)["loss"]
        target = data.masks()[:, None, ::2, ::2].float()
        wanted = F.binary_cross_entropy_with_logits(seen["decoder"], target) * pixels
        torch.testing.assert_close(loss, wanted)


def test_what_is_shown_of_words_and_of_queries():
    network, shown = tiny(SWIN), {}
    for view in network.views():
        view.module.register_forward_hook(
            lambda _, __, output, view=view: shown.__setitem__(view.name, (view, view.read(output)))
        )
    with torch.no_grad():
        network(*asked(1))
    assert list(shown) == [view.name for view in network.views()] and len(shown) == 2 * 3 + 1
    for view, value in shown.values():
        match view.kind:
            case "words":
                assert value.shape == (1, 8)
                torch.testing.assert_close(value.sum(1), torch.ones(1))
                assert not value[:, 5:].any()
            case "map":
                assert value.shape == (1, 4, 4)
            case "weights":
                assert value.shape == (len(view.labels),) and (value > 0).all() and (value < 1).all()


class TestFirstWeights:
    def test_dense_layers_start_as_keras_has_them(self):
        torch.manual_seed(0)
        network = VLT(TINY.replace(width=64, channels=64), VOCABULARY_SIZE)
        own = [part for name, part in network.named_children() if not name.endswith("_encoder")]
        layers = [m for part in own for m in part.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        assert all(layer.bias is None or not layer.bias.any() for layer in layers)
        glorot = (6 / (64 + 64)) ** 0.5
        assert network.balance.query[0].weight.abs().max() <= glorot
        assert network.balance.query[0].weight.std().item() == pytest.approx(glorot / 3**0.5, rel=0.1)
        normal = network.transformer.encoder[0].among.query.weight
        assert normal.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.1) and normal.max() > 1.5 * glorot


def count(module):
    return sum(p.numel() for p in module.parameters())


class TestSize:
    @pytest.mark.parametrize(("queries", "published"), [(16, 89_312_230), (32, 89_357_398)])
    def test_parameters_are_those_of_the_release(self, queries, published):
        with torch.device("meta"):
            network = VLT(PRESETS["vlt_darknet53"].replace(queries=queries), VOCABULARY_SIZE)
        assert count(network) - count(network.word_encoder.vectors) == published
        assert count(network.transformer) == 2_110_464
        statistics = [value.numel() for key, value in network.named_buffers() if "running" in key]
        assert sum(statistics) == 65_444

    def test_parameters_of_our_form_with_swin(self):
        with torch.device("meta"):
            network = VLT(PRESETS["vlt_swin"].replace(word_encoder={**BERT, "width": 768}), VOCABULARY_SIZE)
        sizes = {name: count(part) for name, part in network.named_children() if name != "word_encoder"}
        assert sizes == {
            "image_encoder": 86_876_536,
            "fusion": 10_439_936,
            "query_generation": 8_144_224,
            "transformer": 2_110_464,
            "balance": 494_469,
            "decoder": 2_401_025,
        }

    def test_the_small_one_is_small(self):
        with torch.device("meta"):
            network = VLT(PRESETS["vlt_small"], VOCABULARY_SIZE)
        assert count(network) - count(network.image_encoder) - count(network.word_encoder) < 1_500_000
