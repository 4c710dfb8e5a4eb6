"""Names of CRIS's official weights (entry `state_dict`).

Unused     CLIP's temperature of its logits.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from refseg.conversion.clip import clip_name
from refseg.conversion.official_layout import OfficialLayout, TensorSlice
from refseg.encoders.configs import ClipImageConfig
from refseg.errors import InvalidInput
from refseg.networks.cris import CRIS, PRESETS
from refseg.preprocessing.transform import Preprocessing, clip_photographs
from refseg.text.byte_pairs import BytePairs

BACKBONE = "backbone."
# Prefix of our key -> official prefix; the first match counts
PLACES = (
    (r"neck\.fuse\.project\.", r"neck.txt_proj.0."),
    (r"neck\.fuse\.project_norm\.", r"neck.txt_proj.1."),
    (r"neck\.fuse\.norm\.", r"neck.norm_layer.0."),
    (r"neck\.level_32\.", r"neck.f1_v_proj."),
    (r"neck\.level_16\.", r"neck.f2_v_proj."),
    (r"neck\.level_8\.", r"neck.f3_v_proj."),
    (r"neck\.join_16\.", r"neck.f2_cat."),
    (r"neck\.join_8\.", r"neck.f3_cat."),
    (r"neck\.refine_32\.", r"neck.f4_proj5."),
    (r"neck\.refine_16\.", r"neck.f4_proj4."),
    (r"neck\.refine_8\.", r"neck.f4_proj3."),
    (r"neck\.sum\.", r"neck.aggr."),
    (r"neck\.locate\.0\.", r"neck.coordconv.0.conv1."),
    (r"neck\.locate\.", r"neck.coordconv."),
    (r"decoder\.norm\.", r"decoder.norm."),
    (r"decoder\.layers\.(\d+)\.before_among\.", r"decoder.layers.\1.norm1."),
    (r"decoder\.layers\.(\d+)\.among\.into\.(\w+)", r"decoder.layers.\1.self_attn.in_proj_\2"),
    (r"decoder\.layers\.(\d+)\.among\.out\.", r"decoder.layers.\1.self_attn.out_proj."),
    (r"decoder\.layers\.(\d+)\.after_among\.", r"decoder.layers.\1.self_attn_norm."),
    (r"decoder\.layers\.(\d+)\.before_words\.", r"decoder.layers.\1.norm2."),
    (r"decoder\.layers\.(\d+)\.at_words\.into\.(\w+)", r"decoder.layers.\1.multihead_attn.in_proj_\2"),
    (r"decoder\.layers\.(\d+)\.at_words\.out\.", r"decoder.layers.\1.multihead_attn.out_proj."),
    (r"decoder\.layers\.(\d+)\.after_words\.", r"decoder.layers.\1.cross_attn_norm."),
    (r"decoder\.layers\.(\d+)\.feed_forward\.0\.", r"decoder.layers.\1.norm3."),
    (r"decoder\.layers\.(\d+)\.feed_forward\.1\.", r"decoder.layers.\1.ffn.0."),
    (r"decoder\.layers\.(\d+)\.feed_forward\.4\.", r"decoder.layers.\1.ffn.3."),
    (r"decoder\.layers\.(\d+)\.feed_forward\.5\.", r"decoder.layers.\1.ffn.4."),
    (r"projector\.up\.first\.", r"proj.vis.1."),
    (r"projector\.up\.second\.", r"proj.vis.3."),
    (r"projector\.up\.out\.", r"proj.vis.4."),
    (r"projector\.kernel\.", r"proj.txt."),
)


class CRISLayout(OfficialLayout[CRIS]):
    """Names of CRIS's tensors in the authors' checkpoints."""

    networks = ("cris",)
    entry = "state_dict"
    bert_prefixes = ()
    wrapped = True
    image_size = 416
    image_note = "put into {side} x {side} with their shape kept, CLIP's mean and standard deviation"

    @override
    def preset_of(self, shapes: Mapping[str, tuple[int, ...]]) -> str:
        kernel = shapes.get("proj.txt.weight")
        if kernel is None:
            raise InvalidInput("these are no weights of CRIS: proj.txt.weight is missing")
        depths = tuple(_blocks(shapes, stage) for stage in (1, 2, 3, 4))
        for name, config in PRESETS.items():
            encoder = config.image_encoder
            if isinstance(encoder, ClipImageConfig) and (encoder.depths, encoder.joint) == (depths, kernel[1]):
                return name
        raise InvalidInput(
            f"this CRIS has an image encoder of which there is no preset: {depths} blocks, {kernel[1]} wide"
        )

    @override
    def tokenizer(self, max_words: int) -> BytePairs:
        return BytePairs(max_words)

    @override
    def preprocessing(self, side: int) -> Preprocessing:
        return clip_photographs(side)

    @override
    def official_names(self, network: CRIS) -> dict[str, str | TensorSlice]:
        return {key: official_name(key) for key in network.state_dict()}

    @override
    def unused(self, network: CRIS) -> dict[str, Tensor]:
        """Returns CLIP's temperature at the end of its training."""
        return {f"{BACKBONE}logit_scale": torch.tensor(100.0).log()}


def _blocks(shapes: Mapping[str, tuple[int, ...]], stage: int) -> int:
    start = f"{BACKBONE}visual.layer{stage}."
    return len({name.removeprefix(start).partition(".")[0] for name in shapes if name.startswith(start)})


def official_name(key: str) -> str | TensorSlice:
    """Returns the official key of one of ours.

    Raises:
        InvalidInput: if the authors' code has no such layer.
    """
    for ours, theirs in PLACES:
        if re.match(ours, key):
            return re.sub(ours, theirs, key, count=1)
    name = clip_name(key)
    if isinstance(name, TensorSlice):
        return TensorSlice(BACKBONE + name.name, name.part, name.of, name.transposed)
    return BACKBONE + name
