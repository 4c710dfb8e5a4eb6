import pytest
import torch
import torch.nn.functional as F

from refseg.blocks.fusion_neck import FusionNeck
from refseg.blocks.pixel_decoder import PixelDecoder, positions_1d, positions_2d
from refseg.conversion.cris import official_name
from refseg.conversion.official_layout import TensorSlice
from refseg.encoders.clip_image import AttentionPool
from refseg.encoders.clip_text import ClipWords
from refseg.encoders.configs import ClipTextConfig
from refseg.networks.cris import CRIS, PRESETS, Projector, to_image

WHOLE = 2e-5
START, END = 49406, 49407


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def filled(module, weights, ours="", theirs=""):
    """The module with the release's weights; `ours` and `theirs` stand before its keys in the whole networks."""
    state = {}
    for key, own in module.state_dict().items():
        name = official_name(f"{ours}{key}")
        piece = name if isinstance(name, TensorSlice) else TensorSlice(name)
        value = weights[piece.name.removeprefix(theirs)]
        value = value.chunk(piece.of)[piece.part] if piece.of > 1 else value.mT if piece.transposed else value
        state[key] = value.reshape(own.shape)
    module.load_state_dict(state)
    return module.eval()


def spoken(g, name, lengths, count):
    """Tokens (M, T) and their word_mask, with CLIP's start and end."""
    tokens, mask = g.input("tokens", name, lengths, count)
    tokens[:, 0] = START
    tokens[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = END
    return tokens, mask.bool()


def outputs_of(modules):
    """What the named modules give in the next forward pass."""
    seen = {}
    for name, module in modules.items():
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
    return seen


def neck_outputs(neck, name):
    return {f"{name}f5": neck.fuse, f"{name}f4": neck.join_16, f"{name}f3": neck.join_8, f"{name}aggr": neck.sum}


def test_neck(golden):
    g = golden("cris_neck")
    neck = filled(FusionNeck((32, 64, 48), 48, (16, 32, 64), out=32), g.weights(), "neck.", "neck.")
    levels = [
        F.relu(g.input("noise", f"module/v{n}c", (2, channels, 64 // 2 ** (n - 1), 48 // 2 ** (n - 1))))
        for n, channels in ((3, 32), (4, 64), (5, 48))
    ]
    seen = outputs_of(neck_outputs(neck, ""))
    g.check("out", neck(neck.project(levels), g.input("noise", "module/state", (2, 48))))
    for name, output in seen.items():
        g.check(name, output)


def test_decoder(golden):
    g = golden("cris_decoder")
    decoder = filled(PixelDecoder(64, 2, feed_forward=128), g.weights(), "decoder.", "decoder.")
    pixels, words = g.input("noise", "module/visual5x7", (2, 64, 5, 7)), g.input("noise", "module/words64", (2, 20, 64))
    g.check("pos2d", positions_2d(5, 7, pixels.flatten(2).mT))
    g.check("pos1d", positions_1d(20, words))
    seen = outputs_of({f"layers.{i}": layer for i, layer in enumerate(decoder.layers)})
    g.check("out", decoder(pixels, words, g.input("tokens", "module/tokens", [11, 7])[1].bool()).flatten(2))
    for name, output in seen.items():
        g.check(name, output.transpose(0, 1))


def test_projector(golden):
    g = golden("cris_projector")
    projector = filled(Projector(64, 48), g.weights(), "projector.", "proj.")
    seen = outputs_of({"vis": projector.up, "txt": projector.kernel})
    g.check("out", projector(g.input("noise", "module/x64", (2, 64, 5, 7)), g.input("noise", "module/state", (2, 48))))
    for name, output in seen.items():
        g.check(name, output)


def test_attention_pool(golden):
    g = golden("cris_attention_pool")
    pool = filled(AttentionPool(64, 48, 4), g.weights(), "pool.", "backbone.visual.attnpool.")
    x = g.input("noise", "module/x64", (2, 64, 5, 8))
    alone, none = pool(x, vector=False)
    g.check("out", alone)
    assert none is None
    g.check("out", pool(x)[0])


def test_text(golden):
    g = golden("cris_text")
    encoder = ClipWords(ClipTextConfig(width=64, layers=2, heads=4, joint=32), 49408)
    filled(encoder, g.weights(), "word_encoder.", "backbone.")
    tokens, word_mask = spoken(g, "module/tokens", [11, 7], 20)
    words = encoder(tokens, word_mask)
    g.check("words", words)
    g.check("state", encoder.sentence(words, word_mask))


@pytest.mark.full_size
def test_whole_network(golden):
    g = golden("cris_resnet50")
    network = filled(CRIS(PRESETS["cris_resnet50"], 49408), g.weights())
    image = g.input("image", "input/image", 1, 416, 416)
    tokens, word_mask = spoken(g, "input/tokens", [11], 17)
    stages = {f"visual.layer{i}": stage for i, stage in enumerate(network.image_encoder.stages, start=1)}
    layers = {f"decoder.layers.{i}": layer for i, layer in enumerate(network.decoder.layers)}
    seen = outputs_of(
        {"visual.stem": network.image_encoder.net.stem, "neck.txt_proj": network.neck.fuse.project_norm}
        | stages
        | neck_outputs(network.neck, "neck.")
        | {"neck": network.neck, "proj.vis": network.projector.up, "proj.txt": network.projector.kernel}
    )
    seen_layers = outputs_of(layers)

    *levels, _ = network.levels(image)
    words = network.encode_words(tokens, word_mask)
    sentence = network.word_encoder.sentence(words, word_mask)
    projected = network.neck.project(levels)
    decoded = network.decoded(projected, words, word_mask, sentence)
    logits = network.projector(decoded, sentence)
    g.check("visual.attnpool", levels[2], WHOLE)
    g.check("words", words, WHOLE)
    g.check("state", sentence, WHOLE)
    for name, x in seen.items():
        g.check(name, F.relu(x.flatten(1)) if name == "neck.txt_proj" else x, WHOLE)
    for name, x in seen_layers.items():
        g.check(name, x.transpose(0, 1), WHOLE)
    g.check("decoder", decoded.flatten(2), WHOLE)
    g.check("out", logits, WHOLE)
    g.check("probability", to_image(logits, (416, 416)).sigmoid(), WHOLE)
    g.check_mask(network(image, tokens, word_mask).logits)
