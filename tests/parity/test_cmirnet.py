import pytest
import torch
import torch.nn.functional as F

from refseg import networks
from refseg.blocks.aspp import ASPP
from refseg.conversion.cmirnet import SWIN, CMIRNetLayout, official_name
from refseg.encoders.configs import BertConfig
from refseg.losses import weighted_cross_entropy
from refseg.networks.cmirnet.config import PRESETS, CGIConfig, CGIPConfig, CMAEConfig, IGRConfig
from refseg.networks.cmirnet.decoder import CMAE, Decoder, DecoderInputs
from refseg.networks.cmirnet.graph import CGI, CGIP, IGR, nearest_words
from refseg.networks.cmirnet.guidance import TGMM, pixels_of
from refseg.recipes.schedules import LineThenPolynomial

RESNET, SWIN_BASE = PRESETS["cmirnet_resnet50"], PRESETS["cmirnet_swin_base"]


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def filled(module, weights, ours, theirs, config):
    """The module with the release's weights; `ours` and `theirs` stand before its keys in the whole networks."""
    state = {}
    for key, own in module.state_dict().items():
        names = official_name(f"{ours}{key}", config)
        names = (names,) if isinstance(names, str) else names
        tensors = [weights[name.removeprefix(theirs)] for name in names]
        state[key] = (torch.cat(tensors) if tensors[0].ndim else tensors[0]).reshape(own.shape)
    module.load_state_dict(state)
    return module.eval()


def spoken(g):
    """Text (2, T, 768), the sentence (2, 768) and the mask (2, T) of the module goldens."""
    text = g.input("noise", "module/text", (2, 768, 20)).mT
    return text, g.input("noise", "module/sentence", (2, 768)), g.input("tokens", "module/tokens", [11, 7])[1].bool()


def test_tgmm_of_the_resnet_release(golden):
    g = golden("cmirnet_tgmm_resnet")
    module = TGMM(RESNET.tgmm, 8, 64, 768, 32, words=True, sentence=True)
    filled(module, g.weights(), "tgmm.3.", "TGMM3.", RESNET)
    visual, words, sentence = module(g.input("noise", "module/visual64", (2, 64, 6, 6)), *spoken(g))
    g.check("visual", visual)
    g.check("words", words.mT)
    g.check("sentence", sentence[..., None])


def test_tgmm_of_the_swin_release(golden):
    g = golden("cmirnet_tgmm_swin")
    module = TGMM(SWIN_BASE.tgmm, 8, 64, 768, 512, words=True, sentence=True)
    filled(module, g.weights(), "tgmm.6.", f"{SWIN}TGMM_aspp.", SWIN_BASE)
    pixels = g.input("noise", "module/visual35x64", (2, 35, 64))
    visual, words, sentence = module(pixels.mT.unflatten(-1, (5, 7)), *spoken(g))
    g.check("visual", pixels_of(visual))
    g.check("words", words.mT)
    g.check("sentence", sentence[..., None])


def test_aspp(golden):
    g = golden("cmirnet_aspp")
    module = filled(ASPP(64, 32, 128, (3, 6, 9)), g.weights(), "aspp.", "aspp.", RESNET)
    g.check("out", module(g.input("noise", "module/visual64", (2, 64, 6, 6))))


def test_cgi(golden):
    g = golden("cmirnet_cgi")
    module = filled(CGI(CGIConfig(), 64), g.weights(), "cgip.interact.", "gcn.CGI.", RESNET)
    x, words = g.input("noise", "module/visual64", (2, 64, 6, 6)), g.input("noise", "module/words0", (2, 64, 20)).mT
    g.check("out", module(x, words, torch.ones(2, 20, dtype=torch.bool)))


