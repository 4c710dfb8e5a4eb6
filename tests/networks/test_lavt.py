import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from refseg.batch import Batch, Objects
from refseg.conversion.lavt import LAVTLayout
from refseg.encoders.configs import BertConfig
from refseg.errors import InvalidInput
from refseg.networks.lavt import LAVT, PRESETS, PWAM, LAVTConfig, dice_loss

VOCABULARY_SIZE = 20
TINY = LAVTConfig(
    image_encoder={"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
    word_encoder={"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16},
    max_words=8,
    hidden=16,
)


def tiny(config=TINY):
    """A small network away from its first weights, whose masks are never emptied."""
    torch.manual_seed(0)
    network = LAVT(config, VOCABULARY_SIZE)
    network.exists_threshold_logit = -torch.inf
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def asked(count=3, height=64, width=96, words=5):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(count, 3, height, width, generator=generator)
    tokens = torch.randint(2, VOCABULARY_SIZE, (count, words), generator=generator)
    return image, tokens, torch.ones(count, words, dtype=torch.bool)


def batch(targets=(True, False, True)):
    """An image with a square, and an expression for each target: it means the square, or nothing."""
    image, *_ = asked(1, 64, 64)
    _, tokens, word_mask = asked(len(targets))
    id_map = torch.zeros(1, 64, 64, dtype=torch.long)
    id_map[:, 10:30, 10:30] = 1
    centres, radii = torch.tensor([[[20.0, 20.0]]]), torch.tensor([[10.0]])
    return Batch(
        image=image,
        tokens=tokens,
        word_mask=word_mask,
        image_of_expression=torch.zeros(len(targets), dtype=torch.long),
        targets=torch.tensor(targets)[:, None],
        objects=Objects(id_map, centres, radii, torch.zeros(1, 1, 2).long(), torch.ones(1, 1).bool()),
    )


class TestMaps:
    @pytest.mark.parametrize("size_hw", [(64, 96), (96, 64), (70, 50), (33, 65)])
    def test_maps_need_not_be_square(self, size_hw):
        with torch.no_grad():
            logits = tiny()(*asked(1, *size_hw)).logits
        assert logits.shape[-2:] == size_hw and logits.isfinite().all()

    def test_height_and_width_are_not_mistaken(self):
        """A network whose kernels are transposed answers a transposed image with the transposed mask."""
        network, (image, tokens, word_mask) = tiny(), asked(1)
        with torch.no_grad():
            logits = network(image, tokens, word_mask).logits
            for module in network.modules():
                if isinstance(module, torch.nn.Conv2d):
                    module.weight.copy_(module.weight.mT.clone())
            turned = network(image.mT, tokens, word_mask).logits
        torch.testing.assert_close(turned.mT, logits, rtol=1e-3, atol=1e-3)

    def test_levels_are_those_of_the_stages(self):
        network, (image, tokens, word_mask) = tiny(), asked(2)
        with torch.no_grad():
            features, words = network.encode_image(image), network.encode_words(tokens, word_mask)
            levels = network.levels(features.first, words, word_mask)
        assert [tuple(level.shape) for level in levels] == [
            (2, 8, 16, 24),
            (2, 8, 8, 12),
            (2, 12, 4, 6),
            (2, 16, 2, 3),
        ]


class TestPixelWordAttention:
    def test_padding_is_not_attended_to_with_any_number_of_heads(self):
        words, word_mask = torch.randn(1, 6, 16), torch.arange(6)[None] < 4
        changed = words.clone()
        changed[:, 4:] = torch.randn(2, 16)
        for heads in (1, 4):
            pwam, pixels = PWAM(8, 16, heads).eval(), torch.randn(1, 24, 8)
            with torch.no_grad():
                assert torch.equal(pwam(pixels, words, word_mask), pwam(pixels, changed, word_mask))

    def test_each_number_of_heads_is_another_function(self):
        torch.manual_seed(0)
        one, four = PWAM(8, 16, 1), PWAM(8, 16, 4)
        four.load_state_dict(one.state_dict())
        inputs = torch.randn(1, 24, 8), torch.randn(1, 6, 16), torch.ones(1, 6, dtype=torch.bool)
        with torch.no_grad():
            assert not torch.allclose(one(*inputs), four(*inputs), atol=1e-3)

    @pytest.mark.parametrize("heads", [1, 2, 4])
    def test_heads_are_groups_of_channels_scaled_by_all_channels(self, heads):
        """As written down: each head weighs its group of the words' values, and one layer joins the heads."""
        torch.manual_seed(0)
        attention = PWAM(8, 16, heads).attention
        pixels, words = torch.randn(2, 24, 8), torch.randn(2, 6, 16)
        word_mask = torch.arange(6) < torch.tensor([[6], [3]])
        with torch.no_grad():
            query, key, value = attention.query(pixels), attention.key(words), attention.value(words)
            query = F.instance_norm(query.mT).mT
            seen = []
            for q, k, v in zip(query.chunk(heads, -1), key.chunk(heads, -1), value.chunk(heads, -1), strict=True):
                scores = (q @ k.mT / 8**0.5).masked_fill(~word_mask[:, None], -torch.inf)
                seen.append(scores.softmax(-1) @ v)
            language = F.instance_norm(attention.project(torch.cat(seen, -1)).mT).mT
            torch.testing.assert_close(attention(pixels, words, word_mask), language, rtol=1e-4, atol=1e-4)

    def test_its_dropout_acts_in_training_only(self):
        pwam = PWAM(8, 16, 1, dropout=0.5)
        inputs = torch.randn(1, 24, 8), torch.randn(1, 6, 16), torch.ones(1, 6, dtype=torch.bool)
        assert (pwam(*inputs) == 0).float().mean() > 0.3 and (pwam.eval()(*inputs) != 0).all()

    def test_heads_must_divide_the_channels(self):
        with pytest.raises(InvalidInput, match="3 heads do not divide the 8 channels"):
            LAVT(TINY.replace(heads=(1, 3, 1, 1)), VOCABULARY_SIZE)
        with pytest.raises(ValueError, match="greater than or equal to 1"):
            TINY.replace(heads=(1, 1, 0, 1))

    def test_heads_are_those_of_the_stages(self):
        network = LAVT(TINY.replace(heads=(1, 2, 4, 8)), VOCABULARY_SIZE)
        assert [fusion.pwam.attention.heads for fusion in network.fusions] == [1, 2, 4, 8]


class TestFusion:
    def test_a_closed_gate_lets_nothing_on_to_the_next_stage_but_the_decoder_still_reads_words(self):
        network, (image, tokens, word_mask) = tiny(), asked(1)
        with torch.no_grad():
            for fusion in network.fusions[:-1]:
                fusion.gate.layers[2].weight.zero_()
            x = network.encode_image(image).first
            words = network.encode_words(tokens, word_mask)
            after, level = network.fusions[0](x, words, word_mask)
            _, other = network.fusions[0](x, -words, word_mask)
        assert torch.equal(after, x) and not torch.allclose(level, other)

    def test_the_last_stage_has_no_gate_since_nothing_goes_on_from_there(self):
        network = tiny()
        assert [fusion.gate is not None for fusion in network.fusions] == [True, True, True, False]

    def test_words_of_an_image_are_those_of_its_expressions(self):
        network, (image, tokens, word_mask) = tiny(), asked(3)
        with torch.no_grad():
            words = network.encode_words(tokens, word_mask)
            features = network.encode_image(image[:2])
            logits = network.fuse(features, words, word_mask, torch.tensor([1, 0, 1])).logits
            alone = network(image[[1, 0, 1]], tokens, word_mask).logits
        torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-4)


class TestLoss:
    @pytest.mark.parametrize("loss", ["cross_entropy", "dice"])
    def test_every_weight_learns(self, loss):
        network = tiny(TINY.replace(loss=loss)).train()
        network.loss(batch())["loss"].backward()
        assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_pixels_weigh_by_their_class(self):
        network, data = tiny(), batch()
        logits = network(data.image.expand(3, -1, -1, -1), data.tokens, data.word_mask).logits[:, 0]
        both, target = torch.stack([torch.zeros_like(logits), logits], dim=1), data.masks().long()
        wanted = F.cross_entropy(both, target, weight=torch.tensor([0.9, 1.1]))
        torch.testing.assert_close(network.loss(data)["loss"], wanted)

    def test_dice_is_0_for_the_mask_and_1_for_its_opposite(self):
        target = torch.zeros(2, 8, 8, dtype=torch.bool)
        target[:, 2:6, 2:6] = True
        right = torch.where(target, 100.0, -100.0)[:, None]
        assert dice_loss(right, target) == 0
        torch.testing.assert_close(dice_loss(-right, target), torch.tensor(1 - 1 / 65))  # of the 64 pixels, and 1

    def test_dice_of_an_expression_without_referent_is_0_for_an_empty_mask(self):
        nothing = torch.zeros(1, 8, 8, dtype=torch.bool)
        assert dice_loss(torch.full((1, 1, 8, 8), -100.0), nothing) == 0

    def test_classes_count_alike_in_dice(self):
        target = torch.zeros(1, 10, 10, dtype=torch.bool)
        target[:, 0, 0] = True
        missed = dice_loss(torch.full((1, 1, 10, 10), -100.0), target)
        referent, background = 1 - 1 / 2, 1 - (2 * 99 + 1) / (100 + 99 + 1)
        torch.testing.assert_close(missed, torch.tensor((referent + background) / 2))

    def test_erased_tokens_are_not_needed(self):
        assert tiny().loss(dataclasses.replace(batch(), erased=None))["loss"].isfinite()


def test_the_word_attention_of_each_stage_sums_to_one():
    network, shown = tiny(), {}
    for view in network.views():
        view.module.register_forward_hook(lambda _, __, output, name=view.name: shown.__setitem__(name, output))
    image, tokens, word_mask = asked()
    word_mask[1, 3:] = False
    with torch.no_grad():
        network(image, tokens, word_mask)
    assert list(shown) == [f"stage {stage}: words" for stage in (1, 2, 3, 4)]
    for seen in shown.values():
        torch.testing.assert_close(seen.sum(1), torch.ones(3))
        assert not seen[1, 3:].any()


def millions(parameters):
    return sum(parameter.numel() for parameter in parameters) / 1e6


def meta(name):
    with torch.device("meta"):
        return LAVT(PRESETS[name].replace(word_encoder=BertConfig(layers=0)), 2)


# Without BERT, in millions, with what the release has and nothing reads
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("lavt_swin_base", 118.848),
        ("lavt_swin_tiny", 46.059),
        ("lavt_swin_small", 67.377),
        ("lavt_swin_large", 264.902),
    ],
)
def test_parameters_with_what_is_left_out_are_those_of_the_release(name, published):
    network = meta(name)
    left_out = sum(value.numel() for value in LAVTLayout().unused(network).values() if value.is_floating_point()) / 1e6
    own = millions(network.parameters()) - millions(network.word_encoder.parameters())
    assert own + left_out == pytest.approx(published, abs=6e-4)


