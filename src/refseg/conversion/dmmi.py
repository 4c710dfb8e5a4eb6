"""Names of DMMI's official weights (state dict `model`)."""

import math
import re
from collections.abc import Callable, Mapping

import torch
from timm.models.swin_transformer import get_relative_position_index
from torch import Tensor
from typing_extensions import override

from refseg.checkpoints.official_release import MARKS
from refseg.conversion.official_layout import OfficialLayout
from refseg.encoders.configs import ResNetConfig, SwinConfig
from refseg.errors import InvalidInput
from refseg.networks.dmmi import DMMI, PRESETS, DMMIConfig

Place = Callable[[re.Match[str]], str]

# Prefix of our key -> official prefix; the first match counts
PLACES: dict[str, tuple[tuple[str, Place], ...]] = {
    "swin": (
        (r"image_encoder\.net\.layers\.(\d)\.downsample", lambda m: f"backbone.layers.{int(m[1]) - 1}.downsample"),
        (r"image_encoder\.net", lambda m: "backbone"),
        (r"fusions\.(\d)\.skip_norm", lambda m: f"backbone.norm{m[1]}"),
        (r"fusions\.(\d)", lambda m: f"backbone.layers.{m[1]}"),
    ),
    "resnet": (
        (r"image_encoder\.net\.conv1", lambda m: "backbone.layer1.0"),
        (r"image_encoder\.net\.bn1", lambda m: "backbone.layer1.1"),
        (r"image_encoder\.net\.layer1", lambda m: "backbone.layer1.4"),
        (r"image_encoder\.net", lambda m: "backbone"),
        (r"fusions\.(\d)", lambda m: f"backbone.all_fusion{int(m[1]) + 1}"),
    ),
}
STAGE = {"16": 4, "8": 3, "4": 2}  # stride of a concatenated map -> its official number
DECODER: tuple[tuple[str, Place], ...] = (
    (r"decoder\.join_(\d+)\.layers\.(\d)\.0", lambda m: f"classifier.conv{int(m[2]) + 1}_{STAGE[m[1]]}"),
    (r"decoder\.join_(\d+)\.layers\.(\d)\.1", lambda m: f"classifier.bn{int(m[2]) + 1}_{STAGE[m[1]]}"),
    (r"decoder\.query_16", lambda m: "classifier.transformer_fusion1.transformer_model.layers.0"),
    (r"decoder\.query_8", lambda m: "classifier.transformer_fusion2.transformer_model.layers.0"),
    (r"decoder\.classify", lambda m: "classifier.conv1_1"),
    (r"recovery\.visual\.0", lambda m: "classifier.lan_func.conv1"),
    (r"recovery\.visual\.1", lambda m: "classifier.lan_func.bn1"),
    (r"recovery\.query", lambda m: "classifier.lan_func.transformer_model.layers.0"),
    (r"summary\.joins\.(\d)", lambda m: f"classifier.crossfuse{int(m[1]) + 1}.linear"),
    (r"contrast\.align", lambda m: "contrastive.align_lan.0"),
)
INSIDE_FUSION = {
    "mba.visual.": "fusion.vis_project.0.",
    "mba.join.": "fusion.project_mm.0.",
    "mba.text_to_image.mix.weight": "fusion.image_lang_att.vis_weight",
    "mba.text_to_image.value.": "fusion.image_lang_att.f_value.0.",
    "mba.text_to_image.project.": "fusion.image_lang_att.W.0.",
    "mba.image_to_text.mix.weight": "fusion.image_lang_att.lan_weight",
    "mba.image_to_text.value.": "fusion.image_lang_att.f_value_v.0.",
    "mba.image_to_text.project.": "fusion.image_lang_att.W2.0.",
    ".narrow.": ".f_query.0.",
    ".query.": ".f_query2.0.",
    ".key.": ".f_key.0.",
    "gate.layers.": "res_gate.",
    "word_update.": "W_l.0.",
}
INSIDE_LAYER = {
    ".among.into.": ".self_attn.in_proj_",
    ".among.out.": ".self_attn.out_proj.",
    ".memory.into.": ".multihead_attn.in_proj_",
    ".memory.out.": ".multihead_attn.out_proj.",
    ".feed_forward.0.": ".linear1.",
    ".feed_forward.3.": ".linear2.",
    ".among_norm.": ".norm1.",
    ".memory_norm.": ".norm2.",
    ".feed_norm.": ".norm3.",
}
# Biases that an instance norm (or, for the keys of words, a softmax) cancels
BIASES_WITHOUT_EFFECT = (
    r"fusion\.image_lang_att\.(refineimg\d+\.(f_query|f_query2|f_key)|refinelan\d+\.f_key|f_value|f_value_v|W)\.0\.bias"
)


