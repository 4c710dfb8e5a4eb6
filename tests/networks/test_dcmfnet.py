import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from tests.networks.tables import rows_of
from torch.utils.flop_counter import FlopCounterMode

from refseg.batch import Batch, Objects
from refseg.config import one_line
from refseg.encoders.configs import DarkNetConfig, ResNetConfig, SwinConfig
from refseg.errors import InvalidInput
from refseg.inspection.flops import complexity
from refseg.networks.dcmfnet import (
    IGF,
    PLACES,
    PRESETS,
    ASGate,
    ConvGRU,
    ConvLSTM,
    DCMFNet,
    DCMFNetConfig,
    FusionUnit,
    GatedBothWays,
    GatedExchange,
    is_normed,
)

VOCABULARY_SIZE = 20
SIZES = dict(
    image_encoder={"kind": "small", "finder": (8, 8, 8, 12), "top": 16},
    word_encoder={"kind": "bert", "width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "positions": 16},
    max_words=8,
    width=16,
    detail_width=8,
    heads=2,
    dropouts=(0, 0, 0),
)
TINY = DCMFNetConfig(**SIZES, layers=3)
ENCODERS = {
    "swin": SwinConfig(width=8, depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), window=3, drop_path=0.0),
    "resnet": ResNetConfig(depths=(1, 1, 1, 1), output_stride=16),
    "darknet": DarkNetConfig(width=4, blocks=(1, 1, 1, 1, 1), pairs=0),
}
TABLES = rows_of(*(f"dcmfnet_table{table}" for table in (2, 4, 5, 6)))
ROWS = {name: config.replace(**SIZES) for name, config in TABLES.items()}


def tiny(config=TINY):
    """A small network away from its first weights, some of which are 0."""
    torch.manual_seed(0)
    network = DCMFNet(config, VOCABULARY_SIZE)
    network.exists_threshold_logit = -torch.inf
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def asked(height=64, width=96):
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 3, height, width, generator=generator)
    tokens = torch.randint(2, VOCABULARY_SIZE, (2, 5), generator=generator)
    return image, tokens, torch.tensor([[True] * 5, [True] * 3 + [False] * 2])


def batch():
    image, tokens, word_mask = asked(64, 64)
    id_map = torch.zeros(2, 64, 64, dtype=torch.long)
    id_map[:, 10:30, 20:50] = 1
    nothing = torch.zeros(2, 1, 2)
    objects = Objects(id_map, nothing, nothing[..., 0], nothing.long(), torch.ones(2, 1, dtype=torch.bool))
    return Batch(image, tokens, word_mask, torch.arange(2), torch.tensor([[True], [False]]), objects)


