import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tests.networks.tables import row_of, rows_of

from refseg.batch import Batch, Objects
from refseg.encoders.configs import LstmConfig
from refseg.inspection.attention import View
from refseg.networks.cmpc import (
    CMPC,
    PRESETS,
    TYPES,
    CMPCConfig,
    EncodedExpression,
    RelationReasoning,
    WordTypes,
    coordinates,
    corner_resize,
    draw_types,
    l2_normalize,
    last_word,
)

VOCABULARY_SIZE = 20
SIZES = dict(
    image_encoder={"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
    freeze_image_encoder=False,
    word_encoder=LstmConfig(vector=6, width=12),
    max_words=8,
    parser_hidden=10,
    width=16,
    heads=2,
    fused=12,
    grid_hw=(8, 8),
)
TINY = CMPCConfig(**SIZES, exchange_rounds=2)
TABLES = rows_of(*(f"cmpc_table{table}" for table in (5, 8, 9, 10)))
ROWS = {name: config.replace(**SIZES) for name, config in TABLES.items()}
SWITCHES = {
    "as it is": {},
    "visual skip": {"skip": "visual"},
    "the paper's sentence": {"output_sentence": "necessary"},
    "all words": {"sentence": "all_words"},
    "random types": {"word_types": "random"},
    "sum": {"level_fusion": "sum"},
    "peephole per channel": {"peephole": "channel"},
    "no peephole": {"peephole": "none"},
    "three graph layers": {"graph_layers": 3},
    "one loss": {"level_loss": 0},
    "as released": {"resize": "corner", "reduction": "sum", "l2": 5e-4},
    "with BERT": {"word_encoder": {"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32}},
}


def tiny(config=TINY):
    """A small network away from its first weights."""
    torch.manual_seed(0)
    network = CMPC(config, VOCABULARY_SIZE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def asked(count=3, height=64, width=64, words=5):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(count, 3, height, width, generator=generator)
    tokens = torch.randint(2, VOCABULARY_SIZE, (count, words), generator=generator)
    word_mask = torch.arange(words) < torch.arange(words, words - count, -1)[:, None]
    return image, tokens * word_mask, word_mask


def batch():
    image, tokens, word_mask = asked(2)
    id_map = torch.zeros(2, 64, 64, dtype=torch.long)
    id_map[:, 20:40, 10:30] = 1
    nothing = torch.zeros(2, 1, 2)
    objects = Objects(id_map, nothing, nothing[..., 0], nothing.long(), torch.ones(2, 1, dtype=torch.bool))
    return Batch(image, tokens, word_mask, torch.arange(2), torch.ones(2, 1, dtype=torch.bool), objects)


def count(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def meta(name, vocabulary_size=12112, **changes):
    with torch.device("meta"):
        return CMPC(PRESETS[name].replace(**changes), vocabulary_size)


class TestSize:
    def test_every_part_has_the_parameters_of_the_release(self):
        network = meta("cmpc_release")
        levels = network.levels.values()
        assert count(network.word_encoder.vectors) == 3_633_600
        assert count(network.word_encoder) - 3_633_600 == 5_204_000
        assert count(*(level.lateral for level in levels)) == 3_587_000
        assert count(network.parser) == 502_504
        assert count(*(level.perceive for level in levels)) == 30_150_000
        assert count(*(level.reason for level in levels)) == 9_021_000
        assert count(*(level.join for level in levels)) == 4_513_500
        assert count(network.level_scores) == 13_503
        assert [count(one_round) for one_round in network.exchange] == [7_510_500] * 2
        assert count(network.conv_lstm) == 4_405_000
        assert count(network.score) == 4_501
        assert count(network.image_encoder) == 42_500_160

    @pytest.mark.parametrize(("rounds", "trained"), [(1, 68_545_108), (2, 76_055_608), (3, 83_566_108)])
    def test_what_is_trained_with_so_many_rounds(self, rounds, trained):
        network = meta("cmpc", exchange_rounds=rounds)
        assert sum(p.numel() for p in network.parameters() if p.requires_grad) == trained

    def test_what_a_choice_adds(self):
        base = count(meta("cmpc"))
        assert count(meta("cmpc", vocabulary_size=8803)) - base == -992_700
        assert count(meta("cmpc_gref")) - base == 3 * 1_005_000
        assert count(meta("cmpc", peephole="channel")) - base == -2_398_500
        assert count(meta("cmpc", peephole="none")) - base == -2_400_000

    def test_a_word_parser_of_five_types(self):
        with torch.device("meta"):
            assert count(WordTypes(1000, 500, ("entity", "attribute", "relation", "action", "unnecessary"))) == 503_005

    def test_the_small_preset_is_small(self):
        network = CMPC(PRESETS["cmpc_small"], 100)
        assert count(network) - count(network.image_encoder, network.word_encoder) < 1_500_000


class TestRelations:
    def test_the_adjacency_is_never_formed_and_yet_the_one_of_the_paper(self):
        torch.manual_seed(0)
        reason, words, word_mask = RelationReasoning(16, 12, 2), l2_normalize(torch.randn(3, 5, 12)), asked()[2]
        types = dict(zip(TYPES, (torch.rand(3, 5, 4).softmax(-1) * word_mask[..., None]).unbind(-1), strict=True))
        expression = EncodedExpression(words, word_mask, types, words[:, 0], words[:, 0], words[:, 0])
        x = l2_normalize(torch.randn(3, 4, 6, 16))
        with torch.no_grad():
            vertices = x.flatten(1, 2)
            to_words, to_vertices = reason.edges(vertices, expression, (4, 6))
            adjacency = to_words @ to_vertices.mT
            torch.testing.assert_close(adjacency.sum(-1), torch.ones(3, 24))
            for layer in reason.layers:
                vertices = layer(vertices, adjacency @ vertices)
            torch.testing.assert_close(reason(x, expression), l2_normalize(vertices).unflatten(1, (4, 6)))
        assert not to_words[~word_mask[:, None].expand_as(to_words)].any()

    def test_an_expression_of_padding_alone_is_finite(self):
        network, (image, tokens, _) = tiny(), asked()
        with torch.no_grad():
            assert network(image, tokens, torch.zeros_like(tokens, dtype=torch.bool)).logits.isfinite().all()


@torch.no_grad()
def test_padding_behind_is_as_padding_in_front():
    network, (image, tokens, word_mask) = tiny(), asked()
    front = torch.stack([row.roll(-int(mask.sum())) for row, mask in zip(tokens, word_mask, strict=True)])
    mask = torch.stack([row.roll(-int(row.sum())) for row in word_mask])
    torch.testing.assert_close(network(image, front, mask).logits, network(image, tokens, word_mask).logits)


@pytest.mark.parametrize("peephole", ["position", "channel", "none"])
@pytest.mark.parametrize("size_hw", [(64, 64), (64, 96), (96, 32), (72, 40)])
@torch.no_grad()
def test_a_batch_equals_its_members_at_any_size(peephole, size_hw):
    network, inputs = tiny(TINY.replace(peephole=peephole)), asked(3, *size_hw)
    together = network(*inputs).logits
    assert together.shape == (3, 1, *size_hw)
    alone = torch.cat([network(*(each[i : i + 1] for each in inputs)).logits for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


class TestSwitches:
    @pytest.mark.parametrize("row", [*ROWS, *SWITCHES])
    def test_every_parameter_gets_a_gradient(self, row):
        network = tiny(ROWS[row] if row in ROWS else TINY.replace(**SWITCHES[row]))
        network.train().loss(batch())["loss"].backward()
        assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

    @pytest.mark.parametrize("row", sorted(SWITCHES.keys() - {"as it is", "one loss", "with BERT"}))
    def test_it_changes_the_loss(self, row):
        network, other = tiny(), tiny(TINY.replace(**SWITCHES[row]))
        if row == "random types":
            network.train(), other.train()
        own = other.state_dict()
        same = {key: v for key, v in network.state_dict().items() if key in own and v.shape == own[key].shape}
        other.load_state_dict(same, strict=False)
        losses = [each.loss(batch())["loss"] for each in (network, other)]
        assert torch.equal(*losses) == (row == "random types")  # in training types are predicted

    @torch.no_grad()
    def test_random_types_are_probabilities_drawn_for_each_word_and_repeatable(self):
        _, tokens, word_mask = asked()
        network, inputs = tiny(TINY.replace(word_types="random")), asked()
        expression = network.encode_expression(network.encode_words(tokens, word_mask), word_mask)
        types = torch.stack(list(expression.types.values()), -1)
        torch.testing.assert_close(types.sum(-1), word_mask.float())
        assert len(types[word_mask].unique(dim=0)) == word_mask.sum()  # each word its own
        torch.testing.assert_close(network(*inputs).logits, network(*inputs).logits)
        other = tiny(TINY.replace(word_types="random:1"))
        assert not torch.allclose(network(*inputs).logits, other(*inputs).logits)
        assert not torch.allclose(network(*inputs).logits, tiny()(*inputs).logits)

    def test_random_types_do_not_depend_on_other_expressions_and_padding(self):
        _, tokens, word_mask = asked()
        alone = draw_types(tokens[1:2], word_mask[1:2], 4, draw=0)
        longer = F.pad(tokens, (0, 3)), F.pad(word_mask, (0, 3))
        known = word_mask[1]
        torch.testing.assert_close(alone[0, known], draw_types(*longer, 4, draw=0)[1, : len(known)][known])

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"levels": "c5", "level_fusion": "sum"}, "exchange_rounds=0"),
            ({"levels": "c5", "exchange_rounds": 0}, "level_fusion='sum'"),
            ({"skip": "visual", "graph_layers": 0}, "skip='multimodal'"),
            ({"graph_layers": 4}, "less than or equal to 3"),
            ({"word_types": "random:x"}, "choose predicted, random"),
            ({"grid_hw": (0, 8)}, "greater than or equal to 1"),
            ({"level_loss": 0.4}, "less than"),
        ],
    )
    def test_what_cannot_be_is_refused(self, setting, message):
        with pytest.raises(ValueError, match=message):
            TINY.replace(**setting)

    def test_tables_are_those_of_the_paper(self):
        encoder = {"image_encoder": row_of("cmpc_table5", 15).image_encoder}
        assert row_of("cmpc_table5", 15) == PRESETS["cmpc"].replace(exchange_rounds=1, **encoder)
        assert row_of("cmpc_table5", 7) == PRESETS["cmpc_multilevel"].replace(**encoder)
        assert row_of("cmpc_table8", 2) == row_of("cmpc_table5", 11)
        assert row_of("cmpc_table10", 2) == row_of("cmpc_table5", 4) and row_of("cmpc_table5", 1).parses is False

    @pytest.mark.parametrize("settings", [{"output_sentence": "necessary"}, {"sentence": "all_words"}])
    def test_a_network_without_types_of_words_takes_every_sentence(self, settings):
        network = tiny(ROWS["cmpc_table5, 1"].replace(**settings))
        with torch.no_grad():
            assert network(*asked()).logits.isfinite().all()


class TestParts:
    def test_coordinates_are_edges_middle_and_size(self):
        cells = coordinates(torch.zeros(2, 4, 16))
        assert cells.shape == (2, 4, 8)
        torch.testing.assert_close(cells[1, 2], torch.tensor([0, 0, 0.5, 1, 0.25, 0.5, 0.25, 0.5]))

    def test_the_corner_resize_repeats_the_last_pixels(self):
        logits = torch.tensor([[0.0, 2.0], [4.0, 6.0]])[None, None]
        wanted = torch.tensor([[0, 1, 2, 2], [2, 3, 4, 4], [4, 5, 6, 6], [4, 5, 6, 6.0]])
        torch.testing.assert_close(corner_resize(logits, (4, 4))[0, 0], wanted)

    def test_the_last_word_is_the_last_that_is_none_of_the_padding(self):
        words = torch.arange(8.0).view(2, 4, 1)
        mask = torch.tensor([[True, True, False, False], [False, False, True, True]])
        assert last_word(words, mask).flatten().tolist() == [1, 7]

    def test_a_frozen_encoder_keeps_its_statistics_and_gets_no_gradient(self):
        network = tiny(TINY.replace(freeze_image_encoder=True))
        before = {key: value.clone() for key, value in network.image_encoder.named_buffers()}
        network.train().loss(batch())["loss"].backward()
        assert all(torch.equal(before[key], value) for key, value in network.image_encoder.named_buffers())
        assert all(p.grad is None for p in network.image_encoder.parameters())

    def test_what_needs_no_words_is_computed_once_for_an_image(self):
        network, (image, tokens, word_mask) = tiny(), asked()
        seen = []
        for level in network.levels.values():
            level.perceive.visual.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        with torch.no_grad():
            words = network.encode_words(tokens, word_mask)
            network.fuse(network.encode_image(image[:1]), words, word_mask, torch.zeros(3, dtype=torch.long))
        assert seen == [1, 1, 1]

    def test_heads_of_training_are_not_needed_to_answer(self, tmp_path):
        network, inputs = tiny(), asked()
        kept = {key: v for key, v in network.state_dict().items() if not key.startswith(CMPC.training_only)}
        save_file(kept, tmp_path / "weights.safetensors")
        other = CMPC(TINY, VOCABULARY_SIZE).eval()
        other.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=False)
        with torch.no_grad():
            torch.testing.assert_close(other(*inputs).logits, network(*inputs).logits)


class TestLoss:
    def test_weights_of_the_four_losses(self):
        losses = tiny(TINY.replace(l2=0)).loss(batch())
        parts = [losses[name] for name in ("c3", "c4", "c5")]
        torch.testing.assert_close(losses["loss"].detach(), 0.7 * losses["mask"] + 0.1 * sum(parts))

    def test_the_mean_and_the_sum_keep_the_balance_with_l2(self):
        mean = tiny(TINY.replace(l2=5e-4 / 64**2)).loss(batch())
        summed = tiny(TINY.replace(reduction="sum", l2=5e-4)).loss(batch())
        torch.testing.assert_close(64**2 * mean["loss"], summed["loss"], rtol=1e-4, atol=0)

    def test_l2_is_half_the_squares_of_the_fusion_s_layers(self):
        network = tiny(TINY.replace(l2=1))
        names = {id(p): name for name, p in network.named_parameters()}
        decaying = {names[id(weight)] for weight in network.decaying()}
        assert all(name.endswith("weight") and "norm" not in name for name in decaying)
        assert not any(name.startswith(("image_encoder", "word_encoder", "conv_lstm")) for name in decaying)
        layers = ("parser.layers.0", "levels.c4.reason.vertex", "exchange.1.levels.c3.gates.c5", "score")
        assert {f"{layer}.weight" for layer in layers} < decaying
        wanted = sum(weight.square().sum() for weight in network.decaying()) / 2
        torch.testing.assert_close(network.loss(batch())["l2"], wanted.detach())

    def test_the_mask_s_loss_is_the_binary_cross_entropy(self):
        network, data = tiny(), batch()
        logits = network(data.image, data.tokens, data.word_mask).logits
        wanted = F.binary_cross_entropy_with_logits(logits[:, 0], data.masks().float())
        torch.testing.assert_close(network.loss(data)["mask"], wanted.detach())


@torch.no_grad()
def test_views_show_types_of_words_and_their_attention():
    network, inputs = tiny(), asked(1)
    views = network.views()
    assert [view.name for view in views][:5] == [*(f"words: {name}" for name in TYPES), "c3: first word"]
    assert len(views) == 4 + 3 * 3 and all(isinstance(view, View) for view in views)
    seen = {}
    for view in views:
        view.module.register_forward_hook(lambda m, _, out: seen.update({id(m): out}))
    network(*inputs)
    values = {view.name: view.read(seen[id(view.module)]) for view in views}
    torch.testing.assert_close(sum(values[f"words: {name}"] for name in TYPES), torch.ones(1, 5))
    for view in views[4:]:
        assert values[view.name].shape == (1, 8, 8)
        assert math.isclose(values[view.name].sum().item(), 1, rel_tol=1e-5)
    affinity = seen[id(network.levels["c4"].reason.affinity)]
    first = affinity.scores[..., 0].softmax(1).unflatten(1, (8, 8))
    torch.testing.assert_close(values["c4: first word"], first)
    assert not tiny(ROWS["cmpc_table5, 7"]).views()
