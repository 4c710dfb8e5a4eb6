import pytest
import torch
import torch.nn.functional as F

from refseg.blocks.language_gate import Gate
from refseg.conversion.lavt import LAVTLayout, official_name
from refseg.encoders.configs import BertConfig
from refseg.networks.lavt import LAVT, PRESETS, PWAM, Decoder

SWIN = PRESETS["lavt_swin_base"]
WHOLE = 1e-4


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def filled(module, weights, ours, theirs):
    """The module with the release's weights; `ours` and `theirs` stand before its keys in the whole networks."""
    state = {}
    for key, own in module.state_dict().items():
        state[key] = weights[official_name(f"{ours}{key}").removeprefix(theirs)].reshape(own.shape)
    module.load_state_dict(state)
    return module.eval()


def outputs_of(modules):
    """What the named modules give in the next forward pass."""
    seen = {}
    for name, module in modules.items():
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
    return seen


@pytest.mark.parametrize(("name", "heads"), [("lavt_pwam_gate", 1), ("lavt_pwam_gate_heads4", 4)])
def test_pixel_word_attention_and_gate(golden, name, heads):
    g = golden(name)
    weights, start = g.weights(), "backbone.layers.0."
    pwam = filled(PWAM(64, 768, heads), weights, "fusions.0.pwam.", start)
    gate = filled(Gate(64, "small"), weights, "fusions.0.gate.", start)
    seen = outputs_of({"attention": pwam.attention, "gate": gate.layers})
    pixels, words = (
        g.input("noise", "module/visual36x64", (2, 36, 64)),
        g.input("noise", "module/text", (2, 768, 20)).mT,
    )
    residual = pwam(pixels, words, g.input("tokens", "module/tokens", [11, 7])[1].bool())
    g.check("residual", residual)
    g.check("next", gate(pixels, residual))
    for name, output in seen.items():
        g.check(name, output)


def test_decoder(golden):
    g = golden("lavt_decoder")
    decoder = filled(Decoder((8, 16, 32, 64), 32), g.weights(), "decoder.", "classifier.")
    sizes = {1: (20, 28), 2: (10, 14), 3: (5, 7), 4: (3, 4)}
    levels = [g.input("noise", f"module/v{n}", (2, 4 * 2**n, *size)) for n, size in sizes.items()]
    g.check("logits", decoder(levels).permute(0, 3, 1, 2))


def whole(g, config):
    """The network with the release's weights, those of its words apart, and these."""
    network, weights = LAVT(config, 30522), g.weights()
    own = network.state_dict()
    state = {key: weights[name].reshape(own[key].shape) for key, name in LAVTLayout().official_names(network).items()}
    rest = network.load_state_dict(state, strict=False)
    assert not rest.unexpected_keys and all(key.startswith("word_encoder.") for key in rest.missing_keys)
    return network.eval(), weights


def check_all(g, network, weights, words):
    """Everything that the network computes for an expression of 11 words."""
    side = g.about["image_size"]
    image = g.input("image", "input/image", 1, side, side)
    word_mask = g.input("tokens", "input/tokens", [11])[1].bool()
    net, fusions = network.image_encoder.net, network.fusions
    patches = outputs_of({"patch_embed": net.patch_embed})
    stages = outputs_of({f"layers.{i}.blocks": layer for i, layer in enumerate(net.layers)})
    merged = outputs_of({f"layers.{i}.next": net.layers[i + 1].downsample for i in range(3)})
    attention = outputs_of({f"layers.{i}.attention": fusion.pwam.attention for i, fusion in enumerate(fusions)})
    attended = outputs_of({f"layers.{i}.pwam": fusion.pwam for i, fusion in enumerate(fusions)})
    gates = outputs_of({f"layers.{i}.gate": fusion.gate.layers for i, fusion in enumerate(fusions) if fusion.gate})
    joined = outputs_of({"decoder.relu2_4": network.decoder.join_16, "decoder.relu2_3": network.decoder.join_8})

    features = network.encode_image(image)
    levels = network.levels(features.first, words, word_mask)
    logits = network.decoder(levels).permute(0, 3, 1, 2)
    g.check("patch_embed", patches["patch_embed"].permute(0, 3, 1, 2), WHOLE)
    for name, x in {**stages, **merged}.items():
        g.check(name, x.flatten(1, 2), WHOLE)
    for name, x in {**attention, **attended, **gates, **joined}.items():
        g.check(name, x, WHOLE)
    last = filled(Gate(fusions[-1].norm.weight.numel(), None), weights, "fusions.3.gate.", "")  # which nothing reads
    pixels = stages["layers.3.blocks"].flatten(1, 2)
    g.check("layers.3.gate", last.layers(attended["layers.3.pwam"]), WHOLE)
    g.check("layers.3.next", last(pixels, attended["layers.3.pwam"]), WHOLE)
    for n, level in enumerate(levels, start=1):
        g.check(f"v{n}", level, WHOLE)
    finest, *coarser = levels
    g.check("decoder.relu2_2", network.decoder.join_4(network.decoder.joined(coarser), finest), WHOLE)
    g.check("decoder.conv1_1", logits, WHOLE)
    g.check("out", F.interpolate(logits, (side, side), mode="bilinear", align_corners=True), WHOLE)
    g.check_mask(network.fuse(features, words, word_mask, torch.tensor([0])).logits)


@pytest.mark.full_size
def test_whole_network(golden):
    g = golden("lavt_swin_base")
    network, weights = whole(g, SWIN.replace(word_encoder=BertConfig(layers=1, feed_forward=16)))
    check_all(g, network, weights, g.input("noise", "input/text", (1, 768, 20)).mT)


@pytest.mark.full_size
def test_whole_network_with_its_words(golden):
    g = golden("lavt_one_swin_base")
    network, weights = whole(g, SWIN)
    start = "text_encoder."
    bert = {key.removeprefix(start): value for key, value in weights.items() if key.startswith(start)}
    network.word_encoder.bert.load_state_dict(bert)
    tokens, mask = g.input("tokens", "input/tokens", [11])
    words = network.encode_words(tokens, mask.bool())
    g.check("text", words.mT, WHOLE)
    check_all(g, network, weights, words)
