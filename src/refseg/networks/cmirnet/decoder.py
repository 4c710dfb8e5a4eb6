"""CMIRNet's decoder and heads: Eqs. (15) to (20), from the coarsest stage to the finest.

The paper's Cross-Modal Attention Enhanced Decoder (CMAE-DE). `Decoder` runs a `DecoderStage` per stage, with
cross-modal attention (`CMAE`: `SpatialAttention`, `ChannelAttention`) from stage 3 on; `Head` predicts logits of each
stage.

Departs    As the release does:
           Eq. (15)         stages 5 and 6 have one size, and nothing is enlarged between them.
           Eq. (16)         a cosine, pixels with an instance norm; the paper: a product.
           Eq. (17)         a softmax of the spatial attention over pixels pools values with an instance norm; the
                            paper: the attention itself.
           Eqs. (19), (20)  weights act on the decoder's map; the paper: on a convolution of it.
           Heads            3 x 3 convolutions; the paper: 1 x 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks import cpu_convolution as fast
from refseg.blocks.autocast import full_precision
from refseg.blocks.convolution import conv_norm
from refseg.blocks.pixel_sequence import instance_norm
from refseg.blocks.upsample_concat import JoinScales
from refseg.networks.cmirnet.config import ASPP_STAGE, ATTENDED, CMAEConfig, CMIRNetConfig
from refseg.networks.cmirnet.guidance import map_of, pixels_of


@dataclass
class DecoderInputs:
    """Inputs of the decoder for M expressions.

    Attributes:
        maps: (M, C, h, w) by stage, the residual of guidance, or the encoder's map without guidance.
        graph: (M, width, h, w) output of CGIP; None without it.
        sentences: (M, width) by stage, for the stage's attention.
    """

    maps: dict[int, Tensor]
    graph: Tensor | None
    sentences: dict[int, Tensor]


class Decoder(nn.Module):
    """Decoder from the coarsest stage to the finest, Eq. (15)."""

    def __init__(self, channels: Mapping[int, int], width: int, config: CMIRNetConfig):
        super().__init__()
        self.stages = nn.ModuleDict()
        for stage, inputs in channels.items():
            projected = stage >= ATTENDED or config.fine_projections
            cmae = config.cmae if stage >= ATTENDED else None
            self.stages[str(stage)] = DecoderStage(inputs, width, projected, cmae, first=stage == ASPP_STAGE)

    def forward(self, inputs: DecoderInputs) -> dict[int, Tensor]:
        """Computes each stage's map (M, width, h, w)."""
        x, decoded = inputs.graph, {}
        for stage in reversed(inputs.maps):
            x = decoded[stage] = self.stage(stage)(x, inputs.maps[stage], inputs.sentences.get(stage))
        return decoded

    def finest(self, inputs: DecoderInputs, head: "Head") -> Tensor:
        """Computes the finest stage's logits (M, 1, h, w); empties `inputs.maps` to release memory."""
        x = inputs.graph
        *coarser, finest = reversed(inputs.maps)
        for stage in coarser:
            x = self.stage(stage)(x, inputs.maps.pop(stage), inputs.sentences.get(stage))
        assert x is not None
        return self.stage(finest).logits(x, inputs.maps[finest], head)

    def stage(self, number: int) -> "DecoderStage":
        """Returns the part for a stage."""
        return cast(DecoderStage, self.stages[str(number)])