def test_nearest_words(golden):
    g = golden("cmirnet_cgi")
    x, words = g.input("noise", "module/visual64", (2, 64, 6, 6)), g.input("noise", "module/words0", (2, 64, 20)).mT
    pixels, words = (each.unflatten(-1, (8, 8)) for each in (pixels_of(x), words))
    near = nearest_words(pixels, words, torch.ones(2, 20, dtype=torch.bool), 9)
    for head in (0, 7):
        assert near[..., head].flatten().tolist() == g.stored[f"knn{head}"].flatten().tolist()


def test_igr(golden):
    g = golden("cmirnet_igr")
    module = filled(IGR(IGRConfig(), 64), g.weights(), "cgip.igr.", "gcn.IGR.", RESNET)
    g.check("out", module(g.input("noise", "module/visual64", (2, 64, 6, 6))))


def test_cgip(golden):
    g = golden("cmirnet_cgip_resnet")
    module = filled(CGIP(CGIPConfig(), 2048, 768, 128), g.weights(), "cgip.", "gcn.", RESNET)
    seen = outputs_of({"conv_V": module.visual, "CGI": module.interact, "IGR": module.igr})
    words = [g.input("noise", f"module/words128_{i}", (2, 128, 20)).mT for i in range(4)]
    text, _, mask = spoken(g)
    g.check("out", module(g.input("noise", "module/visual2048", (2, 2048, 5, 7)), text, words, mask))
    for name, output in seen.items():
        g.check(name, output)


def test_attention_of_the_decoder(golden):
    g = golden("cmirnet_cmae_fusion")
    module = filled(CMAE(64, CMAEConfig()), g.weights(), "decoder.stages.6.attend.", "cmae.fusionaspp.", RESNET)
    seen = outputs_of({"spatial": module.look, "channel": module.channel})
    sentence = g.input("noise", "module/sentence64", (2, 64, 1))[..., 0]
    g.check("out", module(g.input("noise", "module/visual64", (2, 64, 6, 6)), sentence))
    g.check("spatial", seen["spatial"])
    g.check("channel", seen["channel"][..., None])


@pytest.mark.parametrize("flavour", ["resnet", "swin"])
def test_decoder(golden, flavour):
    g = golden(f"cmirnet_cmae_{flavour}")
    if flavour == "resnet":
        config, name = RESNET, "module/decoder"
        sizes = {1: (64, 48), 2: (256, 24), 3: (512, 12), 4: (1024, 6), 5: (2048, 3), 6: (2048, 3)}
    else:
        config, name = SWIN_BASE, "module/decoder_swin"
        sizes = {2: (128, 24), 3: (256, 12), 4: (512, 6), 5: (1024, 3), 6: (1024, 3)}
    module = Decoder({stage: channels for stage, (channels, _) in sizes.items()}, 64, config)
    filled(module, g.weights(), "decoder.", "cmae.", config)
    maps = {s: g.input("noise", f"{name}{i}", (2, c, side, side)) for i, (s, (c, side)) in enumerate(sizes.items())}
    graph = g.input("noise", f"{name}{len(sizes)}", (2, 64, 3, 3))
    sentences = {s: g.input("noise", f"module/sentence64_{s - 3}", (2, 64, 1))[..., 0] for s in (3, 4, 5, 6)}
    decoded = module(DecoderInputs(maps, graph, sentences))
    for stage, x in decoded.items():
        g.check(f"f{label(stage, flavour)}", x)


def test_loss(golden):
    g = golden("cmirnet_loss")
    target = g.input("labels", "module/labels", 2, 24, 24)
    target[0, 0] = 255
    logits = [g.input("noise", f"module/logits{i}", (2, 2, 24, 24)) for i in range(6)]
    each = torch.stack([weighted_cross_entropy(two[:, 1:] - two[:, :1], target) for two in logits])
    g.check("each", each)
    g.check("total", each.mean()[None])


@pytest.mark.parametrize("flavour", ["resnet", "swin"])
def test_schedule(golden, flavour):
    first, drop = {"resnet": (5, 0.4), "swin": (10, 0.5)}[flavour]
    for iteration, factor in golden("cmirnet_schedule").about[flavour].items():
        schedule = LineThenPolynomial(first_epochs=first, drop=drop)
        assert schedule(int(iteration), 100 * 30, 100) == pytest.approx(factor, abs=1e-9)


