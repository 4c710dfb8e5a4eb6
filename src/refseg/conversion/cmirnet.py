"""Names of CMIRNet's official weights, which exist with ResNet and with Swin.

Names      Stages have our numbers with ResNet; with Swin block 1 is our stage 2; the last is called aspp. The
           projections of words and of the sentence have swapped names in the two. The heads of CGI are separate.
Aliases    With ResNet the encoder is stored as `backbone.*` and as `layer1.*` to `layer5.*`.
Unused     With Swin, a norm for each stage that is never called, and index tables.
"""

import re
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from typing_extensions import override

from refseg.conversion.official_layout import OfficialLayout
from refseg.encoders.configs import ResNetConfig, SwinConfig
from refseg.errors import InvalidInput
from refseg.networks import PRESETS
from refseg.networks.cmirnet.cmirnet import CMIRNet
from refseg.networks.cmirnet.config import ASPP_STAGE, CGIConfig, CGIPConfig, CMIRNetConfig
from refseg.networks.cmirnet.config import PRESETS as CONFIGS

SWIN = "Vis_backbone_TGMM."
BLOCK = {"0.0": "0", "0.1": "1", "1.0": "3", "1.1": "4"}  # of `layers.i.j`
LAYERS = {  # our name of a layer -> the official one, where it does not depend on the image encoder
    "scores.query": "image_lang_att.f_query.0",
    "scores.key": "image_lang_att.f_key.0",
    "value": "image_lang_att.f_value.0",
    "new_value": "image_lang_att.f_value2.0",
    "read": "image_lang_att.W1.0",
    "sentence.project": "image_lang_att.project_emb.0",
    "modulate.visual": "vis_project.0",
    "modulate.mix": "project_mm.0",
    "visual": "conv_V",
    "text": "conv_T.0",
    "interact.head_weights": "CGI.linear",
    "igr.conv": "IGR.conv",
    "igr.qkv": "IGR.qkv",
    "igr.project": "IGR.proj",
    "look.key": "csa.w1.0",
    "look.query": "csa.w2.0",
    "channel.value": "cca.w1.0",
    "channel.squeeze": "cca.mlp.0",
    "channel.excite": "cca.mlp.2",
}


