import dataclasses

import pytest
import torch
import torch.nn.functional as F
from tests.networks.tables import row_of
from torch.utils.flop_counter import FlopCounterMode

from refseg import networks
from refseg.batch import Batch, Objects
from refseg.blocks import cpu_convolution
from refseg.blocks.upsample_concat import JoinScales
from refseg.conversion.dmmi import DMMILayout
from refseg.encoders.configs import BertConfig
from refseg.errors import InvalidInput
from refseg.networks import dmmi
from refseg.networks.dmmi import (
    MBA,
    PRESETS,
    ContrastiveLoss,
    DMMIConfig,
    ImageToText,
    StageFusion,
    Summary,
    Window,
    similarity_loss,
)

VOCABULARY_SIZE = 20
SIZES = dict(
    image_encoder={"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
    word_encoder={"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16},
    max_words=8,
    hidden=16,
    heads=2,
    feed_forward=32,
    dropout=0.0,
)
TINY = DMMIConfig(**SIZES)
NAMES = (
    "one decoder",
    "without contrastive loss",
    "without similarity loss",
    "one direction, one scale",
    "one scale",
    "one direction",
    "full",
)
ROWS = {name: row_of("dmmi_table3", number).replace(**SIZES) for number, name in enumerate(NAMES, start=1)}


def tiny(config=TINY):
    """A small network away from its first weights, whose masks are never emptied."""
    torch.manual_seed(0)
    network = networks.build("dmmi", config, VOCABULARY_SIZE)
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
    objects = Objects(id_map, centres, radii, torch.zeros(1, 1, 2).long(), torch.ones(1, 1).bool())
    erased = tokens.clone()
    erased[:, 2] = 0
    return Batch(
        image=image,
        tokens=tokens,
        word_mask=word_mask,
        image_of_expression=torch.zeros(len(targets), dtype=torch.long),
        targets=torch.tensor(targets)[:, None],
        objects=objects,
        erased=erased,
    )


def names(network):
    return {name for name, _ in network.named_modules()}


class TestTable3:
    @pytest.mark.parametrize("row", ROWS)
    def test_every_row_answers_and_learns(self, row):
        network = tiny(ROWS[row])
        with torch.no_grad():
            assert network(*asked()).logits.shape == (3, 1, 64, 96)
        network.train().loss(batch())["loss"].backward()
        silent = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert silent == []

    @pytest.mark.parametrize(
        ("row", "losses"),
        [
            ("one decoder", {"mask"}),
            ("without contrastive loss", {"mask", "similarity"}),
            ("without similarity loss", {"mask", "contrastive"}),
            ("full", {"mask", "similarity", "contrastive"}),
        ],
    )
    def test_a_loss_that_is_off_leaves_its_branch_out(self, row, losses):
        network = tiny(ROWS[row])
        assert set(network.loss(batch())) - {"loss"} == losses
        assert ("recovery" in names(network)) == ("similarity" in losses)
        assert ("summary" in names(network)) == ("contrast" in names(network)) == ("contrastive" in losses)

    @pytest.mark.parametrize("row", ["one direction", "one direction, one scale"])
    def test_in_one_direction_words_stay_as_they_are(self, row):
        network = tiny(ROWS[row])
        assert not any(isinstance(module, ImageToText | Window) for module in network.modules())
        words = torch.randn(1, 8, 16)
        x = torch.randn(1, network.image_encoder.channels[0], 6, 4)
        _, _, after = network.fusions[0](x, words, torch.ones(1, 8, dtype=torch.bool))
        assert after is words

    def test_one_scale_has_no_shares(self):
        network = tiny(ROWS["one scale"])
        assert not [key for key in network.state_dict() if key.endswith("mix.weight")]
        assert [len(fusion.mba.text_to_image.regions) for fusion in network.fusions] == [1] * 4

    def test_each_row_is_another_network(self):
        layouts = {tuple(tiny(config).state_dict()) for config in ROWS.values()}
        assert len(layouts) == len(ROWS) == 7


class TestSwitches:
    def test_the_decoder_reads_what_the_authors_have_for_the_image_encoder(self):
        swin, resnet = PRESETS["dmmi_swin_base"].as_published(), PRESETS["dmmi_resnet101"].as_published()
        assert (swin.skip, swin.gate) == ("attended", "small")
        assert (resnet.skip, resnet.gate) == ("fused", "uniform")
        assert DMMIConfig().replace(image_encoder="resnet50").as_published().skip == "fused"
        assert TINY.replace(skip="attended").as_published().skip == "attended"

    def test_without_a_reader_the_last_stage_has_no_gate(self):
        network = tiny(TINY.replace(skip="attended"))
        assert [fusion.gate is not None for fusion in network.fusions] == [True, True, True, False]
        network.train().loss(batch())["loss"].backward()
        assert all(p.grad is not None and p.grad.any() for p in network.parameters())

    def test_small_gates_start_smaller(self):
        spread = {}
        for gate in ("small", "uniform"):
            torch.manual_seed(0)
            network = networks.build("dmmi", TINY.replace(gate=gate), VOCABULARY_SIZE)
            spread[gate] = network.fusions[0].gate.layers[0].weight.std().item()
        assert spread["small"] == pytest.approx(0.02, rel=0.4)
        assert spread["uniform"] > 2 * spread["small"]

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"regions": (1, 2)}, "odd"),
            ({"windows": (0,)}, "greater than or equal to 1"),
            ({"heads": 5}, "5 heads do not divide 16 channels"),
        ],
    )
    def test_settings_that_cannot_be_are_refused(self, setting, message):
        with pytest.raises(ValueError, match=message):
            TINY.replace(**setting)


