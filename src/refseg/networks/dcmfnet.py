"""DCMFNet: the sentence guides the image encoder between its stages by iterative gated fusion (IGF).

Paper      Z. Huang et al. "DCMFNet: Deep Cross-Modal Fusion Network for Referring Image Segmentation with Iterative
           Gated Fusion". Graphics Interface 2024.
Read with  `IGF` with `FusionUnit` (Eq. 2) and `ASGate` (Eq. 3), the rest of Eqs. 1 and 4 is `IGF` itself; `DCMFNet`
           (Eqs. 5, 6: encoder, ASPP, decoder); then the alternatives of the tables: gates, fusions of the detail.
Departs    The authors published no code. Each head of a fusion has its own weights, which Eq. 2 leaves open: with
           shared ones the sum would be a factor. An IGF inside the encoder has as many channels as the map that it
           guides, and half as many inside. The last gate, which Eq. 4 does not read, is left out. The row without IGF
           (Table 2, row 1) would have no language: there the sentence is joined to M.
           Linear layers of a guide are computed at its own size and then resized, with the same result.
Notation   B images, M expressions, V1 to V4 the encoder's maps with C channels, "M" the map joined of V2 to V4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.aspp import ASPP
from refseg.blocks.convolution import conv_norm
from refseg.blocks.resize import resize_map
from refseg.blocks.view import View, strength
from refseg.config import Channels, Config, Repeats
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.configs import DarkNetConfig, ImageEncoderConfig, SwinConfig, WordEncoderConfig
from refseg.errors import InvalidInput
from refseg.losses import SMALL_REFERENTS, SMALL_THRESHOLD, weighted_cross_entropy
from refseg.networks.network import CalledInParts, Network, Output

PLACES = ("V2", "V3", "V4", "M")  # maps that the sentence may guide, in the order of the forward pass


Stage = Literal["V2", "V3", "V4"]


class DCMFNetConfig(Config):
    """Every choice of the paper's tables; the defaults are its main result."""

    image_encoder: ImageEncoderConfig = Field("swin_base", validate_default=True)  # Table 3
    freeze_encoder_norm: bool = False  # batch norms of the image encoder keep statistics, scale and shift
    word_encoder: WordEncoderConfig = Field("bert_base", validate_default=True)
    max_words: int = Field(15, le=256, ge=3)  # special tokens included; 20 for RefCOCOg

    # Maps with an IGF (Table 2)
    guided_stages: tuple[Stage, ...] = ("V3", "V4")
    guide_fused: bool = True  # the fused map M
    detail_fusion: Literal["none", "concat", "gated", "gated_bidirectional", "igf"] = (
        "igf"  # fusion of V1 in the decoder
    )
    norm_guided: bool = False  # norms stage maps before their IGF, for maps that saturate its tanh

    # IGF
    layers: Repeats = 5  # Table 4
    igf_output: Literal["F", "F_last", "G_last", "F_and_G_last"] = "F"  # Table 5: inputs of its last convolution
    gate: Literal["asgate", "conv_gru", "conv_lstm"] = "asgate"  # Table 6
    heads: Repeats = 5
    narrowing: Repeats = 2  # factor from a guided stage's channels to those inside

    # Widths
    width: Channels = 256  # of the sentence, of M, ASPP and head
    detail_width: Channels = 128  # of V1 in the decoder
    aspp_rates: tuple[Repeats, ...] = Field((6, 12, 18), max_length=16)
    dropouts: tuple[float, float, float] = (0.5, 0.5, 0.1)  # after the ASPP and the head's two convolutions

    class_weights: tuple[float, float] = (1.0, 1.0)  # of background and referent in the loss
    threshold: float = Field(0.5, gt=0, lt=1)  # probability above which a pixel belongs to the referent

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
        image_encoder="small_stride16",  # all but the decoder's detail is at the last map's stride
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
    """Word-independent features of B images.

    Attributes:
        maps: (B, C, h, w) by place, those before the first guided one.
        guided: (B, C', h, w) the first guided map, narrowed.
        detail: (B, C', h, w) V1, narrowed for the decoder; None if unused.
        size_hw: height and width of the images.
    """

    maps: Mapping[str, Tensor]
    guided: Tensor
    detail: Tensor | None
    size_hw: tuple[int, int]


