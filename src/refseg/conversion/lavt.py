"""Names of LAVT's official weights, which hold BERT beside the network or in it."""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from timm.models.swin_transformer import get_relative_position_index
from torch import Tensor
from typing_extensions import override

from refseg.checkpoints.official_release import MARKS
from refseg.conversion.official_layout import OfficialLayout
from refseg.encoders.configs import SwinConfig
from refseg.errors import InvalidInput
from refseg.networks.lavt import LAVT, PRESETS

ATTENTION = {"query": "f_query", "key": "f_key", "value": "f_value", "project": "W"}
STAGE = {"16": 4, "8": 3, "4": 2}  # stride of a concatenated map -> its official number
CONV_OR_NORM = ("conv", "bn")
HEADS = re.compile(r"\d+(-\d+){3}")
# Prefix of our key -> official prefix
PLACES = (
    (r"image_encoder\.net\.layers\.(\d)\.downsample", lambda m: f"backbone.layers.{int(m[1]) - 1}.downsample"),
    (r"image_encoder\.net", lambda m: "backbone"),
    (r"fusions\.(\d)\.norm", lambda m: f"backbone.norm{m[1]}"),
    (r"fusions\.(\d)\.gate\.layers", lambda m: f"backbone.layers.{m[1]}.res_gate"),
    (r"fusions\.(\d)\.pwam\.visual", lambda m: f"backbone.layers.{m[1]}.fusion.vis_project.0"),
    (r"fusions\.(\d)\.pwam\.join", lambda m: f"backbone.layers.{m[1]}.fusion.project_mm.0"),
    (
        r"fusions\.(\d)\.pwam\.attention\.(\w+)",
        lambda m: f"backbone.layers.{m[1]}.fusion.image_lang_att.{ATTENTION[m[2]]}.0",
    ),
    (
        r"decoder\.join_(\d+)\.layers\.(\d)\.(\d)",
        lambda m: f"classifier.{CONV_OR_NORM[int(m[3])]}{int(m[2]) + 1}_{STAGE[m[1]]}",
    ),
    (r"decoder\.classify", lambda m: "classifier.conv1_1"),
)


class LAVTLayout(OfficialLayout[LAVT]):
    """Names of LAVT's tensors in the authors' checkpoints."""

    networks = ("lavt",)
    bert_prefixes = "bert_model.", "model.text_encoder."  # `lavt` and `lavt_one`: the same function

    @override
    def preset_of(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        for needed in MARKS["lavt"].names:
            if needed not in shapes:
                raise InvalidInput(f"no weights of LAVT: {needed} is missing")
        table = shapes.get("backbone.layers.0.blocks.0.attn.relative_position_bias_table", (1, 0))
        found = {
            "width": shapes.get("backbone.patch_embed.proj.weight", (0,))[0],
            "depths": tuple(_count(shapes, rf"backbone\.layers\.{i}\.blocks\.(\d+)\.") for i in range(4)),
            "window": (math.isqrt(table[0]) + 1) // 2,
        }
        for name, config in PRESETS.items():
            if config.image_encoder.model_dump(include=set(found)) == found:
                return name
        settings = ", ".join(f"{name} {value}" for name, value in found.items())
        raise InvalidInput(f"weights of LAVT with a Swin Transformer that no preset has: {settings}")

    @override
    def settings(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the heads of each stage's attention, which the script takes as "4-4-4-4", if they are given."""
        heads = args.get("mha")
        return {"heads": heads.split("-")} if isinstance(heads, str) and HEADS.fullmatch(heads) else {}

    @override
    def official_names(self, network: LAVT) -> dict[str, str]:
        if not isinstance(network.config.image_encoder, SwinConfig):
            kind = network.config.image_encoder.kind
            raise InvalidInput(f"the authors' code has no image encoder of kind {kind!r}")
        return {key: official_name(key) for key in network.state_dict() if not key.startswith("word_encoder.")}

    @override
    def official_shapes(self, network: LAVT) -> dict[str, tuple[int, ...]]:
        """Covers linear layers that are convolutions in the release."""
        shapes: dict[str, tuple[int, ...]] = {}
        for key, value in network.state_dict().items():
            if key.endswith(".weight") and ".pwam." in key:
                shapes[key] = *value.shape, 1
            elif key == "decoder.classify.weight":
                shapes[key] = *value.shape, 1, 1
        return shapes

    @override
    def unused(self, network: LAVT) -> dict[str, Tensor]:
        """Returns zeros, and Swin's index tables as they are."""
        found: dict[str, Tensor] = {}
        for key, value in network.state_dict().items():
            if key.endswith(".relative_position_bias_table"):
                window = (math.isqrt(len(value)) + 1) // 2
                index = get_relative_position_index(window, window)
                found[official_name(key).replace("_bias_table", "_index")] = index
            elif ".pwam.attention." in key:  # an instance norm or a softmax cancels its bias
                found[official_name(key).removesuffix("weight") + "bias"] = torch.zeros(len(value))
        width = network.image_encoder.channels[-1]
        return found | {official_name(f"fusions.3.gate.layers.{i}.weight"): torch.zeros(width, width) for i in (0, 2)}


def official_name(key: str) -> str:
    """Returns the official key of one of ours outside of the word encoder.

    Raises:
        InvalidInput: if the authors' code has no such layer.
    """
    for pattern, place in PLACES:
        if match := re.match(pattern, key):
            return place(match) + key[match.end() :]
    raise InvalidInput(f"{key} has no name in the authors' code")


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    return len({match[1] for name in shapes if (match := re.match(pattern, name))})