class TestInference:
    def test_the_recovery_branch_is_not_run(self):
        network = tiny()

        def complain(*_):
            raise AssertionError("only training needs this")

        for module in network.recovery, network.summary, network.contrast:
            module.register_forward_hook(complain)
        with torch.no_grad():
            network(*asked())

    def test_the_recovery_branch_does_not_change_the_mask(self):
        network = tiny()
        with torch.no_grad():
            logits = network(*asked()).logits
            network.recovery = network.summary = network.contrast = None
            assert torch.equal(network(*asked()).logits, logits)

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

    def test_any_number_of_words_can_be_fused(self):
        network, (image, _, word_mask) = tiny(), asked(1)
        with torch.no_grad():
            features = network.encode_image(image)
            for length in (5, 6, 11):
                words = torch.randn(1, length, 16)
                assert network.fuse(features, words, word_mask, torch.tensor([0])).logits.isfinite().all()

    def test_padding_that_is_read_still_is_no_word(self):
        mba, words = MBA(TINY, 8, 16).eval(), torch.randn(1, 8, 16)
        word_mask = torch.arange(8)[None] < 5
        pixels = torch.randn(1, 24, 8)
        changed = words.clone()
        changed[:, 6:] = torch.randn(2, 16)  # out of reach of the windows of real words
        with torch.no_grad():
            (attended, seen), (same, other) = (mba(pixels, (4, 6), each, word_mask) for each in (words, changed))
        assert torch.equal(attended, same)
        torch.testing.assert_close(seen[:, :5], other[:, :5])