class CMIRNetLayout(OfficialLayout[CMIRNet]):
    """Names of CMIRNet's tensors in the authors' checkpoints."""

    networks = ("cmirnet",)
    has_pooler = True

    @override
    def preset_of(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        if "cmae.linear_x_aspp.0.weight" not in shapes:
            raise InvalidInput("this is no CMIRNet: its decoder (cmae.linear_x_aspp) is missing")
        for name, family in PRESETS.items():
            if family == "cmirnet" and _has_encoder(shapes, CONFIGS[name]):
                return name
        raise InvalidInput("this CMIRNet has an image encoder of which there is no preset")

    @override
    def official_names(self, network: CMIRNet) -> dict[str, str | tuple[str, ...]]:
        config = network.config
        return {key: official_name(key, config) for key in network.state_dict() if not key.startswith("word_encoder.")}

    @override
    def official_shapes(self, network: CMIRNet) -> dict[str, tuple[int, ...]]:
        """Covers linear layers that are convolutions in the release."""
        shapes: dict[str, tuple[int, ...]] = {}
        weights = network.state_dict()
        for key, name in self.official_names(network).items():
            if key.startswith(("tgmm.", "cgip.", "decoder.")) and key.endswith(".weight") and isinstance(name, str):
                weight = weights[key]
                if weight.ndim == 2 and "CGI.linear" not in name:
                    shapes[key] = (*weight.shape, 1, 1) if "IGR" in name else (*weight.shape, 1)
        return shapes

    @override
    def aliases(self, network: CMIRNet) -> dict[str, str]:
        if not isinstance(network.config.image_encoder, ResNetConfig):
            return {}
        again = {"conv1.": "layer1.0.", "bn1.": "layer1.1.", "layer1.": "layer2.1."}
        again |= {f"layer{stage}.": f"layer{stage + 1}." for stage in (2, 3, 4)}
        found = {}
        for key in network.image_encoder.state_dict():
            name = str(key).removeprefix("net.")
            ours = next(prefix for prefix in again if name.startswith(prefix))
            found[again[ours] + name.removeprefix(ours)] = f"backbone.{name}"
        return found

    @override
    def unused(self, network: CMIRNet) -> dict[str, Tensor]:
        if not isinstance(network.config.image_encoder, SwinConfig):
            return {}
        fillings: dict[str, Tensor] = {}
        for stage, channels in enumerate(network.image_encoder.channels):
            fillings[f"{SWIN}norm{stage}.weight"] = torch.ones(channels)
            fillings[f"{SWIN}norm{stage}.bias"] = torch.zeros(channels)
        for name, module in network.image_encoder.net.named_modules():  # type: ignore[union-attr]
            index = getattr(module, "relative_position_index", None)
            if index is not None:
                fillings[f"{SWIN}{name}.relative_position_index"] = index
        return fillings


def _has_encoder(shapes: Mapping[str, tuple[int, ...]], config: CMIRNetConfig) -> bool:
    """Whether the width of the encoder and the depth of its third stage are those of the config."""
    match config.image_encoder:
        case ResNetConfig(depths=depths):
            key, deepest = "backbone.layer3.{}.conv1.weight", "backbone.layer3.0.conv2.weight"
            width = 256
        case SwinConfig(depths=depths, width=width):
            key, deepest = SWIN + "layers.2.blocks.{}.norm1.weight", SWIN + "layers.2.blocks.0.norm1.weight"
            width = 4 * width
        case _:
            return False
    return (
        shapes.get(deepest, (0,))[0] == width
        and key.format(depths[2] - 1) in shapes
        and key.format(depths[2]) not in shapes
    )


def official_name(key: str, config: CMIRNetConfig) -> str | tuple[str, ...]:
    """Returns the official key, or keys, of one of ours.

    Raises:
        InvalidInput: if the authors' code has no such layer.
    """
    swin = isinstance(config.image_encoder, SwinConfig)
    part, _, inside = key.partition(".")
    stage, _, layer = inside.partition(".")
    match part:
        case "image_encoder":
            return _encoder(inside.removeprefix("net."), swin)
        case "tgmm":
            place = (
                "TGMM_aspp" if int(stage) == ASPP_STAGE else f"layers.{int(stage) - 2}.TGMM" if swin else f"TGMM{stage}"
            )
            return f"{SWIN if swin else ''}{place}.{_tgmm(layer, swin)}"
        case "aspp":
            return f"{SWIN if swin else ''}aspp.{inside.replace('branches.', 'convs.')}"
        case "cgip":
            edge = inside.removeprefix("interact.edge.")
            if edge == inside:
                return f"gcn.{_layer_name(inside)}"
            graph = cast(CGIConfig, cast(CGIPConfig, config.cgip).cgi)
            return tuple(f"gcn.CGI.graphconv.{head}.homoGR_feat.gconv.nn.{edge}" for head in range(graph.heads))
        case "decoder":
            stage, _, layer = layer.partition(".")
            return f"cmae.{_decoder(layer, _label(stage, swin), joined_alone=not swin and int(stage) < 3)}"
        case "heads":
            return f"conv_2_{_label(stage, swin)}.{layer}"
    raise InvalidInput(f"{key} has no name in the authors' layout; their networks are the presets with Swin and ResNet")


def _label(stage: str, swin: bool) -> str:
    return "aspp" if int(stage) == ASPP_STAGE else str(int(stage) - swin)


def _layer_name(name: str) -> str:
    """Translates a name within a part by its longest prefix in `LAYERS`."""
    layer = max((ours for ours in LAYERS if name.startswith(ours + ".")), key=len)
    return LAYERS[layer] + name.removeprefix(layer)


def _encoder(name: str, swin: bool) -> str:
    if not swin:
        return f"backbone.{name}"
    return SWIN + re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name)


def _tgmm(name: str, swin: bool) -> str:
    words, sentence = ("W3", "W2") if swin else ("W2", "W3")
    for ours, theirs in {"words.": words, "sentence.words.": sentence}.items():
        if name.startswith(ours):
            return f"image_lang_att.{theirs}.0.{name.removeprefix(ours)}"
    return "image_lang_att.gamma" if name == "sentence.gate" else _layer_name(name)


def _decoder(name: str, label: str, joined_alone: bool) -> str:
    part, _, layer = name.partition(".")
    match part:
        case "project":
            return f"linear_x_{label}.{layer}"
        case "attend":
            return f"fusion{label}.{_layer_name(layer)}"
    _, first, second, leaf = layer.split(".")
    number = "" if joined_alone else {"join": "_1", "refine": "_2"}[part]
    return f"ConvBNRelu{'_aspp' if label == 'aspp' else label}{number}.{BLOCK[f'{first}.{second}']}.{leaf}"