class DCMFNet(Network):
    """DCMFNet: an image encoder guided by the sentence, ASPP, and a decoder with V1 as detail."""

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
        """Computes the maps of normalised images (B, 3, H, W) up to the first guided one."""
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
        """Encodes tokens (M, L) as words (M, L, D)."""
        return self.word_encoder(tokens, word_mask)

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Predicts masks (M, 1, H, W) from words (M, L, D) with word_mask (M, L)."""
        return self.answer(self.masks(features, words, word_mask, image_of_expression))

    def masks(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Tensor:
        """Computes logits (M, 1, H, W), where 0 is a probability of 0.5."""
        sentence = self.sentence(self.word_encoder.sentence(words, word_mask))[:, :, None, None]
        x = self.encoded(features, sentence, image_of_expression)
        x = self.dropout(self.aspp(x))  # M_dec
        if self.detail is not None and features.detail is not None:
            x = self.detail(x, features.detail[image_of_expression])  # E_dec, Eq. 6
        return resize_map(self.head(x).float(), features.size_hw)

    def encoded(self, features: ImageFeatures, sentence: Tensor, image_of_expression: Tensor) -> Tensor:
        """Computes E_enc (M, C, h, w), Eq. 5, for sentences (M, C, 1, 1)."""
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
        """Computes the map of a place: the next stage of x, or the fused stages for "M"."""
        if place != "M":
            return self.image_encoder.stages[PLACES.index(place) + 1](x)
        return self.join(torch.cat([resize_map(maps[stage], maps["V4"].shape[-2:]) for stage in PLACES[:-1]], 1))

    def _normed(self, place: str, x: Tensor) -> Tensor:
        return self.norms[place](x) if place in self.norms else x

    def _guide(self, place: str) -> "Guided":
        return cast(Guided, self.guides[place])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the binary cross-entropy, averaged over pixels at the size of the image."""
        words = self.encode_words(batch.tokens, batch.word_mask)
        logits = self.masks(self.encode_image(batch.image), words, batch.word_mask, batch.image_of_expression)
        return {"loss": weighted_cross_entropy(logits, batch.masks(), self.config.class_weights)}

    def views(self) -> list[View]:
        """Returns of every IGF the fused maps and gates, layer by layer, and its result."""
        guides = {**{place: self._guide(place) for place in self.guides}, "V1": self.detail}
        return [view for name, guide in guides.items() if isinstance(guide, IGF) for view in guide.views(name)]

    def components(self) -> dict[str, list[nn.Module]]:
        """Returns the gate of one layer, of the IGF on M, whose parameters Table 6 gives."""
        guide = self.guides["M"] if "M" in self.guides else None
        return {"gate": [guide.gates[0]]} if isinstance(guide, IGF) and len(guide.gates) else {}


def inside(config: DCMFNetConfig, channels: int) -> int:
    """Returns the channels inside the IGF of a stage.

    Raises:
        InvalidInput: if there would be none.
    """
    if channels < config.narrowing:
        raise InvalidInput(
            f"narrowing {config.narrowing} leaves nothing of a stage of {channels} channels; narrow it less"
        )
    return channels // config.narrowing


def is_normed(config: DCMFNetConfig, place: str) -> bool:
    """Whether a stage's map is normed before use.

    Swin's maps come without norm; maps that enter its next stage, guided or not, are normed there.
    """
    if place in config.guided_stages and config.norm_guided:
        return True
    if not isinstance(config.image_encoder, SwinConfig):
        return False
    if place == "V1":
        return config.detail_fusion != "none"
    return place == "V4" or place not in config.guided_stages


