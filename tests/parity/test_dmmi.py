import pytest
import torch
import torch.nn.functional as F

from refseg import networks
from refseg.conversion.dmmi import DMMILayout, official_name
from refseg.encoders import build_word_encoder
from refseg.encoders.configs import BertConfig
from refseg.networks.dmmi import (
    MBA,
    PRESETS,
    ContextClueRecovery,
    ContrastiveLoss,
    Decoder,
    Gate,
    QueryLayer,
    StageFusion,
    Summary,
    as_map,
    as_pixels,
    similarity_loss,
)

SWIN, RESNET = PRESETS["dmmi_swin_base"], PRESETS["dmmi_resnet101"]
WHOLE = 1e-4


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def filled(module, weights, ours, theirs, config=SWIN):
    """The module with the release's weights; `ours` and `theirs` stand before its keys in the whole networks."""
    state = {}
    for key, own in module.state_dict().items():
        state[key] = weights[official_name(f"{ours}{key}", config).removeprefix(theirs)].reshape(own.shape)
    module.load_state_dict(state)
    return module.eval()


def spoken(g, name="module/text", count=2):
    """Words (M, T, 768)."""
    return g.input("noise", name, (count, 768, 20)).mT


def mask_of(g):
    return g.input("tokens", "module/tokens", [11, 7])[1].bool()


def outputs_of(modules):
    """What the named modules give in the next forward pass."""
    seen = {}
    for name, module in modules.items():
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
    return seen


def test_mba(golden):
    g = golden("dmmi_mba")
    mba = filled(MBA(SWIN, 64, 768), g.weights(), "fusions.0.mba.", "backbone.layers.0.fusion.")
    attention = {f"refineimg{r}{r}": m for r, m in zip(SWIN.regions, mba.text_to_image.regions, strict=True)}
    attention |= {f"refinelan{w}1": m for w, m in zip(SWIN.windows, mba.image_to_text.windows, strict=True)}
    seen = outputs_of(attention)
    visual, text = mba(g.input("noise", "module/visual36x64", (2, 36, 64)), (6, 6), spoken(g), mask_of(g))
    for name, output in seen.items():
        g.check(name, output.unsqueeze(1))
    g.check("visual", visual)
    g.check("text", text.mT)


def test_mba_through_the_covariance_of_pixels(golden, monkeypatch):
    g = golden("dmmi_mba")
    mba = filled(MBA(SWIN, 64, 768), g.weights(), "fusions.0.mba.", "backbone.layers.0.fusion.")
    monkeypatch.setattr("refseg.networks.dmmi.MIN_PIXELS_PER_CHANNEL", 0)
    visual, text = mba(g.input("noise", "module/visual36x64", (2, 36, 64)), (6, 6), spoken(g), mask_of(g))
    g.check("text", text.mT)


def test_fusion_block(golden):
    g = golden("dmmi_fusion_block")
    block = StageFusion(RESNET.as_published(), 64, 768, gated=True)
    filled(block, g.weights(), "fusions.0.", "backbone.all_fusion1.", RESNET)
    visual, skip, words = block(g.input("noise", "module/visual64", (2, 64, 6, 6)), spoken(g), mask_of(g))
    g.check("visual", visual)
    g.check("visual", skip)
    g.check("text", words.mT)


def test_query_layer(golden):
    g = golden("dmmi_query_layer")
    layer = filled(QueryLayer(SWIN), g.weights(), "decoder.query_16.", "classifier.transformer_fusion1.")
    pixels = as_pixels(g.input("noise", "module/visual768", (2, 768, 6, 6)))
    g.check("out", as_map(layer(pixels, spoken(g)), (6, 6)))


def test_context_clue_recovery(golden):
    g = golden("dmmi_ccr")
    recovery = filled(ContextClueRecovery(SWIN), g.weights(), "recovery.", "classifier.lan_func.")
    g.check("out", recovery(g.input("noise", "module/visual768", (2, 768, 6, 6)), spoken(g)).mT)