@pytest.mark.full_size
@pytest.mark.parametrize("name", ["cmirnet_swin_base", "cmirnet_resnet50"])
def test_the_whole_network(golden, name):
    g = golden(name)
    flavour = "resnet" if "resnet" in name else "swin"
    network = networks.build(name, {"word_encoder": BertConfig(layers=0)}, 2).eval()
    weights, ours, state = g.weights(), network.state_dict(), {}
    for key, names in CMIRNetLayout().official_names(network).items():
        tensors = [weights[each] for each in ((names,) if isinstance(names, str) else names)]
        state[key] = (torch.cat(tensors) if tensors[0].ndim else tensors[0]).reshape(ours[key].shape)
    network.load_state_dict(state | {k: v for k, v in ours.items() if k.startswith("word_encoder.")})
    words = g.input("noise", "input/text", (1, 768, 20)).mT
    word_mask = g.input("tokens", "input/tokens", [11])[1].bool()
    graph = network.cgip
    seen = outputs_of(
        {
            **{f"tgmm{stage}": guide for stage, guide in network.tgmm.items()},
            **{"aspp": network.aspp, "gcn": graph, "gcn.conv_V": graph.visual, "gcn.CGI": graph.interact},
            **{
                "gcn.IGR": graph.igr,
                "patch_embed": network.image_encoder.net.patch_embed if flavour == "swin" else None,
            },
            **{
                f"cmae.fusion{label(int(stage), flavour)}": part.attend
                for stage, part in network.decoder.stages.items()
                if part.attend is not None
            },
            **{f"stage{stage}": part for stage, part in enumerate(network.image_encoder.stages, start=2)},
        }
    )
    features = network.encode_image(g.input("image", "input/image", 1, 480, 480))
    index = torch.zeros(1, dtype=torch.long)
    inputs = network.compute_decoder_inputs(features, words, word_mask, index)
    decoded = network.decoder(inputs)

    def check(output, tensor, channels_last=False):
        channels_last = channels_last and flavour == "swin"
        g.check(output, pixels_of(tensor) if channels_last else tensor, tolerance=1e-4)

    if flavour == "resnet":
        check("layer1", features.maps[1])
    else:
        check("patch_embed", seen.pop("patch_embed").permute(0, 3, 1, 2))
    for stage in range(2, 6):
        ours = seen.pop(f"stage{stage}")
        check(f"layer{stage}" if flavour == "resnet" else f"layers.{stage - 2}.blocks", ours, channels_last=True)
    for stage in range(3, 7):
        visual, new_words, sentence = seen.pop(f"tgmm{stage}")
        place = f"TGMM{stage}" if flavour == "resnet" else f"layers.{stage - 2}.TGMM"
        place = "TGMM_aspp" if stage == 6 else place
        check(f"{place}.visual", visual, channels_last=True)
        check(f"{place}.words", new_words.mT)
        check(f"{place}.sentence", sentence[..., None])
    for output, tensor in seen.items():
        check(output, tensor)
    for stage, x in decoded.items():
        check(f"cmae.f{label(stage, flavour)}", x)
        head = network.heads[str(stage)]
        logits = F.interpolate(F.conv2d(x, head.weight, head.bias, padding=1), (480, 480), mode="bilinear")
        check(f"out{label(stage, flavour)}".replace("out1", "out"), logits)
    del decoded, inputs
    g.check_mask(network.fuse(features, words, word_mask, index).logits)


def label(stage, flavour):
    return "aspp" if stage == 6 else stage - (flavour == "swin")


def outputs_of(modules):
    """What the modules give in the next forward pass, by their names."""
    seen = {}
    for name, module in modules.items():
        if module is not None:
            module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
    return seen
