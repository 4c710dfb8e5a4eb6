"""DCMFNet: the sentence guides the image encoder from inside, through gated fusions that are repeated (IGF).

Paper      Z. Huang et al. "DCMFNet: Deep Cross-Modal Fusion Network for Referring Image Segmentation with Iterative
           Gated Fusion". Graphics Interface 2024.
Read with  `IGF` with `FusionUnit` (Eq. 2) and `ASGate` (Eq. 3), the rest of Eqs. 1 and 4 is `IGF` itself; `DCMFNet`
           (Eqs. 5, 6: encoder, ASPP, decoder); then what the tables compare: gates, fusions of the detail.
Departs    There is no code of the authors. Each head of a fusion has its own weights, which Eq. 2 does not say: with
           shared ones the sum would be a factor. An IGF that goes on into the encoder has as many channels as what it
           guides, inside it half as many. The last gate, which Eq. 4 does not read, is not there. Without any language
           (Table 2, row 1) a network could not have answered: there the sentence is joined to M.
           What is linear of a guide is computed at the guide's own size and then enlarged, which is the same.
Notation   B images, M expressions, V1 to V4 the encoder's maps with C channels, "M" the map joined of V2 to V4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.aspp import ASPP
from refseg.blocks.convolution import conv_norm
from refseg.blocks.view import View
from refseg.config import Channels, Config, Repeats
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.configs import DarkNetConfig, ImageEncoderConfig, SwinConfig, WordEncoderConfig
from refseg.errors import InvalidInput
from refseg.losses import SMALL_REFERENTS, SMALL_THRESHOLD, weighted_cross_entropy
from refseg.networks.network import CalledInParts, Network, Output

PLACES = ("V2", "V3", "V4", "M")  # where the sentence may guide, in the order of the forward pass


Stage = Literal["V2", "V3", "V4"]


class DCMFNetConfig(Config):
    """Every choice of the paper's tables; the defaults are its main result."""

    image_encoder: ImageEncoderConfig = Field("swin_base", validate_default=True)  # Table 3
    freeze_encoder_norm: bool = False  # batch norms of the image encoder keep statistics, scale and shift
    word_encoder: WordEncoderConfig = Field("bert_base", validate_default=True)
    max_words: int = Field(15, le=256, ge=3)  # special tokens included; 20 for RefCOCOg

    # Where an IGF is (Table 2)
    guided_stages: tuple[Stage, ...] = ("V3", "V4")
    guide_fused: bool = True  # the map joined of the stages
    detail_fusion: Literal["none", "concat", "gated", "gated_bidirectional", "igf"] = "igf"  # how the decoder takes V1
    norm_guided: bool = False  # a stage's map is normed before its IGF; for those that saturate its tanh

    # IGF
    layers: Repeats = 5  # Table 4
    igf_output: Literal["F", "F_last", "G_last", "F_and_G_last"] = "F"  # Table 5: what its last convolution reads
    gate: Literal["asgate", "conv_gru", "conv_lstm"] = "asgate"  # Table 6
    heads: Repeats = 5
    narrowing: Repeats = 2  # of a guided stage's channels inside

    # Widths
    width: Channels = 256  # of the sentence, of M, ASPP and head
    detail_width: Channels = 128  # of what the decoder makes of V1
    aspp_rates: tuple[Repeats, ...] = Field((6, 12, 18), max_length=16)
    dropouts: tuple[float, float, float] = (0.5, 0.5, 0.1)  # after the ASPP and the head's two convolutions

    class_weights: tuple[float, float] = (1.0, 1.0)  # of background and referent in the loss
    threshold: float = Field(0.5, gt=0, lt=1)  # probability from which on a pixel is the referent's

    @field_validator("guided_stages")
    @classmethod
    def _each_once(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        if len(set(stages)) < len(stages):
            raise ValueError("a stage is named twice")
        return tuple(sorted(stages))

    @field_validator("aspp_rates")
    @classmethod
    def _positive(cls, rates: tuple[int, ...]) -> tuple[int, ...]:
        if any(rate < 1 for rate in rates):
            raise ValueError("rates are at least 1")
        return rates

    @field_validator("dropouts")
    @classmethod
    def _shares(cls, dropouts: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 <= share < 1 for share in dropouts):
            raise ValueError("a dropout is at least 0 and below 1")
        return dropouts


PRESETS = {  # Table 3, and a small one
    "dcmfnet_swin_base": DCMFNetConfig(),
    "dcmfnet_darknet53": DCMFNetConfig(image_encoder=DarkNetConfig(pairs=0), freeze_encoder_norm=True),
    "dcmfnet_resnet101": DCMFNetConfig(image_encoder="resnet101_stride16", freeze_encoder_norm=True),
    "dcmfnet_small": DCMFNetConfig(
        image_encoder="small",
        word_encoder="bert_small",
        max_words=24,
        narrowing=8,
        width=32,
        detail_width=16,
        dropouts=(0, 0, 0),
        class_weights=SMALL_REFERENTS,
        threshold=SMALL_THRESHOLD,
    ),
}


@dataclass
class ImageFeatures:
    """What of B images does not depend on words.

    Attributes:
        maps: by place (B, C, h, w), those before the first that the sentence guides.
        guided: (B, C', h, w) what is guided there first, narrowed.
        detail: (B, C', h, w) what the decoder takes of V1; None if it takes nothing.
        size_hw: height and width of the images.
    """

    maps: Mapping[str, Tensor]
    guided: Tensor
    detail: Tensor | None
    size_hw: tuple[int, int]


class DCMFNet(Network):
    """An image encoder that goes on with what the sentence made of its maps, ASPP, and a decoder that looks at V1."""

    idea = "The sentence guides the image encoder from inside, by gated fusions that are repeated"
    presets = PRESETS
    config: DCMFNetConfig

    def __init__(self, config: DCMFNetConfig, vocabulary_size: int):
        super().__init__()
        self.config, self.threshold = config, config.threshold
        self.image_encoder = build_image_encoder(config.image_encoder)
        self.word_encoder = build_word_encoder(config.word_encoder, vocabulary_size)
        width, detail = config.width, config.detail_width
        channels = dict(zip(("V1", "V2", "V3", "V4"), self.image_encoder.channels, strict=True))
        self.sentence = nn.Linear(self.word_encoder.sentence_channels, width)
        self.guides = nn.ModuleDict(
            {
                stage: IGF(config, width, width, channels[stage], inside(config, channels[stage]), channels[stage])
                for stage in config.guided_stages
            }
        )
        if config.guide_fused:
            self.guides["M"] = IGF(config, width, width, width, width, width)
        elif not config.guided_stages:
            self.guides["M"] = SentenceBeside(width)
        self.norms = nn.ModuleDict(
            {place: MapNorm(count) for place, count in channels.items() if is_normed(config, place)}
        )
        self.join = nn.Sequential(
            nn.Conv2d(channels["V2"] + channels["V3"] + channels["V4"], width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.aspp = ASPP(width, width, width, config.aspp_rates, bias=False, pooled=True)
        self.detail = detail_fusion(config, channels["V1"])
        after_aspp, *after = config.dropouts
        self.dropout = nn.Dropout(after_aspp)
        self.head = nn.Sequential(
            conv_norm(width if self.detail is None else detail, width),
            nn.Dropout(after[0]),
            conv_norm(width, width),
            nn.Dropout(after[1]),
            nn.Conv2d(width, 1, 1),
        )
        for part in (self.join, self.aspp, self.head):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if config.freeze_encoder_norm:
            for norm in self.image_encoder.modules():
                if isinstance(norm, nn.BatchNorm2d):
                    norm.requires_grad_(False)

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """The maps of images (B, 3, H, W), normalised, up to the first that the sentence guides."""
        x = self.image_encoder.stages[0](self.image_encoder.stem(image))
        detail = None if self.detail is None else self.detail.narrow(self._normed("V1", x))
        maps: dict[str, Tensor] = {}
        for place in PLACES:
            x = self._map(place, x, maps)
            read = self._normed(place, x)
            if place in self.guides:
                break
            maps[place] = read
        return ImageFeatures(maps, self._guide(place).narrow(read), detail, (image.shape[-2], image.shape[-1]))

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, L, D) of tokens (M, L)."""
        return self.word_encoder(tokens, word_mask)

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Masks (M, 1, H, W) of words (M, L, D) with word_mask (M, L)."""
        return self.answer(self.masks(features, words, word_mask, image_of_expression))

    def masks(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Tensor:
        """Logits (M, 1, H, W), where 0 is a probability of a half."""
        sentence = self.sentence(self.word_encoder.sentence(words, word_mask))[:, :, None, None]
        x = self.encoded(features, sentence, image_of_expression)
        x = self.dropout(self.aspp(x))  # M_dec
        if self.detail is not None and features.detail is not None:
            x = self.detail(x, features.detail[image_of_expression])  # E_dec, Eq. 6
        return resized(self.head(x).float(), features.size_hw)

    def encoded(self, features: ImageFeatures, sentence: Tensor, image_of_expression: Tensor) -> Tensor:
        """E_enc (M, C, h, w), Eq. 5, of sentences (M, C, 1, 1)."""
        maps = {place: x[image_of_expression] for place, x in features.maps.items()}
        first, *others = PLACES[len(maps) :]
        x = maps[first] = self._guide(first)(sentence, features.guided[image_of_expression])
        for place in others:
            x = self._map(place, x, maps)
            maps[place] = self._normed(place, x)
            if place in self.guides:
                guide = self._guide(place)
                x = maps[place] = guide(sentence, guide.narrow(maps[place]))
        return maps["M"]

    def _map(self, place: str, x: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        """The map of a place: the next stage of x, or joined of the stages' maps."""
        if place != "M":
            return self.image_encoder.stages[PLACES.index(place) + 1](x)
        return self.join(torch.cat([resized(maps[stage], maps["V4"].shape[-2:]) for stage in PLACES[:-1]], 1))

    def _normed(self, place: str, x: Tensor) -> Tensor:
        return self.norms[place](x) if place in self.norms else x

    def _guide(self, place: str) -> "Guided":
        return cast(Guided, self.guides[place])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Binary cross-entropy, the mean over pixels at the size of the image."""
        words = self.encode_words(batch.tokens, batch.word_mask)
        logits = self.masks(self.encode_image(batch.image), words, batch.word_mask, batch.image_of_expression)
        return {"loss": weighted_cross_entropy(logits, batch.masks(), self.config.class_weights)}

    def views(self) -> list[View]:
        """What the gates of every IGF let through, layer by layer."""
        guides = {**{place: self._guide(place) for place in self.guides}, "V1": self.detail}
        return [view for name, guide in guides.items() if isinstance(guide, IGF) for view in guide.views(name)]


def inside(config: DCMFNetConfig, channels: int) -> int:
    """Channels inside of the IGF of a stage.

    Raises:
        InvalidInput: if none are left.
    """
    if channels < config.narrowing:
        raise InvalidInput(
            f"narrowing {config.narrowing} leaves nothing of a stage of {channels} channels; narrow it less"
        )
    return channels // config.narrowing


def is_normed(config: DCMFNetConfig, place: str) -> bool:
    """Whether a stage's map is normed before it is read.

    Swin's own maps are not. What goes on to its next stage, which norms, is not normed here: neither as it is, nor
    what an IGF made of it.
    """
    if place in config.guided_stages and config.norm_guided:
        return True
    if not isinstance(config.image_encoder, SwinConfig):
        return False
    if place == "V1":
        return config.detail_fusion != "none"
    return place == "V4" or place not in config.guided_stages


class MapNorm(nn.LayerNorm):
    """Norm of each pixel's channels."""

    def forward(self, x: Tensor) -> Tensor:
        """(M, C, h, w) to the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Guided(nn.Module):
    """A map that something guides, called with the guide (M, C, h', w') and the narrowed map (M, C', h, w).

    Attributes:
        narrow: what is done first to the guided map, which does not depend on the guide.
    """

    narrow: nn.Module


class IGF(Guided, CalledInParts):
    """Iterative gated fusion: guide and guided map are fused, gated, and fused again, Eqs. 1 and 4.

    Args:
        config: of the network.
        guide, guide_inside: channels of the guide, and of it inside.
        guided, inner: channels of the guided map, and inside.
        outputs: channels of the result.
    """

    def __init__(self, config: DCMFNetConfig, guide: int, guide_inside: int, guided: int, inner: int, outputs: int):
        super().__init__()
        layers, self.reads = config.layers, config.igf_output
        gates = layers if self.reads.endswith("G_last") else layers - 1  # nothing reads the last one otherwise
        gate = {"asgate": ASGate, "conv_gru": ConvGRU, "conv_lstm": ConvLSTM}[config.gate]
        self.guide = xavier(nn.Conv2d(guide, guide_inside, 1))
        self.narrow = xavier(nn.Conv2d(guided, inner, 1))
        self.fusions = nn.ModuleList([FusionUnit(guide_inside, inner, config.heads) for _ in range(layers)])
        self.gates = nn.ModuleList([gate(inner) for _ in range(gates)])
        maps = layers if self.reads.startswith("F") and self.reads != "F_last" else 1
        self.output = xavier(nn.Conv2d(maps * inner, outputs, 3, padding=1))

    def forward(self, guide: Tensor, state: Tensor) -> Tensor:
        """(M, outputs, h, w) of a guide (M, C, h', w') and the narrowed map (M, C', h, w), which is G_0."""
        guide, memory, fused = self.guide(guide), None, []
        for layer, fuse in enumerate(self.fusions):
            fused.append(fuse(guide, state))
            if layer < len(self.gates):
                state, memory = self.gates[layer](fused[-1], state, memory)
        match self.reads:
            case "F":
                read = fused
            case "F_last":
                read = fused[-1:]
            case "G_last":
                read = [state]
            case "F_and_G_last":
                read = [*fused[:-1], state]
        return self.output(torch.cat(read, 1))

    def views(self, name: str) -> list[View]:
        """The gate of each layer."""
        return [
            View(f"{name}, layer {layer}: gate", gate.seen, _as_it_is, "map", "Figs. 6, 7")
            for layer, gate in enumerate(self.gates, start=1)
            if isinstance(gate, ASGate)
        ]


class FusionUnit(nn.Module):
    """Guide and guided map multiplied in several heads, Eq. 2; the heads of each are one convolution."""

    def __init__(self, guide: int, inner: int, heads: int):
        super().__init__()
        self.heads = heads
        self.guide = xavier(nn.Conv2d(guide, heads * inner, 1), parts=heads)
        self.guided = xavier(nn.Conv2d(inner, heads * inner, 1), parts=heads)

    def forward(self, guide: Tensor, state: Tensor) -> Tensor:
        """F_t (M, C', h, w) of a guide (M, C, h', w') and the state G_{t-1} (M, C', h, w)."""
        guide = self.guide(guide)
        if guide.shape[-2:] != (1, 1):  # a sentence is alike everywhere
            guide = resized(guide, state.shape[-2:])
        return (guide.tanh() * self.guided(state).tanh()).unflatten(1, (self.heads, -1)).sum(1).tanh()


class ASGate(nn.Module):
    """Adaptive spatial gate: where, and in which channels, what was fused comes through; Eq. 3."""

    def __init__(self, channels: int):
        super().__init__()
        self.attend = convolution(channels, channels)
        self.join = convolution(2 * channels, channels)
        self.seen = nn.Identity()

    def forward(self, fused: Tensor, state: Tensor, memory: None) -> tuple[Tensor, None]:
        """G_t of F_t and G_{t-1}, all (M, C, h, w); it has no memory."""
        gate = self.attend(fused + state).sigmoid()
        self.seen(gate.mean(1))
        return self.join(torch.cat([fused, fused * gate], 1)).tanh(), None


class ConvGRU(nn.Module):
    """The gate of a GRU (Table 6)."""

    def __init__(self, channels: int):
        super().__init__()
        self.gates = convolution(2 * channels, 2 * channels, parts=2)  # reset, update
        self.candidate = convolution(2 * channels, channels)

    def forward(self, fused: Tensor, state: Tensor, memory: None) -> tuple[Tensor, None]:
        """G_t of F_t and G_{t-1}, all (M, C, h, w); it has no memory but these."""
        reset, update = self.gates(torch.cat([fused, state], 1)).sigmoid().chunk(2, 1)
        new = self.candidate(torch.cat([fused, reset * state], 1)).tanh()
        return torch.lerp(new, state, update), None


class ConvLSTM(nn.Module):
    """The gates of an LSTM (Table 6); its memory goes from layer to layer."""

    def __init__(self, channels: int):
        super().__init__()
        self.gates = convolution(2 * channels, 4 * channels, parts=4)  # input, forget, output, candidate

    def forward(self, fused: Tensor, state: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """G_t and the memory, of F_t, G_{t-1} and the memory before, which is zero at first; all (M, C, h, w)."""
        take, keep, give, new = self.gates(torch.cat([fused, state], 1)).chunk(4, 1)
        memory = torch.zeros_like(new) if memory is None else memory
        memory = keep.sigmoid() * memory + take.sigmoid() * new.tanh()
        return give.sigmoid() * memory.tanh(), memory


class SentenceBeside(Guided):
    """The sentence at every pixel of the map, where no IGF reads it (Table 2, row 1)."""

    def __init__(self, width: int):
        super().__init__()
        self.narrow = nn.Identity()
        self.layers = conv_norm(2 * width, width, 1)

    def forward(self, sentence: Tensor, x: Tensor) -> Tensor:
        """(M, C, h, w) of a sentence (M, C, 1, 1) and a map (M, C, h, w)."""
        return self.layers(torch.cat([x, sentence.expand(-1, -1, *x.shape[-2:])], 1))


class DetailBeside(Guided):
    """What the decoder may do instead of an IGF (Table 2): M_dec and V1, equally wide, are merged."""

    def __init__(self, coarse: int, fine: int, width: int, merge: nn.Module):
        super().__init__()
        self.coarse = nn.Conv2d(coarse, width, 1)
        self.narrow = nn.Conv2d(fine, width, 1)
        self.merge = merge

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(M, C', h, w) of M_dec (M, C, h', w') and the narrowed V1 (M, C', h, w)."""
        return self.merge(resized(self.coarse(coarse), fine.shape[-2:]), fine)


class Concatenation(nn.Module):
    """Side by side through one convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = conv_norm(2 * width, width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two maps (M, C, h, w) to one."""
        return self.layers(torch.cat([a, b], 1))


class GatedExchange(nn.Module):
    """Each map takes of the other what its own gates let through, as CMSA has it; with two levels instead of three."""

    def __init__(self, width: int):
        super().__init__()
        self.gates = nn.ModuleList([convolution(width, 3 * width, parts=3) for _ in range(2)])  # own, memory, reset

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two maps (M, C, h, w) to one."""
        result = torch.zeros_like(a)
        for gates, itself, other in zip(self.gates, (a, b), (b, a), strict=True):
            own, memory, reset = gates(itself).chunk(3, 1)
            mixed = torch.lerp(own, other, (memory + 1).sigmoid())
            result = result + torch.lerp(itself, mixed.tanh(), (reset + 1).sigmoid())
        return result


class GatedBothWays(nn.Module):
    """Each map goes into the other through a gate that both make, as BRINet has it; with two levels, not three."""

    def __init__(self, width: int):
        super().__init__()
        self.gates = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.ReLU(inplace=True), convolution(width, width))
                for _ in range(2)
            ]
        )
        self.output = convolution(width, width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two maps (M, C, h, w) to one."""
        first, second = (
            gate(torch.cat([p, q], 1)).sigmoid() * p + q for gate, p, q in zip(self.gates, (a, b), (b, a), strict=True)
        )
        return F.relu(self.output(first + second))


def detail_fusion(config: DCMFNetConfig, channels: int) -> Guided | None:
    """How the decoder takes V1, which has so many channels."""
    coarse, width = config.width, config.detail_width
    match config.detail_fusion:
        case "none":
            return None
        case "igf":
            return IGF(config, coarse, width, channels, width, width)
        case "concat":
            merge: nn.Module = Concatenation(width)
        case "gated":
            merge = GatedExchange(width)
        case "gated_bidirectional":
            merge = GatedBothWays(width)
    return DetailBeside(coarse, channels, width, merge)


def convolution(inputs: int, outputs: int, parts: int = 1) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size."""
    return xavier(nn.Conv2d(inputs, outputs, 3, padding=1), parts)


def xavier(conv: nn.Conv2d, parts: int = 1) -> nn.Conv2d:
    """First weights for what is followed by a tanh or a sigmoid, each of several stacked parts on its own.

    Xavier's of all heads together would let what is fused fade from layer to layer.
    """
    for part in conv.weight.detach().chunk(parts):
        nn.init.xavier_uniform_(part)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def resized(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """A map (M, C, h, w) at another size, bilinear."""
    if x.shape[-2:] == tuple(size_hw):
        return x
    return F.interpolate(x, tuple(size_hw), mode="bilinear", align_corners=False)


def _as_it_is(output: Any) -> Tensor:
    return output