class MapNorm(nn.LayerNorm):
    """Layer norm over each pixel's channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises a map (M, C, h, w)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Guided(nn.Module):
    """Base of guided maps, called with the guide (M, C, h', w') and the narrowed map (M, C', h, w).

    Attributes:
        narrow: first layer on the guided map, independent of the guide.
    """

    narrow: nn.Module


class IGF(Guided, CalledInParts):
    """Iterative gated fusion: guide and guided map are fused, gated, and fused again, Eqs. 1 and 4.

    Args:
        config: of the network.
        guide, guide_inside: channels of the guide, outside and inside.
        guided, inner: channels of the guided map, outside and inside.
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
        """Computes (M, outputs, h, w) from a guide (M, C, h', w') and the narrowed map (M, C', h, w), which is G_0."""
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
        """Returns how strong the fused map of each layer and the result are, and the gate of each layer."""
        views = []
        for layer, fuse in enumerate(self.fusions, start=1):
            views.append(View(f"{name}, layer {layer}: fused", fuse, strength, "map", f"F_{layer}, Fig. 7"))
            gate = self.gates[layer - 1] if layer <= len(self.gates) else None
            if isinstance(gate, ASGate):
                views.append(View(f"{name}, layer {layer}: gate", gate.seen, _as_it_is, "map", "Figs. 6, 7"))
        return [*views, View(f"{name}: IGF", self, strength, "map", "IGF*, Fig. 7")]


class FusionUnit(nn.Module):
    """Multi-head product of guide and guided map, Eq. 2; the heads of each are one convolution."""

    def __init__(self, guide: int, inner: int, heads: int):
        super().__init__()
        self.heads = heads
        self.guide = xavier(nn.Conv2d(guide, heads * inner, 1), parts=heads)
        self.guided = xavier(nn.Conv2d(inner, heads * inner, 1), parts=heads)

    def forward(self, guide: Tensor, state: Tensor) -> Tensor:
        """Computes F_t (M, C', h, w) from a guide (M, C, h', w') and the state G_{t-1} (M, C', h, w)."""
        guide = self.guide(guide)
        if guide.shape[-2:] != (1, 1):  # a sentence is broadcast
            guide = resize_map(guide, state.shape[-2:])
        return (guide.tanh() * self.guided(state).tanh()).unflatten(1, (self.heads, -1)).sum(1).tanh()


class ASGate(nn.Module):
    """ASGate, the paper's own gate on pixels and channels, Eq. 3."""

    def __init__(self, channels: int):
        super().__init__()
        self.attend = convolution(channels, channels)
        self.join = convolution(2 * channels, channels)
        self.seen = nn.Identity()

    def forward(self, fused: Tensor, state: Tensor, memory: None) -> tuple[Tensor, None]:
        """Computes G_t from F_t and G_{t-1}, all (M, C, h, w); memory is None."""
        gate = self.attend(fused + state).sigmoid()
        self.seen(gate.mean(1))
        return self.join(torch.cat([fused, fused * gate], 1)).tanh(), None


class ConvGRU(nn.Module):
    """Gates of a convolutional GRU (Table 6)."""

    def __init__(self, channels: int):
        super().__init__()
        self.gates = convolution(2 * channels, 2 * channels, parts=2)  # reset, update
        self.candidate = convolution(2 * channels, channels)

    def forward(self, fused: Tensor, state: Tensor, memory: None) -> tuple[Tensor, None]:
        """Computes G_t from F_t and G_{t-1}, all (M, C, h, w); memory is None."""
        reset, update = self.gates(torch.cat([fused, state], 1)).sigmoid().chunk(2, 1)
        new = self.candidate(torch.cat([fused, reset * state], 1)).tanh()
        return torch.lerp(new, state, update), None


class ConvLSTM(nn.Module):
    """Gates of a convolutional LSTM (Table 6), with a memory across layers."""

    def __init__(self, channels: int):
        super().__init__()
        self.gates = convolution(2 * channels, 4 * channels, parts=4)  # input, forget, output, candidate

    def forward(self, fused: Tensor, state: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Computes G_t and the memory from F_t, G_{t-1} and the memory, None at first; all (M, C, h, w)."""
        take, keep, give, new = self.gates(torch.cat([fused, state], 1)).chunk(4, 1)
        memory = torch.zeros_like(new) if memory is None else memory
        memory = keep.sigmoid() * memory + take.sigmoid() * new.tanh()
        return give.sigmoid() * memory.tanh(), memory


class SentenceBeside(Guided):
    """Concatenation of the sentence to every pixel, for networks without IGF (Table 2, row 1)."""

    def __init__(self, width: int):
        super().__init__()
        self.narrow = nn.Identity()
        self.layers = conv_norm(2 * width, width, 1)

    def forward(self, sentence: Tensor, x: Tensor) -> Tensor:
        """Fuses a sentence (M, C, 1, 1) and a map (M, C, h, w)."""
        return self.layers(torch.cat([x, sentence.expand(-1, -1, *x.shape[-2:])], 1))


class DetailBeside(Guided):
    """Alternative to IGF in the decoder (Table 2): M_dec and V1 are projected to one width and merged."""

    def __init__(self, coarse: int, fine: int, width: int, merge: nn.Module):
        super().__init__()
        self.coarse = nn.Conv2d(coarse, width, 1)
        self.narrow = nn.Conv2d(fine, width, 1)
        self.merge = merge

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Fuses M_dec (M, C, h', w') and the narrowed V1 (M, C', h, w) to (M, C', h, w)."""
        return self.merge(resize_map(self.coarse(coarse), fine.shape[-2:]), fine)


class Concatenation(nn.Module):
    """One convolution on two concatenated maps."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = conv_norm(2 * width, width)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Merges two maps (M, C, h, w)."""
        return self.layers(torch.cat([a, b], 1))


class GatedExchange(nn.Module):
    """Gated exchange between two maps, each by its own gates; CMSA's, for two levels instead of three."""

    def __init__(self, width: int):
        super().__init__()
        self.gates = nn.ModuleList([convolution(width, 3 * width, parts=3) for _ in range(2)])  # own, memory, reset

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Merges two maps (M, C, h, w)."""
        result = torch.zeros_like(a)
        for gates, itself, other in zip(self.gates, (a, b), (b, a), strict=True):
            own, memory, reset = gates(itself).chunk(3, 1)
            mixed = torch.lerp(own, other, (memory + 1).sigmoid())
            result = result + torch.lerp(itself, mixed.tanh(), (reset + 1).sigmoid())
        return result


class GatedBothWays(nn.Module):
    """Gated addition of two maps, each by a gate from both; BRINet's, for two levels instead of three."""

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
        """Merges two maps (M, C, h, w)."""
        first, second = (
            gate(torch.cat([p, q], 1)).sigmoid() * p + q for gate, p, q in zip(self.gates, (a, b), (b, a), strict=True)
        )
        return F.relu(self.output(first + second))


def detail_fusion(config: DCMFNetConfig, channels: int) -> Guided | None:
    """Builds the decoder's fusion of V1 with so many channels; None without detail."""
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
    """Returns a 3 x 3 convolution that keeps the size, initialised by `xavier`."""
    return xavier(nn.Conv2d(inputs, outputs, 3, padding=1), parts)


def xavier(conv: nn.Conv2d, parts: int = 1) -> nn.Conv2d:
    """Initialises a convolution before a tanh or sigmoid by Xavier, each of several stacked parts separately.

    Initialised together, the heads' output would fade from layer to layer.
    """
    for part in conv.weight.detach().chunk(parts):
        nn.init.xavier_uniform_(part)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _as_it_is(output: Any) -> Tensor:
    return output