class DecoderStage(nn.Module):
    """Fusion of a stage's map with the coarser stage's, then optional cross-modal attention."""

    def __init__(self, channels: int, width: int, projected: bool, cmae: CMAEConfig | None, first: bool):
        super().__init__()
        self.first = first
        self.project = conv_norm(channels, width, 1, bias=True) if projected else nn.Identity()
        self.join = JoinScales(width + (width if projected else channels), width)
        self.attend = CMAE(width, cmae) if cmae else None
        self.refine = JoinScales(2 * width, width) if cmae else None

    def forward(self, before: Tensor | None, own: Tensor, sentence: Tensor | None) -> Tensor:
        """Computes the stage's map (M, width, h, w).

        Args:
            before: (M, width, h', w') of the coarser stage; for the first stage of the graph, None without a graph.
            own: (M, C, h, w).
            sentence: (M, width); None for stages without attention.
        """
        x = self.join(*self.pair(before, own))
        if self.attend is not None and self.refine is not None:
            x = self.refine(x, self.attend(x, sentence))
        return x

    def logits(self, before: Tensor, own: Tensor, head: "Head") -> Tensor:
        """Computes the head's logits (M, 1, h, w) of this stage, for a stage without attention.

        At inference on a CPU the map is computed in strips and never formed as a whole.
        """
        before, own = self.pair(before, own)
        if not self.join.in_strips(own):
            return head(self.join(before, own))
        last = fast.convolution(*head.difference(), fast.precision(own))
        strips = (fast.convolved(each, last) for each in self.join.strips(before, own))
        return fast.whole(strips, own.float())

    def pair(self, before: Tensor | None, own: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the coarse and fine map of the fusion."""
        own = self.project(own)
        if before is None:
            return own, own
        return (own, before) if self.first else (before, own)


class CMAE(nn.Module):
    """Cross-modal attention: spatial (CM-SA), then over channels (CM-CA)."""

    def __init__(self, width: int, config: CMAEConfig):
        super().__init__()
        self.look = SpatialAttention(width)
        self.spatial = nn.Identity()
        self.channel = ChannelAttention(width) if config.channel else None

    def forward(self, x: Tensor, sentence: Tensor) -> Tensor:
        """Updates a map (M, width, h, w) by a sentence (M, width)."""
        pixels = pixels_of(x)
        spatial = self.look(pixels, sentence)
        weight = self.spatial(map_of(spatial, x))  # (M, 1, h, w)
        gain = 1 if self.channel is None else 1 + self.channel(pixels, spatial)[..., None, None]
        return x + x * (weight * gain)  # Eqs. (19), (20)


class SpatialAttention(nn.Module):
    """CM-SA, Eq. (16): cosine of each pixel and the sentence."""

    def __init__(self, width: int):
        super().__init__()
        self.key = nn.Linear(width, width)
        self.query = nn.Linear(width, width)

    def forward(self, pixels: Tensor, sentence: Tensor) -> Tensor:
        """Computes the attention (M, N, 1) float32 of pixels (M, N, C) to a sentence (M, C)."""
        key = instance_norm(self.key(pixels))
        query = F.normalize(self.query(sentence).to(key.dtype), dim=-1)
        with full_precision(key):
            return key @ query[..., None] / key.norm(dim=-1, keepdim=True).clamp(min=1e-12)


class ChannelAttention(nn.Module):
    """CM-CA, Eqs. (17) and (18): channel attention of the pixels that match the sentence."""

    def __init__(self, width: int):
        super().__init__()
        self.value = nn.Linear(width, width)
        self.squeeze = nn.Linear(width, max(width // 16, 1), bias=False)
        self.excite = nn.Linear(max(width // 16, 1), width, bias=False)

    def forward(self, pixels: Tensor, spatial: Tensor) -> Tensor:
        """Computes channel weights (M, C) in [0, 1] of pixels (M, N, C) with spatial attention (M, N, 1)."""
        value = instance_norm(self.value(pixels))
        with full_precision(value):
            pooled = (spatial.softmax(1).mT @ value)[:, 0]
        return self.excite(F.relu(self.squeeze(pooled))).sigmoid()


class Head(nn.Conv2d):
    """Two-class convolution; only the difference of the two logits is computed, since only that matters."""

    def __init__(self, channels: int):
        super().__init__(channels, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Computes logits (M, 1, h, w) float32, referent minus background."""
        return F.conv2d(x, *self.difference(), padding=1).float()

    def difference(self) -> tuple[Tensor, Tensor]:
        """Returns weight and bias of the difference."""
        assert self.bias is not None
        return self.weight[1:] - self.weight[:1], self.bias[1:] - self.bias[:1]
