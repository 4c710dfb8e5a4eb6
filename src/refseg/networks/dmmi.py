"""DMMI: dual multi-modal interaction, for expressions that name one referent, several, or none.

Paper      Y. Hu et al. "Beyond One-to-One: Rethinking the Referring Image Segmentation". ICCV 2023.
           https://arxiv.org/abs/2308.13853
Read with  `MBA` (Eqs. 2 to 6), `StageFusion` (how a stage goes on with it), `Decoder` (Eq. 7), `ContextClueRecovery`
           and `similarity_loss` (the decoder that recovers erased words), `ContrastiveLoss`, `DMMI`.
Departs    Where the paper and the authors' release differ, this is the release, whose weights it takes:
           Eq. 2       the score of a region is that of its convolved queries; the paper: the sum of its pixels' scores.
           Eqs. 2, 5   all scores are divided by the root of the stage's width, those of words too.
           Eq. 3       the scores of regions are weighted by a softmax of learnt numbers; the paper: by the numbers.
           after 4     pixels are updated by a product with their projection, through a gate; the decoder reads the
                       attended map with a norm (Swin) or the updated one (ResNet).
           Eq. 5       a window of three words is centred, and mixed by learnt weights; the paper: it starts at a word.
           Eq. 6       words are updated with a residual; the paper: they are what was attended.
           CCR         erased words query the pixels; the paper: pixels query them.
           Loss        L_sim and L_con are weighted 0.01 each; the paper: their plain sum. The cross-entropy is that of
                       two classes, weighted 0.9 and 1.1; the paper: binary.
           Unused weights of the release are left out: biases that an instance norm or a softmax cancels, the last
           stage's gate where skip features are taken before it, and copies of the three Transformer layers.
Notation   B images, M expressions, N = h * w pixels, T words, D channels of a stage, W of the words, C of the decoder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.attention import Attention
from refseg.blocks.autocast import full_precision
from refseg.blocks.convolution import conv_norm
from refseg.blocks.language_gate import Gate
from refseg.blocks.pixel_sequence import EPS, as_map, as_pixels, instance_norm, to_image
from refseg.blocks.upsample_concat import JoinScales
from refseg.blocks.view import View
from refseg.config import Channels, Config, Repeats
from refseg.counting import counted
from refseg.distributed import gather_rows, mean
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.configs import ImageEncoderConfig, WordEncoderConfig
from refseg.errors import InvalidInput
from refseg.losses import SMALL_REFERENTS_AT_HALF, weighted_cross_entropy
from refseg.networks.network import Network, Output, pad_mask, pad_words

MASKED = -1e4  # attention logit of a padding word


MIN_PIXELS_PER_CHANNEL = 4  # above it the covariance of pixels costs less than the pixels


class ContrastiveConfig(Config):
    """Contrastive loss of pooled image and expression."""

    weight: float = Field(0.01, gt=0)
    temperature: float = Field(0.05, gt=0)
    gathered: bool = False  # contrast with all processes' expressions; the release: each process with its own


class DMMIConfig(Config):
    """Every choice of the network; the defaults are the authors' main result."""

    image_encoder: ImageEncoderConfig = Field("swin_base", validate_default=True)
    word_encoder: WordEncoderConfig = Field("bert_base", validate_default=True)
    max_words: int = Field(20, le=256, ge=3)  # padding is read, so the output depends on it

    # MBA
    regions: tuple[Repeats, ...] = Field((1, 3, 5), min_length=1, max_length=16)  # text to image: sides in pixels
    windows: tuple[Repeats, ...] = Field(
        (1, 2, 3), max_length=16
    )  # image to text: lengths in words; () leaves this direction out

    # After MBA; None: the authors' choice for the image encoder
    skip: Literal["attended", "fused"] | None = None  # input of the decoder from a stage; Swin: attended
    gate: Literal["small", "uniform"] | None = None  # initial weights: normal with std 0.02 (Swin), or PyTorch's

    # Decoder
    hidden: Channels = 768
    heads: Repeats = 8
    feed_forward: Channels = 2048
    dropout: float = Field(0.1, ge=0, lt=1)

    # Losses
    class_weights: tuple[float, float] = (0.9, 1.1)  # of background and referent
    similarity: float = Field(0.01, ge=0)  # weight of recovered words; 0 leaves out the recovery (CCR)
    contrastive: ContrastiveConfig | None = ContrastiveConfig()

    @field_validator("regions", "windows")
    @classmethod
    def _positive(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if any(size < 1 for size in sizes):
            raise ValueError("sizes are at least 1")
        return sizes

    @field_validator("regions")
    @classmethod
    def _odd(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if any(size % 2 == 0 for size in sizes):
            raise ValueError("sides of regions are odd: a region has a pixel in its middle")
        return sizes

    @field_validator("heads")
    @classmethod
    def _divides(cls, heads: int, info: ValidationInfo) -> int:
        if info.data.get("hidden", heads) % heads:
            raise ValueError(f"{heads} heads do not divide {info.data['hidden']} channels")
        return heads

    def as_published(self) -> Self:
        """Returns these settings with the authors' choices for the image encoder in place of None."""
        swin = self.image_encoder.kind == "swin"
        skip, gate = ("attended", "small") if swin else ("fused", "uniform")
        return self.replace(skip=self.skip or skip, gate=self.gate or gate)


PRESETS = {
    "dmmi_swin_base": DMMIConfig(),
    "dmmi_resnet101": DMMIConfig(image_encoder="resnet101"),
    "dmmi_swin_tiny": DMMIConfig(image_encoder="swin_tiny"),
    "dmmi_swin_small": DMMIConfig(image_encoder="swin_small"),
    "dmmi_swin_large": DMMIConfig(image_encoder="swin_large"),
    "dmmi_resnet50": DMMIConfig(image_encoder="resnet50"),
    "dmmi_small": DMMIConfig(
        image_encoder="small",
        word_encoder="bert_small",
        max_words=24,
        hidden=32,
        heads=4,
        feed_forward=128,
        dropout=0,
        skip="attended",  # as with Swin: the trained stages are passed what they know, the decoder what was attended
        gate="small",
        class_weights=SMALL_REFERENTS_AT_HALF,
    ),
}


@dataclass
class ImageFeatures:
    """Word-independent features of B images.

    Attributes:
        first: (B, D, h, w) the first stage's map.
        size_hw: height and width of the images.
    """

    first: Tensor
    size_hw: tuple[int, int]


class DMMI(Network):
    """DMMI: two encoders that interact after every stage, a mask decoder, and heads for training."""

    idea = "Words look at pixels and pixels at words after every stage; a mask is decoded from both"
    presets = PRESETS
    reads_erased = True
    config: DMMIConfig
    training_only = ("recovery.", "summary.", "contrast.")

    def __init__(self, config: DMMIConfig, vocabulary_size: int):
        super().__init__()
        self.config = config
        config = config.as_published()
        self.image_encoder = build_image_encoder(config.image_encoder)
        self.word_encoder = build_word_encoder(config.word_encoder, vocabulary_size)
        channels, words, width = self.image_encoder.channels, self.word_encoder.channels, config.hidden
        read_on = [True, True, True, config.skip == "fused"]
        self.fusions = nn.ModuleList(
            [StageFusion(config, c, words, gated) for c, gated in zip(channels, read_on, strict=True)]
        )
        self.to_decoder = nn.Identity() if words == width else nn.Linear(words, width)
        self.decoder = Decoder(config, channels)
        self.recovery = ContextClueRecovery(config) if config.similarity else None
        self.summary = Summary(width) if config.contrastive else None
        contrastive = config.contrastive
        self.contrast = (
            ContrastiveLoss(width, contrastive.temperature, contrastive.gathered) if contrastive is not None else None
        )

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Computes stem and first stage of normalised images (B, 3, H, W)."""
        first = self.image_encoder.stages[0](self.image_encoder.stem(image))
        return ImageFeatures(first, (image.shape[-2], image.shape[-1]))

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words (M, max_words, W), padding included."""
        return self.word_encoder(*pad_words(tokens, word_mask, self.config.max_words))

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Predicts masks (M, 1, H, W) from words (M, T, W) with word_mask (M, L), L up to T."""
        word_mask = pad_mask(word_mask, words.shape[1])
        skips, words = self.fused_stages(features.first[image_of_expression], words, word_mask)
        return self.answer(to_image(self.decoder(skips, words), features.size_hw))

    def fused_stages(self, x: Tensor, words: Tensor, word_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Computes the decoder's input maps, finest first, and its words (M, T, C).

        Args:
            x: (M, D, h, w) the first stage's map.
            words: (M, T, W).
            word_mask: (M, T).
        """
        x, skip, words = self.fusions[0](x, words, word_mask)
        skips = [skip]
        for stage, fusion in zip(self.image_encoder.stages[1:], self.fusions[1:], strict=True):
            x, skip, words = fusion(stage(x), words, word_mask)
            skips.append(skip)
        return skips, self.to_decoder(words)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes mask, similarity and contrastive loss.

        Raises:
            InvalidInput: if CCR is trained on a batch without erased tokens.
        """
        config = self.config
        named = batch.targets.any(1)  # False for no-target expressions
        words, word_mask = self.encode_words(batch.tokens, batch.word_mask), batch.word_mask
        word_mask = pad_mask(word_mask, words.shape[1])
        features = self.encode_image(batch.image)
        skips, words = self.fused_stages(features.first[batch.image_of_expression], words, word_mask)
        maps: list[Tensor] = []
        logits = to_image(self.decoder(skips, words, maps.append), features.size_hw)

        losses = {"mask": weighted_cross_entropy(logits, batch.masks(), config.class_weights)}
        total = losses["mask"]
        if self.recovery is not None:
            if batch.erased is None:
                raise InvalidInput("the batch has no `erased` tokens; give them, or set similarity=0")
            erased = self.to_decoder(self.encode_words(batch.erased, batch.word_mask))
            recovered = self.recovery(maps[1], erased)
            losses["similarity"] = similarity_loss(words, recovered, word_mask, named)
            total = total + config.similarity * losses["similarity"]
        if self.contrast is not None and self.summary is not None and config.contrastive is not None:
            losses["contrastive"] = self.contrast(self.summary(maps), words, named)
            total = total + config.contrastive.weight * losses["contrastive"]
        return {"loss": total, **{name: part.detach() for name, part in losses.items()}}

    def views(self) -> list[View]:
        """Returns, per stage, word attention of pixels, pixel attention of words, and the weights of scales."""
        config, views = self.config, []
        for stage, fusion in enumerate(self.fusions, start=1):
            assert isinstance(fusion, StageFusion)
            to_words, to_pixels = fusion.mba.text_to_image, fusion.mba.image_to_text
            views.append(
                View(
                    f"stage {stage}: words",
                    to_words.seen,
                    _as_it_is,
                    "words",
                    "Eq. 3",
                    meaning="attention of pixels to each word, averaged over them",
                )
            )
            if len(config.regions) > 1:
                labels = [f"{side} x {side} pixels" for side in config.regions]
                views.append(
                    View(f"stage {stage}: regions", to_words.mix.shares, _as_it_is, "weights", "Eq. 3", labels)
                )
            if to_pixels is None:
                continue
            views.append(View(f"stage {stage}: pixels", to_pixels.seen, _as_it_is, "map", "Eq. 6"))
            if len(config.windows) > 1:
                labels = [counted(length, "word") for length in config.windows]
                views.append(
                    View(f"stage {stage}: windows", to_pixels.mix.shares, _as_it_is, "weights", "Eq. 5", labels)
                )
        return views


class StageFusion(nn.Module):
    """MBA with its outputs for the next stage, for the decoder and for the words."""

    def __init__(self, config: DMMIConfig, channels: int, word_channels: int, gated: bool):
        super().__init__()
        self.mba = MBA(config, channels, word_channels)
        self.gate = Gate(channels, config.gate) if gated else None
        self.skip_norm = nn.LayerNorm(channels) if config.skip == "attended" else None
        self.word_update = nn.Linear(word_channels, word_channels) if config.windows else None

    def forward(self, x: Tensor, words: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes the fused map, the decoder's map, and the new words.

        Args:
            x: (M, D, h, w) a stage's map.
            words: (M, T, W).
            word_mask: (M, T).

        Returns:
            Two of (M, D, h, w), and (M, T, W).
        """
        size_hw = x.shape[-2:]
        pixels = as_pixels(x)
        attended, word_context = self.mba(pixels, size_hw, words, word_mask)
        fused = as_map(attended if self.gate is None else self.gate(pixels, attended), size_hw)
        skip = fused if self.skip_norm is None else as_map(self.skip_norm(attended), size_hw)
        if self.word_update is not None:
            words = words + F.gelu(self.word_update(word_context))
        return fused, skip, words


class MBA(nn.Module):
    """Multi-scale bi-direction attention (MBA): pixels attend to words, and words to pixels."""

    def __init__(self, config: DMMIConfig, channels: int, word_channels: int):
        super().__init__()
        self.text_to_image = TextToImage(channels, word_channels, config.regions)
        self.image_to_text = ImageToText(channels, word_channels, config.windows) if config.windows else None
        self.visual = nn.Linear(channels, channels)
        self.join = nn.Linear(channels, channels)

    def forward(
        self, pixels: Tensor, size_hw: tuple[int, int], words: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Computes language features of pixels, and visual features of words.

        Args:
            pixels: (M, N, D).
            size_hw: size of their map, N = h * w.
            words: (M, T, W).
            word_mask: (M, T).

        Returns:
            (M, N, D), and (M, T, W) or None.
        """
        language = self.text_to_image(pixels, size_hw, words, word_mask)
        attended = F.gelu(self.join(F.gelu(self.visual(pixels)) * language))
        if self.image_to_text is None:
            return attended, None
        return attended, self.image_to_text(pixels, size_hw, words, word_mask)


class TextToImage(nn.Module):
    """Attention of each pixel, with the region around it, to words."""

    def __init__(self, channels: int, word_channels: int, regions: Sequence[int]):
        super().__init__()
        self.regions = nn.ModuleList([Region(channels, word_channels, side) for side in regions])
        self.mix = Mixture(len(regions))
        self.value = nn.Linear(word_channels, channels, bias=False)
        self.project = nn.Linear(channels, channels, bias=False)
        self.seen = nn.Identity()

    def forward(self, pixels: Tensor, size_hw: tuple[int, int], words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes language features (M, N, D) of pixels; arguments as in `MBA`."""
        attention = self.mix([region(pixels, size_hw, words, word_mask) for region in self.regions])  # Eq. 3
        self.seen(attention.mean(1))
        value = self.value(words) * word_mask.unsqueeze(-1)
        return instance_norm(attention @ self.project(value))  # Eq. 4; words are fewer than pixels: project them


class Region(nn.Module):
    """Attention whose queries are convolutions over regions of this size."""

    def __init__(self, channels: int, word_channels: int, side: int):
        super().__init__()
        inner = channels // 2 ** (side // 2)
        self.narrow = nn.Linear(channels, inner, bias=False)
        self.query = nn.Conv2d(inner, channels, side, padding=side // 2, bias=False)
        self.key = nn.Linear(word_channels, channels, bias=False)
        self.scale = channels**-0.5

    def forward(self, pixels: Tensor, size_hw: tuple[int, int], words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes attention (M, N, T) over words; arguments as in `MBA`."""
        narrow = as_map(instance_norm(self.narrow(pixels)), size_hw)
        query = instance_norm(as_pixels(self.query(narrow)))
        key = self.key(words) * (self.scale * word_mask.unsqueeze(-1))
        return (query @ key.mT).masked_fill(~word_mask.unsqueeze(1), MASKED).softmax(-1)  # Eq. 2


class ImageToText(nn.Module):
    """Attention of each word, with the window around it, to pixels."""

    def __init__(self, channels: int, word_channels: int, windows: Sequence[int]):
        super().__init__()
        self.windows = nn.ModuleList([Window(channels, word_channels, length) for length in windows])
        self.mix = Mixture(len(windows))
        self.value = nn.Linear(channels, word_channels, bias=False)
        self.project = nn.Linear(word_channels, word_channels)
        self.seen = nn.Identity()

    def forward(self, pixels: Tensor, size_hw: tuple[int, int], words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes visual features (M, T, W) of words; arguments as in `MBA`."""
        normed = NormedPixels(pixels)
        attention = self.mix([window(normed, words, word_mask) for window in self.windows])  # Eq. 5
        share = word_mask / word_mask.sum(1, keepdim=True).clamp(min=1)
        self.seen((share.to(attention.dtype).unsqueeze(1) @ attention).unflatten(-1, size_hw).squeeze(1))
        return self.project(normed.average(self.value, attention))  # Eq. 6


class Window(nn.Module):
    """Attention whose queries are convolutions over windows of this length."""

    def __init__(self, channels: int, word_channels: int, length: int):
        super().__init__()
        inner = channels // length
        self.narrow = nn.Linear(word_channels, inner)
        self.query = nn.Conv1d(inner, word_channels, length)
        self.key = nn.Linear(channels, word_channels, bias=False)
        self.reach = length // 2, (length - 1) // 2  # words before and after
        self.scale = channels**-0.5  # though the products are over the channels of words

    def forward(self, pixels: "NormedPixels", words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes attention (M, T, N) over pixels; that of padding is uniform."""
        narrow = F.pad(self.narrow(words).mT, self.reach, mode="replicate")
        query = self.query(narrow).mT * (self.scale * word_mask.unsqueeze(-1))
        return pixels.scores(self.key, query).softmax(-1)


class NormedPixels:
    """Products of a few queries with linear layers of pixels, each followed by an instance norm.

    The norm is linear in the pixels once the variances of the channels are known. Those of W x are diag(W S W^T), with
    the covariance S of x, which all layers share; with many pixels no layer's output is formed.

    Args:
        pixels: (M, N, D).
    """

    def __init__(self, pixels: Tensor):
        self.pixels = pixels - pixels.mean(1, keepdim=True)
        self._covariance: Tensor | None = None
        _, count, channels = pixels.shape
        if count > MIN_PIXELS_PER_CHANNEL * channels:
            with full_precision(pixels):  # in float64, since small variances are small differences of large numbers
                exact = self.pixels.double()
                self._covariance = exact.mT @ exact / count

    def scores(self, layer: nn.Linear, queries: Tensor) -> Tensor:
        """Computes the products (M, T, N) of queries (M, T, K) with norm(layer(pixels))."""
        return (queries * self._scale(layer)) @ layer.weight @ self.pixels.mT

    def average(self, layer: nn.Linear, weights: Tensor) -> Tensor:
        """Computes the sums (M, T, K) of norm(layer(pixels)) with weights (M, T, N)."""
        return (weights @ self.pixels) @ layer.weight.mT * self._scale(layer)

    def _scale(self, layer: nn.Linear) -> Tensor:
        """Computes the inverse standard deviation (M, 1, K) of layer(pixels)."""
        if self._covariance is None:
            variance = layer(self.pixels).square().mean(1, keepdim=True)
        else:
            with full_precision(self.pixels):
                weight = layer.weight.double()
                variance = (weight @ self._covariance).mul(weight).sum(-1).unsqueeze(1)
        return (variance + EPS).rsqrt().to(self.pixels.dtype)


class Mixture(nn.Module):
    """Sum of the attentions of several scales with learned weights (lambda of Eq. 3)."""

    def __init__(self, count: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(count)) if count > 1 else None
        self.shares = nn.Softmax(dim=0)

    def forward(self, attentions: list[Tensor]) -> Tensor:
        """Sums tensors of one shape; a single one is returned unchanged."""
        if self.weight is None:
            return attentions[0]
        parts = [share * attention for share, attention in zip(self.shares(self.weight), attentions, strict=True)]
        return torch.stack(parts).sum(0)


class Decoder(nn.Module):
    """Decoder of skip features from coarse to fine, with attention to words between the scales."""

    def __init__(self, config: DMMIConfig, channels: Sequence[int]):
        super().__init__()
        width = config.hidden
        c1, c2, c3, c4 = channels
        self.join_16, self.query_16 = JoinScales(c4 + c3, width), QueryLayer(config)
        self.join_8, self.query_8 = JoinScales(width + c2, width), QueryLayer(config)
        self.join_4 = JoinScales(width + c1, width)
        self.classify = nn.Linear(width, 2)  # background, referent

    def forward(self, skips: list[Tensor], words: Tensor, keep: Callable[[Tensor], object] | None = None) -> Tensor:
        """Computes logits (M, h, w, 2) at the finest map's size.

        Args:
            skips: (M, D, h, w) of each stage, finest first; the list is emptied to release memory.
            words: (M, T, C).
            keep: called with the map (M, C, h, w) of each scale, coarsest first, before its attention to words.
        """
        x = self.join_16(skips.pop(), skips.pop())
        if keep is not None:
            keep(x)
        x = as_map(self.query_16(as_pixels(x), words), x.shape[-2:])  # Eq. 7
        x = self.join_8(x, skips.pop())
        if keep is not None:
            keep(x)
        x = as_map(self.query_8(as_pixels(x), words), x.shape[-2:])
        if keep is None:
            return self.join_4.read(x, skips.pop(), self.classify)
        x = self.join_4(x, skips.pop())
        keep(x)
        return self.classify(x.permute(0, 2, 3, 1))


class QueryLayer(nn.Module):
    """Transformer decoder layer with norms after self-attention, attention to the memory and feed-forward."""

    def __init__(self, config: DMMIConfig):
        super().__init__()
        width = config.hidden
        self.among = Attention(width, config.heads, config.dropout)
        self.memory = Attention(width, config.heads, config.dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.feed_forward),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.feed_forward, width),
        )
        self.among_norm, self.memory_norm, self.feed_norm = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Updates queries (M, N, C) by memory (M, L, C), padding included."""
        x = self.among_norm(queries + self.dropout(self.among(queries, queries, queries)))
        x = self.memory_norm(x + self.dropout(self.memory(x, memory, memory)))
        return self.feed_norm(x + self.dropout(self.feed_forward(x)))


class ContextClueRecovery(nn.Module):
    """Context clue recovery (CCR): recovers the erased words of an expression from the image."""

    def __init__(self, config: DMMIConfig):
        super().__init__()
        self.visual = conv_norm(config.hidden, config.hidden)
        self.query = QueryLayer(config)

    def forward(self, x: Tensor, erased: Tensor) -> Tensor:
        """Recovers words (M, T, C) from a map (M, C, h, w) and words (M, T, C) of the erased expression."""
        return self.query(erased, as_pixels(self.visual(x)))


def similarity_loss(words: Tensor, recovered: Tensor, word_mask: Tensor, named: Tensor) -> Tensor:
    """Computes one minus the cosine similarity of recovered words and those of the whole expression, detached.

    Args:
        words: (M, T, C) of the whole expression.
        recovered: (M, T, C).
        word_mask: (M, T); padding is left out.
        named: (M,) bool, False for no-target expressions, whose similarity is 0.
    """
    alike = F.cosine_similarity(words.detach().float(), recovered.float(), dim=-1, eps=1e-6) * word_mask
    alike = alike.sum(1) / word_mask.sum(1).clamp(min=1)
    return 1 - mean(alike * named)


class Summary(nn.Module):
    """Pooled vector of an image, from the decoder's three scales."""

    def __init__(self, width: int):
        super().__init__()
        self.joins = nn.ModuleList([nn.Linear(2 * width, width), nn.Linear(2 * width, width)])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Pools three maps (M, C, h, w), coarsest first, to (M, C)."""
        first, *others = (x.mean((-2, -1)) for x in maps)
        for join, other in zip(self.joins, others, strict=True):
            first = join(torch.cat([first, other], dim=-1))
        return first


class ContrastiveLoss(nn.Module):
    """Contrastive loss between the images and the expressions of a batch."""

    def __init__(self, width: int, temperature: float, gathered: bool = False):
        super().__init__()
        self.align = nn.Linear(width, width)
        self.temperature, self.gathered = temperature, gathered

    def forward(self, image: Tensor, words: Tensor, named: Tensor) -> Tensor:
        """Computes the loss, summed over both directions.

        Args:
            image: (M, C), from `Summary`.
            words: (M, T, C), padding included.
            named: (M,) bool, False for no-target expressions, which are negatives only.
        """
        expression = self.align(words).mean(1)
        with full_precision(image):
            image, expression = F.normalize(image.float(), dim=-1), F.normalize(expression.float(), dim=-1)
            (images, first), (expressions, _) = (
                gather_rows(rows) if self.gathered else (rows, 0) for rows in (image, expression)
            )
            partner = first + torch.arange(len(image), device=image.device)
            both = F.cross_entropy(image @ expressions.mT / self.temperature, partner, reduction="none")
            both = both + F.cross_entropy(expression @ images.mT / self.temperature, partner, reduction="none")
        return mean(both * named)


def _as_it_is(output: Any) -> Tensor:
    return output