def test_decoder(golden):
    g = golden("dmmi_decoder")
    weights = g.weights()
    decoder = filled(Decoder(SWIN, (16, 32, 64, 128)), weights, "decoder.", "classifier.")
    summary = filled(Summary(768), weights, "summary.", "classifier.")
    recovery = filled(ContextClueRecovery(SWIN), weights, "recovery.", "classifier.")
    skips = [g.input("noise", f"module/dmmi_c{n}", (2, 8 * 2**n, 48 // 2**n, 48 // 2**n)) for n in (1, 2, 3, 4)]
    maps = []
    g.check("logits", decoder(list(skips), spoken(g), maps.append).permute(0, 3, 1, 2))
    g.check("pooled", summary(maps))
    g.check("recovered", recovery(maps[1], spoken(g, "module/text_erased")).mT)
    g.check("logits", decoder(skips, spoken(g)).permute(0, 3, 1, 2))


def test_contrastive_loss(golden):
    g = golden("dmmi_loss_contrastive")
    loss = filled(ContrastiveLoss(768, 0.05), g.weights(), "contrast.", "contrastive.")
    image, named = g.input("noise", "module/pooled", (3, 768)), torch.tensor([True, False, True])
    g.check("loss", loss(image, spoken(g, "module/text3", 3), named)[None])


def test_similarity_loss(golden):
    g = golden("dmmi_loss_similarity")
    words, other = spoken(g, "module/text3", 3), spoken(g, "module/text3b", 3)
    word_mask = g.input("tokens", "module/tokens3", [11, 7, 20])[1].bool()
    g.check("loss", similarity_loss(words, words + 0.7 * other, word_mask, torch.tensor([True, False, True]))[None])


def test_words(golden):
    g = golden("bert_base")
    weights = {f"bert.{key}": value for key, value in g.weights().items() if not key.startswith("pooler.")}
    encoder = build_word_encoder(BertConfig(), 30522).eval()
    encoder.load_state_dict(weights)
    tokens, mask = g.input("tokens", "input/tokens", [11])
    erased = tokens.clone()
    erased[:, 4:6] = 0
    g.check("text", encoder(tokens, mask.bool()).mT)
    g.check("text_erased", encoder(erased, mask.bool()).mT)


def whole(g, config):
    """The network with the release's weights, and its inputs: image, words, word_mask, erased words."""
    network = networks.build("dmmi", config.replace(word_encoder=BertConfig(layers=1, feed_forward=16)), 30)
    weights, own = g.weights(), network.state_dict()
    state = {key: weights[name].reshape(own[key].shape) for key, name in DMMILayout().official_names(network).items()}
    rest = network.load_state_dict(state, strict=False)
    assert not rest.unexpected_keys and all(key.startswith("word_encoder.") for key in rest.missing_keys)
    size = g.about["image_size"]
    length, said = (15, 9) if g.name.endswith("448") else (20, 11)
    image = g.input("image", "input/image", 1, size, size)
    words, erased = (g.input("noise", f"input/{name}", (1, 768, length)).mT for name in ("text", "text_erased"))
    return network.eval(), image, words, g.input("tokens", "input/tokens", [said], length)[1].bool(), erased


def check_decoder(g, network, skips, words, erased, size_hw):
    """All that the decoder and the branch for training give; the maps that the decoder read."""
    for n, skip in enumerate(skips, start=1):
        g.check(f"v{n}", skip, WHOLE)
    pixels = {"transformer_fusion1": network.decoder.query_16, "transformer_fusion2": network.decoder.query_8}
    vectors = {"crossfuse1": network.summary.joins[0], "crossfuse2": network.summary.joins[1]}
    seen, maps = outputs_of(pixels | vectors), []
    logits = network.decoder(list(skips), words, maps.append).permute(0, 3, 1, 2)
    network.summary(maps)
    for name, x in zip(("relu2_4", "relu2_3", "relu2_2"), maps, strict=True):
        g.check(f"decoder.{name}", x, WHOLE)
    for name, x in zip(pixels, maps, strict=False):
        g.check(f"decoder.{name}", as_map(seen[name], x.shape[-2:]), WHOLE)
    for name in vectors:
        g.check(f"decoder.{name}", seen[name], WHOLE)
    g.check("decoder.lan_func", network.recovery(maps[1], erased).mT, WHOLE)
    g.check("decoder.conv1_1", logits, WHOLE)
    g.check("out", F.interpolate(logits, size_hw, mode="bilinear", align_corners=True), WHOLE)


@pytest.mark.full_size
@pytest.mark.parametrize("name", ["dmmi_swin_base", "dmmi_swin_base_448"])
def test_whole_network_with_swin(golden, name):
    g = golden(name)
    network, image, words, word_mask, erased = whole(g, SWIN)
    net = network.image_encoder.net
    patches = outputs_of({"patch_embed": net.patch_embed})
    stages = outputs_of({f"layers.{i}.blocks": layer for i, layer in enumerate(net.layers)})
    merged = outputs_of({f"layers.{i}.next": net.layers[i + 1].downsample for i in range(3)})
    attended = outputs_of({f"layers.{i}.mba": fusion.mba for i, fusion in enumerate(network.fusions)})
    fused = outputs_of({f"layers.{i}.text": fusion for i, fusion in enumerate(network.fusions)})

    features = network.encode_image(image)
    skips, text = network.fused_stages(features.first, words, word_mask)
    g.check("patch_embed", patches["patch_embed"].permute(0, 3, 1, 2), WHOLE)
    for name, x in {**stages, **merged}.items():
        g.check(name, x.flatten(1, 2), WHOLE)
    for name, (visual, seen) in attended.items():
        g.check(f"{name}.visual", visual, WHOLE)
        g.check(f"{name}.text", seen.mT, WHOLE)
    for name, (_, _, updated) in fused.items():
        g.check(name, updated.mT, WHOLE)
    gate = filled(Gate(1024, None), g.weights(), "fusions.3.gate.", "")  # which nothing reads
    visual = attended["layers.3.mba"][0]
    g.check("layers.3.next", gate(stages["layers.3.blocks"].flatten(1, 2), visual), WHOLE)
    check_decoder(g, network, skips, text, erased, features.size_hw)
    g.check_mask(network.fuse(features, words, word_mask, torch.tensor([0])).logits)


@pytest.mark.full_size
def test_whole_network_with_resnet(golden):
    g = golden("dmmi_resnet101")
    network, image, words, word_mask, erased = whole(g, RESNET)
    stages = outputs_of({f"layer{i}": stage for i, stage in enumerate(network.image_encoder.stages, start=1)})
    attended = outputs_of({f"fusion{i}.mba": fusion.mba for i, fusion in enumerate(network.fusions, start=1)})
    fused = outputs_of({f"text{i}": fusion for i, fusion in enumerate(network.fusions, start=1)})

    features = network.encode_image(image)
    skips, text = network.fused_stages(features.first, words, word_mask)
    for name, x in stages.items():
        g.check(name, x, WHOLE)
    for name, (visual, seen) in attended.items():
        g.check(f"{name}.visual", visual, WHOLE)
        g.check(f"{name}.text", seen.mT, WHOLE)
    for name, (_, _, updated) in fused.items():
        g.check(name, updated.mT, WHOLE)
    check_decoder(g, network, skips, text, erased, features.size_hw)
    g.check_mask(network.fuse(features, words, word_mask, torch.tensor([0])).logits)