class TestShortcuts:
    def test_pixels_that_are_many_are_summed_up_by_their_covariance(self, monkeypatch):
        torch.manual_seed(0)
        mba = MBA(TINY, 8, 16).eval()
        inputs = 3 + torch.randn(2, 60, 8), (6, 10), torch.randn(2, 8, 16), torch.ones(2, 8, dtype=torch.bool)
        seen = []
        for many in (0, 1000):
            monkeypatch.setattr(dmmi, "MIN_PIXELS_PER_CHANNEL", many)
            seen.append(mba(*inputs)[1])
        torch.testing.assert_close(*seen, rtol=1e-5, atol=1e-5)

    def test_strips_give_what_whole_maps_give(self, monkeypatch):
        torch.manual_seed(0)
        join, head = JoinScales(24, 16).eval(), torch.nn.Linear(16, 2)
        for layer in join.layers:
            layer[1].running_mean.normal_()
            layer[1].running_var.uniform_(0.5, 2)
        coarse, fine = torch.randn(2, 16, 22, 25), torch.randn(2, 8, 43, 50)
        with torch.no_grad():
            assert cpu_convolution.is_faster(fine)
            strips, read = join(coarse, fine), join.read(coarse, fine, head)
            monkeypatch.setattr(cpu_convolution, "is_faster", lambda x: False)
            torch.testing.assert_close(strips, join(coarse, fine), rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(read, join.read(coarse, fine, head), rtol=1e-4, atol=1e-4)


class TestLosses:
    def test_an_expression_without_referent_adds_a_constant_to_the_similarity_loss(self):
        words, mask = torch.randn(2, 4, 3), torch.ones(2, 4, dtype=torch.bool)
        recovered = words.clone().requires_grad_()
        loss = similarity_loss(words, recovered, mask, torch.tensor([True, False]))
        torch.testing.assert_close(loss, torch.tensor(0.5))
        other = torch.randn(2, 4, 3, requires_grad=True)
        similarity_loss(words, other, mask, torch.tensor([True, False])).backward()
        assert other.grad[0].any() and not other.grad[1].any()

    def test_the_similarity_loss_counts_words_and_not_padding(self):
        words = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
        recovered = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
        loss = similarity_loss(words, recovered, torch.tensor([[True, True, False]]), torch.tensor([True]))
        torch.testing.assert_close(loss, torch.tensor(0.5))  # 1 - (1 + 0) / 2

    def test_the_similarity_loss_does_not_train_the_whole_expression(self):
        words = torch.randn(1, 4, 3, requires_grad=True)
        recovered = torch.randn(1, 4, 3, requires_grad=True)
        similarity_loss(words, recovered, torch.ones(1, 4).bool(), torch.tensor([True])).backward()
        assert words.grad is None and recovered.grad.any()

    @pytest.mark.parametrize(("named", "share"), [((True, True), 1.0), ((True, False), 0.5), ((False, False), 0.0)])
    def test_the_contrastive_loss_in_both_directions(self, named, share):
        loss = ContrastiveLoss(2, temperature=1.0)
        torch.nn.init.eye_(loss.align.weight)
        torch.nn.init.zeros_(loss.align.bias)
        image, words = 5 * torch.eye(2), torch.eye(2)[:, None].expand(2, 3, 2)
        each = F.cross_entropy(torch.eye(2), torch.arange(2))  # the cosines of two images and two expressions
        torch.testing.assert_close(loss(image, words, torch.tensor(named)), 2 * share * each)

    def test_the_summary_joins_the_scales_in_turn(self):
        summary = Summary(1)
        for join, weight in zip(summary.joins, ([[10.0, 1.0]], [[10.0, 1.0]]), strict=True):
            join.weight.data, join.bias.data = torch.tensor(weight), torch.zeros(1)
        maps = [torch.full((1, 1, size, size), value) for size, value in ((2, 1.0), (4, 2.0), (8, 3.0))]
        assert summary(maps).item() == 123

    def test_weights_of_the_losses(self):
        config = TINY.replace(similarity=0.5, contrastive={"weight": 0.25, "temperature": 0.1})
        losses = tiny(config).loss(batch())
        total = losses["mask"] + 0.5 * losses["similarity"] + 0.25 * losses["contrastive"]
        torch.testing.assert_close(losses["loss"].detach(), total)

    def test_an_expression_without_referent_has_an_empty_target(self):
        network, none = tiny(), batch((False,))
        network.contrast = network.summary = None
        losses = network.loss(none)
        assert losses["similarity"] == 1
        logits = network(none.image, none.tokens, none.word_mask).logits
        torch.testing.assert_close(losses["mask"], F.softplus(logits).mean().detach())

    def test_without_erased_tokens_the_error_says_so(self):
        without = dataclasses.replace(batch(), erased=None)
        with pytest.raises(InvalidInput, match="`erased`"):
            tiny().loss(without)
        tiny(ROWS["without similarity loss"]).loss(without)

    def test_erased_tokens_stay_attended(self):
        network, data, seen = tiny(), batch(), []
        network.word_encoder.register_forward_hook(lambda _, inputs, __: seen.append(inputs))
        network.loss(data)
        (tokens, mask), (erased, erased_mask) = seen
        assert torch.equal(mask, erased_mask) and mask[:, 2].all()
        assert not erased[:, 2].any() and tokens[:, 2].all()


class TestViews:
    @pytest.mark.parametrize("row", ROWS)
    def test_what_is_shown_sums_to_one(self, row):
        network, shown = tiny(ROWS[row]), {}
        for view in network.views():
            view.module.register_forward_hook(
                lambda _, __, output, view=view: shown.__setitem__(view.name, (view, view.read(output)))
            )
        with torch.no_grad():
            network(*asked())
        assert len(shown) == len(network.views())
        for view, value in shown.values():
            assert value.ndim == {"words": 2, "map": 3, "weights": 1}[view.kind]
            axes = {"words": (1,), "map": (1, 2), "weights": (0,)}[view.kind]
            torch.testing.assert_close(value.sum(axes), torch.ones(value.sum(axes).shape))
            assert view.kind != "weights" or len(view.labels) == len(value)

    def test_each_stage_is_shown(self):
        assert len(tiny().views()) == 4 * 4
        assert len(tiny(ROWS["one direction, one scale"]).views()) == 4


def millions(parameters):
    return sum(parameter.numel() for parameter in parameters) / 1e6


def meta(name):
    with torch.device("meta"):
        return networks.build(name, PRESETS[name].replace(word_encoder=BertConfig(layers=1)), 30)


# Specification of the published networks, in millions; each number holds what the release has and nothing reads
PUBLISHED = {
    "dmmi_swin_base": {
        "backbone": 136.334,
        "mba": (2.128, 4.203, 9.973, 28.003),
        "gate": (0.033, 0.131, 0.524, 2.097),
        "join": (15.925, 12.386, 11.502),
        "total": 208.053,
    },
    "dmmi_resnet101": {
        "backbone": 188.195,
        "mba": (4.203, 9.973, 28.003, 90.013),
        "gate": (0.131, 0.524, 2.097, 8.389),
        "join": (26.542, 14.156, 12.386),
        "total": 273.185,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
class TestSize:
    def test_parameters_with_what_is_left_out_are_those_of_the_release(self, name):
        network, published = meta(name), PUBLISHED[name]
        dead = {key: value for key, value in DMMILayout().unused(network).items() if value.is_floating_point()}
        dead = {key: value.numel() / 1e6 for key, value in dead.items() if ".decoder_layer." not in key}
        left_out = sum(dead.values())
        backbone = millions(network.image_encoder.parameters()) + millions(network.fusions.parameters())
        rest = [network.decoder, network.recovery, network.summary, network.contrast]
        total = backbone + sum(millions(module.parameters()) for module in rest)
        close = {"abs": 6e-4}
        assert backbone + left_out == pytest.approx(published["backbone"], **close)
        assert total + left_out == pytest.approx(published["total"], **close)
        place = {"dmmi_swin_base": "layers.{}", "dmmi_resnet101": "all_fusion{}"}[name]
        first = {"dmmi_swin_base": 0, "dmmi_resnet101": 1}[name]
        for stage, fusion in enumerate(network.fusions):
            start = f"backbone.{place.format(stage + first)}."
            biases = sum(count for key, count in dead.items() if key.startswith(f"{start}fusion."))
            assert millions(fusion.mba.parameters()) + biases == pytest.approx(published["mba"][stage], **close)
            if fusion.gate is not None:
                assert millions(fusion.gate.parameters()) == pytest.approx(published["gate"][stage], **close)
            else:
                gate = sum(count for key, count in dead.items() if key.startswith(f"{start}res_gate."))
                assert gate == pytest.approx(published["gate"][stage], **close)
            assert millions(fusion.word_update.parameters()) == pytest.approx(0.591, **close)

    def test_parameters_of_the_decoder_and_of_what_only_training_needs(self, name):
        network, close = meta(name), {"abs": 6e-4}
        decoder = network.decoder
        for join, published in zip(
            (decoder.join_16, decoder.join_8, decoder.join_4), PUBLISHED[name]["join"], strict=True
        ):
            convolutions = [p for p in join.parameters() if p.ndim == 4]
            assert millions(convolutions) == pytest.approx(published, **close)
        for query in decoder.query_16, decoder.query_8:
            assert millions(query.parameters()) == pytest.approx(7.878, **close)
        assert millions(network.recovery.parameters()) == pytest.approx(13.188, **close)
        assert [millions(join.parameters()) for join in network.summary.joins] == pytest.approx([1.180] * 2, **close)
        assert millions(network.contrast.parameters()) == pytest.approx(0.591, **close)


# Thousands of millions: of the release (counted with what only training needs), and of an answer here, where MBA also
# takes shorter ways
@pytest.mark.parametrize(
    ("name", "side", "release", "own"), [("dmmi_swin_base", 480, 414.7, 381.2), ("dmmi_resnet101", 448, 396.2, 360.0)]
)
def test_an_answer_costs_less_than_the_release(name, side, release, own):
    network = meta(name).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        features = network.encode_image(torch.empty(1, 3, side, side))
        words, word_mask = torch.empty(1, 20, 768), torch.ones(1, 20, dtype=torch.bool)
        network.fuse(features, words, word_mask, torch.zeros(1, dtype=torch.int64))
        whole = {name: sum(counts.values()) / 2e9 for name, counts in counter.get_flop_counts().items()}
    assert whole["Global"] == pytest.approx(own, abs=0.05) and own < release
    if name == "dmmi_swin_base":  # the decoder's parts are those of the release
        parts = {"join_16": 14.3, "query_16": 7.3, "join_8": 44.6, "query_8": 44.1, "join_4": 165.6}
        assert {part: whole[f"Decoder.{part}"] for part in parts} == pytest.approx(parts, abs=0.05)


def test_a_stage_gives_maps_of_its_own_size():
    fusion = StageFusion(TINY.as_published(), 8, 16, gated=True).eval()
    fused, skip, words = fusion(torch.randn(2, 8, 5, 7), torch.randn(2, 6, 16), torch.ones(2, 6, dtype=torch.bool))
    assert fused.shape == skip.shape == (2, 8, 5, 7) and words.shape == (2, 6, 16)