def test_parameters_of_the_parts_are_those_of_the_release():
    network = meta("lavt_swin_base")
    dead = {
        key: value.numel() / 1e6 for key, value in LAVTLayout().unused(network).items() if value.is_floating_point()
    }
    pwam = sum(millions(fusion.pwam.parameters()) for fusion in network.fusions)
    gates = sum(millions(fusion.gate.parameters()) for fusion in network.fusions if fusion.gate)
    close = {"abs": 6e-4}
    assert pwam + sum(count for key, count in dead.items() if ".fusion." in key) == pytest.approx(8.531, **close)
    assert gates + sum(count for key, count in dead.items() if ".res_gate." in key) == pytest.approx(2.785, **close)
    assert millions(network.decoder.parameters()) == pytest.approx(20.651, **close)


def test_the_small_preset_is_small():
    network = LAVT(PRESETS["lavt_small"], 60)
    assert millions(network.parts()["fusion"]) < 1.5


# Thousands of millions: of an answer here and of the release, which computes the last gate as well
def test_an_answer_costs_little_less_than_the_release():
    network = meta("lavt_swin_base").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        features = network.encode_image(torch.empty(1, 3, 480, 480))
        words, word_mask = torch.empty(1, 20, 768), torch.ones(1, 20, dtype=torch.bool)
        network.fuse(features, words, word_mask, torch.zeros(1, dtype=torch.int64))
        whole = {name: sum(counts.values()) / 2e9 for name, counts in counter.get_flop_counts().items()}
    assert whole["Global"] == pytest.approx(195.90, abs=0.05) and whole["Global"] < 197.11
    assert whole["Decoder"] == pytest.approx(106.26, abs=0.1)