def shown(module, function):
    """What a function gives, and the first input of a module on the way."""
    inputs = []
    hook = module.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    result = function()
    hook.remove()
    return result, inputs


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_the_tables_answers_and_learns_with_all_of_its_parameters(name):
    network = tiny(ROWS[name])
    with torch.no_grad():
        assert network(*asked()).logits.shape == (2, 1, 64, 96)
    network.train().loss(batch())["loss"].backward()
    assert [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", ROWS)
@torch.no_grad()
def test_every_row_of_the_tables_reads_the_sentence_and_answers_alike_alone_and_in_a_batch(name):
    network, (image, tokens, word_mask) = tiny(ROWS[name]), asked()
    together = network(image, tokens, word_mask).logits
    assert not torch.allclose(network(image, tokens.flip(0), word_mask).logits, together, atol=1e-4)
    alone = [network(image[i : i + 1], tokens[i : i + 1], word_mask[i : i + 1]).logits for i in range(2)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("height, width", [(104, 72), (32, 32), (64, 160)])
@torch.no_grad()
def test_images_of_any_size_are_answered_and_padding_words_change_nothing(kind, height, width):
    torch.manual_seed(0)
    network = DCMFNet(TINY.replace(image_encoder=ENCODERS[kind], narrowing=8), VOCABULARY_SIZE).eval()
    network.exists_threshold_logit = -torch.inf
    image, tokens, word_mask = asked(height, width)
    logits = network(image, tokens, word_mask).logits
    assert logits.shape == (2, 1, height, width) and logits.isfinite().all()
    longer = F.pad(tokens, (0, 5), value=7), F.pad(word_mask, (0, 5), value=False)
    torch.testing.assert_close(network(image, *longer).logits, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("detail", ["none", "concat", "gated", "gated_bidirectional", "igf"])
@torch.no_grad()
def test_the_smallest_image_is_answered_with_every_fusion_of_the_detail(detail):
    assert tiny(TINY.replace(detail_fusion=detail))(*asked(32, 32)).logits.shape == (2, 1, 32, 32)


@torch.no_grad()
def test_the_fourth_stage_reads_what_the_sentence_made_of_the_third():
    network, (image, tokens, word_mask) = tiny(), asked()
    features = network.encode_image(image[:1])
    words, of_one_image = network.encode_words(tokens, word_mask), torch.zeros(2, dtype=torch.long)
    stage = network.image_encoder.stages[3]
    _, [given] = shown(stage, lambda: network.fuse(features, words, word_mask, of_one_image))
    assert not torch.allclose(given[0], given[1], atol=1e-4)
    sentence = network.sentence(network.word_encoder.sentence(words, word_mask))[:, :, None, None]
    torch.testing.assert_close(given, network.guides["V3"](sentence, features.guided[of_one_image]))


@torch.no_grad()
def test_what_needs_no_words_is_computed_once_for_an_image():
    for guided, stages in [((), 4), (("V4",), 4), (("V3", "V4"), 3), (("V2", "V4"), 2)]:
        network, (image, tokens, word_mask) = tiny(TINY.replace(guided_stages=guided)), asked()
        calls = []
        for number, stage in enumerate(network.image_encoder.stages, start=1):
            stage.register_forward_hook(lambda *_, calls=calls, number=number: calls.append(number))
        features = network.encode_image(image)
        assert calls == list(range(1, stages + 1))
        network.fuse(features, network.encode_words(tokens, word_mask), word_mask, torch.arange(2))
        assert calls == [1, 2, 3, 4]


def xavier_bound(inputs, outputs):
    return (6 / (inputs + outputs)) ** 0.5


@torch.no_grad()
def test_a_fusion_is_the_loop_over_its_heads():
    """Eq. 2, head by head and with the guide at every pixel."""
    torch.manual_seed(0)
    fusion = FusionUnit(6, 4, heads=5)
    for parameter in fusion.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    state = torch.randn(2, 4, 7, 5)
    for guide in (torch.randn(2, 6, 1, 1), torch.randn(2, 6, 3, 2)):
        everywhere = F.interpolate(guide, (7, 5), mode="bilinear", align_corners=False)
        total = torch.zeros_like(state)
        for head in range(5):
            rows = slice(4 * head, 4 * head + 4)
            of_guide = F.conv2d(everywhere, fusion.guide.weight[rows], fusion.guide.bias[rows])
            of_state = F.conv2d(state, fusion.guided.weight[rows], fusion.guided.bias[rows])
            total += of_guide.tanh() * of_state.tanh()
        torch.testing.assert_close(fusion(guide, state), total.tanh())


def test_heads_and_gates_start_each_on_its_own():
    torch.manual_seed(0)
    fusion, gru, lstm = FusionUnit(64, 32, heads=5), ConvGRU(16), ConvLSTM(16)
    for conv, parts, bound in [
        (fusion.guide, 5, xavier_bound(64, 32)),
        (fusion.guided, 5, xavier_bound(32, 32)),
        (gru.gates, 2, xavier_bound(9 * 32, 9 * 16)),
        (lstm.gates, 4, xavier_bound(9 * 32, 9 * 16)),
    ]:
        largest = [part.abs().max().item() for part in conv.weight.chunk(parts)]
        assert largest == pytest.approx([bound] * parts, rel=0.02) and not conv.bias.any()


@torch.no_grad()
def test_what_is_fused_does_not_fade_from_layer_to_layer():
    torch.manual_seed(0)
    igf = IGF(DCMFNetConfig(), 256, 256, 64, 64, 64)
    spread = []
    for fusion in igf.fusions:
        fusion.register_forward_hook(lambda module, inputs, out: spread.append(out.std().item()))
    igf(torch.randn(2, 256, 1, 1), torch.randn(2, 64, 12, 12))
    assert spread[0] > 0.5 and spread[-1] > 0.2


@torch.no_grad()
def test_an_igf_reads_what_its_table_says():
    """Eqs. 1, 3 and 4, and the rows of Table 5, written out."""
    for output in ("F", "F_last", "G_last", "F_and_G_last"):
        torch.manual_seed(0)
        igf = IGF(TINY.replace(igf_output=output), 6, 5, 4, 8, 3)
        sentence, y = torch.randn(2, 6, 1, 1), torch.randn(2, 4, 7, 5)
        guide, state, fused = igf.guide(sentence), igf.narrow(y), []
        for layer, fusion in enumerate(igf.fusions):
            fused.append(fusion(guide, state))
            if layer < len(igf.gates):
                gate = igf.gates[layer]
                z = gate.attend(fused[-1] + state).sigmoid()
                state = gate.join(torch.cat([fused[-1], fused[-1] * z], 1)).tanh()
        read = {"F": fused, "F_last": fused[-1:], "G_last": [state], "F_and_G_last": [*fused[:2], state]}[output]
        torch.testing.assert_close(igf(sentence, igf.narrow(y)), igf.output(torch.cat(read, 1)))
        assert len(igf.gates) == (3 if "G" in output else 2)


@torch.no_grad()
def test_the_recurrent_gates_are_those_of_their_equations():
    torch.manual_seed(0)
    gru, lstm = ConvGRU(4), ConvLSTM(4)
    fused, state, memory = torch.randn(3, 2, 4, 6, 5)
    reset, update = gru.gates(torch.cat([fused, state], 1)).sigmoid().split(4, 1)
    new = gru.candidate(torch.cat([fused, reset * state], 1)).tanh()
    torch.testing.assert_close(gru(fused, state, None)[0], update * state + (1 - update) * new)
    take, keep, give, new = lstm.gates(torch.cat([fused, state], 1)).split(4, 1)
    for before in (None, memory):
        now = take.sigmoid() * new.tanh() + (0 if before is None else keep.sigmoid() * before)
        torch.testing.assert_close(lstm(fused, state, before), (give.sigmoid() * now.tanh(), now))


@torch.no_grad()
def test_the_memory_of_an_lstm_goes_from_layer_to_layer():
    igf = IGF(TINY.replace(gate="conv_lstm"), 6, 5, 4, 8, 3)
    given = []
    for gate in igf.gates:
        gate.register_forward_hook(lambda module, inputs, out: given.append((inputs[2], out[1])))
    igf(torch.randn(2, 6, 1, 1), torch.randn(2, 8, 7, 5))
    assert given[0][0] is None and given[1][0] is given[0][1]


@torch.no_grad()
def test_the_other_fusions_of_the_detail_are_those_of_their_equations():
    torch.manual_seed(0)
    a, b = torch.randn(2, 2, 4, 6, 5)
    exchange, both_ways = GatedExchange(4), GatedBothWays(4)
    total = 0
    for gates, itself, other in zip(exchange.gates, (a, b), (b, a), strict=True):
        i, m, r = gates(itself).split(4, 1)
        m, r = (m + 1).sigmoid(), (r + 1).sigmoid()
        total = total + r * (m * other + (1 - m) * i).tanh() + (1 - r) * itself
    torch.testing.assert_close(exchange(a, b), total)
    into = [
        gate[2](gate[0](torch.cat(pair, 1)).relu()).sigmoid() * pair[0] + pair[1]
        for gate, pair in zip(both_ways.gates, ((a, b), (b, a)), strict=True)
    ]
    torch.testing.assert_close(both_ways(a, b), both_ways.output(into[0] + into[1]).relu())


def test_swins_maps_are_normed_where_they_are_read_and_never_on_their_way_to_the_next_stage():
    swin = TINY.replace(image_encoder=ENCODERS["swin"])
    normed = {
        swin: "V1 V2 V4",
        swin.replace(detail_fusion="none"): "V2 V4",
        swin.replace(guided_stages=()): "V1 V2 V3 V4",
        swin.replace(guided_stages=("V2",)): "V1 V3 V4",
        swin.replace(norm_guided=True): "V1 V2 V3 V4",
        TINY: "",
        TINY.replace(norm_guided=True): "V3 V4",
    }
    for config, places in normed.items():
        assert " ".join(place for place in ("V1", "V2", "V3", "V4") if is_normed(config, place)) == places
    network = tiny(swin.replace(guided_stages=("V4",)))
    _, maps = shown(network.image_encoder.stages[2], lambda: network(*asked()))
    image, *_ = asked()
    raw = network.image_encoder(image)
    torch.testing.assert_close(maps[0], raw[1])


@pytest.mark.parametrize("kind", ["resnet", "darknet"])
def test_frozen_norms_of_the_encoder_keep_everything(kind):
    network = tiny(TINY.replace(image_encoder=ENCODERS[kind], freeze_encoder_norm=True, narrowing=8)).train()
    before = {key: value.clone() for key, value in network.image_encoder.named_buffers()}
    network.loss(batch())["loss"].backward()
    assert all(torch.equal(before[key], value) for key, value in network.image_encoder.named_buffers())
    assert not any(p.requires_grad for p in network.parameters() if p.grad is None)
    assert network.join[1].training and network.head[0][1].training


def test_a_threshold_moves_the_mask_and_not_the_loss():
    low, high = (tiny(TINY.replace(threshold=threshold)) for threshold in (0.2, 0.8))
    with torch.no_grad():
        torch.testing.assert_close(low(*asked()).logits - high(*asked()).logits, torch.full((2, 1, 64, 96), 2.7725887))
        torch.testing.assert_close(low.loss(batch())["loss"], high.loss(batch())["loss"])


@torch.no_grad()
def test_fused_maps_gates_and_results_of_every_igf_are_shown_layer_by_layer():
    network, (image, tokens, word_mask) = tiny(), asked()
    layers = ["layer 1: fused", "layer 1: gate", "layer 2: fused", "layer 2: gate", "layer 3: fused"]
    assert [view.name for view in network.views()] == [
        name for place in ("V3", "V4", "M", "V1") for name in (*(f"{place}, {one}" for one in layers), f"{place}: IGF")
    ]
    seen = {}
    for view in network.views():
        view.module.register_forward_hook(lambda m, _, out: seen.update({id(m): out}))
    network(image[:1], tokens[:1], word_mask[:1])
    shapes = [view.read(seen[id(view.module)]).shape for view in network.views()]
    assert shapes == [(1, 4, 6)] * 6 + [(1, 2, 3)] * 12 + [(1, 16, 24)] * 6
    for view in network.views():
        values = view.read(seen[id(view.module)])
        assert values.min() >= 0 and (values.max() <= 1 or view.source.startswith("IGF*")), view.name
    assert {view.source for view in tiny(TINY.replace(gate="conv_gru")).views()} == {
        *(f"F_{layer}, Fig. 7" for layer in (1, 2, 3)),
        "IGF*, Fig. 7",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guided_stages": ("V1",)}, "guided_stages.0: input should be 'V2', 'V3' or 'V4'"),
        ({"guided_stages": ("V3", "V3")}, "guided_stages: a stage is named twice"),
        ({"detail_fusion": "sum"}, "detail_fusion: input should be 'none', 'concat'"),
        ({"igf_output": "G"}, "igf_output: input should be 'F', 'F_last'"),
        ({"gate": "gru"}, "gate: input should be 'asgate', 'conv_gru' or 'conv_lstm'"),
        ({"layers": 0}, "layers: input should be greater than or equal to 1"),
        ({"dropouts": (0.5, 1, 0)}, "dropouts: a dropout is at least 0 and below 1"),
        ({"aspp_rates": (6, 0)}, "aspp_rates.1: input should be greater than or equal to 1"),
        ({"guided": ("V3",)}, "guided: unknown field"),
    ],
)
def test_a_wrong_setting_is_reported_in_one_line(settings, message):
    with pytest.raises(ValidationError) as caught:
        TINY.replace(**settings)
    line = one_line(caught.value)
    assert line.startswith(message) and "\n" not in line


def test_a_stage_that_is_narrowed_to_nothing_is_refused():
    with pytest.raises(InvalidInput, match="narrowing 9 leaves nothing of a stage of 8 channels"):
        DCMFNet(TINY.replace(narrowing=9, guided_stages=("V2",)), VOCABULARY_SIZE)


def test_stages_may_be_named_in_any_order():
    assert TINY.replace(guided_stages=("V4", "V3")) == TINY


# Parameters of everything but the encoders, and thousands of millions of multiply-adds at 480 x 480 if every guide
# were brought to the size of what it guides before anything is made of it.
PUBLISHED = {
    "dcmfnet_swin_base": (16_465_408, 62_356_224, 4_129_280, 3_382_912, 103_101_313, 94.6),
    "dcmfnet_darknet53": (16_465_408, 62_356_224, 4_129_280, 3_382_912, 103_098_497, 94.6),
    "dcmfnet_resnet101": (62_356_224, 242_611_456, 8_258_048, 3_399_296, 333_389_697, 357.4),
}
ENCODER_PARAMETERS = {"dcmfnet_swin_base": 86.9, "dcmfnet_darknet53": 40.6, "dcmfnet_resnet101": 42.5}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(params=PUBLISHED)
def full_size(request):
    with torch.device("meta"):
        return request.param, DCMFNet(PRESETS[request.param], 30522).eval()


def test_every_part_has_the_parameters_that_the_paper_implies(full_size):
    name, network = full_size
    third, fourth, join, detail, everything, _ = PUBLISHED[name]
    assert {place: count(guide) for place, guide in network.guides.items()} == {
        "V3": third,
        "V4": fourth,
        "M": 13_450_496,
    }
    assert (count(network.join), count(network.detail)) == (join, detail)
    assert (count(network.aspp), count(network.head), count(network.sentence)) == (2_231_296, 886_017, 196_864)
    encoders = count(network.image_encoder) + count(network.word_encoder)
    assert count(network) - encoders == everything
    assert count(network.image_encoder) / 1e6 == pytest.approx(ENCODER_PARAMETERS[name], abs=0.05)


def test_multiply_adds_are_those_that_the_paper_implies_less_what_is_computed_at_the_guides_own_size(full_size):
    name, network = full_size
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        encoded = network.image_encoder(torch.zeros(1, 3, 480, 480))
    ours = complexity(name, (480, 480), 30522).multiply_adds - counter.get_total_flops() // 2
    pixels = {place: x.shape[-2] * x.shape[-1] for place, x in zip(("V1", *PLACES), encoded, strict=False)}
    igfs = [(igf, pixels["V4" if place == "M" else place], 1) for place, igf in network.guides.items()]
    saved = 0
    for igf, here, of_guide in [*igfs, (network.detail, pixels["V1"], pixels["V4"])]:
        weights = sum(conv.weight.numel() for conv in (igf.guide, *(fusion.guide for fusion in igf.fusions)))
        saved += weights * (here - of_guide)
    assert (ours + saved) / 1e9 == pytest.approx(PUBLISHED[name][-1], abs=0.05)
    assert saved > 0.04 * ours


@pytest.mark.parametrize(("gate", "parameters"), [(ASGate, 1_769_984), (ConvGRU, 3_539_712), (ConvLSTM, 4_719_616)])
def test_a_gate_has_the_parameters_of_table_6(gate, parameters):
    assert count(gate(256)) == parameters


def test_a_norm_before_the_guided_stage_of_swin_costs_what_it_must():
    with torch.device("meta"):
        network, normed = (
            DCMFNet(DCMFNetConfig(norm_guided=on, layers=1, width=8, detail_width=8, word_encoder="bert_small"), 10)
            for on in (False, True)
        )
    assert count(normed) - count(network) == 1024


def test_the_small_preset_is_small():
    with torch.device("meta"):
        network = DCMFNet(PRESETS["dcmfnet_small"], 30522)
    assert count(network) - count(network.image_encoder) - count(network.word_encoder) < 1.5e6