class DMMILayout(OfficialLayout[DMMI]):
    """Names of DMMI's tensors in the authors' checkpoints."""

    networks = ("dmmi",)

    @override
    def preset_of(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        for needed in MARKS["dmmi"].names:
            if needed not in shapes:
                raise InvalidInput(f"no weights of DMMI: {needed} is missing")
        found = _swin(shapes) if "backbone.patch_embed.proj.weight" in shapes else _resnet(shapes)
        for name, config in PRESETS.items():
            encoder = config.image_encoder
            if encoder.model_dump(exclude={"drop_path"}) == found.model_dump(exclude={"drop_path"}):
                return name
        settings = ", ".join(f"{name} {value}" for name, value in found.model_dump(exclude={"drop_path"}).items())
        raise InvalidInput(f"weights of DMMI with an image encoder that no preset has: {settings}")

    @override
    def official_names(self, network: DMMI) -> dict[str, str]:
        keys = [key for key in network.state_dict() if not key.startswith("word_encoder.")]
        return {key: official_name(key, network.config) for key in keys}

    @override
    def official_shapes(self, network: DMMI) -> dict[str, tuple[int, ...]]:
        """Covers linear layers that are convolutions in the release."""
        shapes: dict[str, tuple[int, ...]] = {}
        for key, value in network.state_dict().items():
            if re.fullmatch(r"(fusions\.\d\.(mba\..*(?<!mix)|word_update)|contrast\.align)\.weight", key):
                shapes[key] = len(value), value[0].numel(), 1  # a neighbourhood is flattened
            elif key == "decoder.classify.weight":
                shapes[key] = *value.shape, 1, 1
        return shapes

    @override
    def unused(self, network: DMMI) -> dict[str, Tensor]:
        """Returns zeros, and Swin's index tables as they are."""
        own = network.state_dict()
        found: dict[str, Tensor] = {}
        for key, name in self.official_names(network).items():
            value = own[key]
            if name.endswith(".relative_position_bias_table"):
                window = (math.isqrt(len(value)) + 1) // 2
                found[name.replace("_bias_table", "_index")] = get_relative_position_index(window, window)
            if ".transformer_model.layers.0." in name:
                found[name.replace("transformer_model.layers.0", "decoder_layer")] = torch.zeros(value.shape)
            bias = name.removesuffix("weight") + "bias"
            if re.search(BIASES_WITHOUT_EFFECT, bias) and name.endswith("weight"):
                found[bias] = torch.zeros(len(value))
        if network.fusions[-1].gate is None:
            width = network.image_encoder.channels[-1]
            last = official_name("fusions.3.gate.layers.", network.config)
            found |= {f"{last}{layer}.weight": torch.zeros(width, width) for layer in (0, 2)}
        return found


def official_name(key: str, config: DMMIConfig) -> str:
    """Returns the official key of one of ours outside of the word encoder.

    Raises:
        InvalidInput: if the authors' code has no such image encoder.
    """
    kind = config.image_encoder.kind
    if kind not in PLACES:
        raise InvalidInput(f"the authors' code has no image encoder of kind {kind!r}")
    name = key
    for pattern, place in PLACES[kind] + DECODER:
        if match := re.match(pattern, key):
            name = place(match) + key[match.end() :]
            break
    if not key.startswith("fusions."):
        return replaced(name, INSIDE_LAYER) if ".transformer_model." in name else name
    for k, side in enumerate(config.regions):
        name = name.replace(f"mba.text_to_image.regions.{k}.", f"fusion.image_lang_att.refineimg{side}{side}.")
    for k, length in enumerate(config.windows):
        name = name.replace(f"mba.image_to_text.windows.{k}.", f"fusion.image_lang_att.refinelan{length}1.")
    return replaced(name, INSIDE_FUSION)


def replaced(name: str, table: Mapping[str, str]) -> str:
    """Replaces all parts of a name that a table has."""
    for ours, theirs in table.items():
        name = name.replace(ours, theirs)
    return name


def _swin(shapes: Mapping[str, tuple[int, ...]]) -> SwinConfig:
    tables = [shapes.get(f"backbone.layers.{i}.blocks.0.attn.relative_position_bias_table", (1, 0)) for i in range(4)]
    return SwinConfig(
        width=shapes["backbone.patch_embed.proj.weight"][0],
        depths=tuple(_count(shapes, rf"backbone\.layers\.{i}\.blocks\.(\d+)\.") for i in range(4)),
        heads=tuple(heads for _, heads in tables),
        window=(math.isqrt(tables[0][0]) + 1) // 2,
    )


def _resnet(shapes: Mapping[str, tuple[int, ...]]) -> ResNetConfig:
    starts = r"backbone\.layer1\.4", r"backbone\.layer2", r"backbone\.layer3", r"backbone\.layer4"
    return ResNetConfig(depths=tuple(_count(shapes, rf"{start}\.(\d+)\.") for start in starts))


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    return len({match[1] for name in shapes if (match := re.match(pattern, name))})
