"""LAVT: words enter a Swin Transformer between its stages, through pixel-word attention and a gate.

Paper      Z. Yang et al. "LAVT: Language-Aware Vision Transformer for Referring Image Segmentation". CVPR 2022.
           https://arxiv.org/abs/2112.02244
Read with  `PWAM` (pixel-word attention module), `StageFusion` (its norm for the decoder, and the language pathway's
           gate, `blocks.language_gate`), `LAVT.levels`, `Decoder`.
Departs    Where the paper and the authors' release differ, this is the release, whose weights it takes: the decoder
           reads a normed F_i, PWAM has GELUs, the mask is resized with aligned corners.
           Unused weights of the release are left out: biases that an instance norm or a softmax cancels, and the last
           stage's gate.
Notation   B images, M expressions, N = h * w pixels, T words, D channels of a stage, W of the words, C of the decoder.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.aligner import Aligner, AlignerConfig
from refseg.blocks.convolution import conv_norm
from refseg.blocks.language_gate import Gate
from refseg.blocks.pixel_sequence import as_map, as_pixels, instance_norm, to_image
from refseg.blocks.upsample_concat import JoinScales
from refseg.blocks.view import View
from refseg.config import Channels, Config, Repeats
from refseg.distributed import mean
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.configs import ImageEncoderConfig, WordEncoderConfig
from refseg.encoders.image_encoder import check_third_map
from refseg.errors import InvalidInput
from refseg.losses import SMALL_REFERENTS_AT_HALF, weighted_cross_entropy
from refseg.networks.network import Network, Output

MASKED = -1e4  # attention logit of a padding word


class LAVTConfig(Config):
    """Every choice of the network; the defaults are the authors' main result."""

    image_encoder: ImageEncoderConfig = Field("swin_base", validate_default=True)
    word_encoder: WordEncoderConfig = Field("bert_base", validate_default=True)
    max_words: Repeats = 20  # that the tokenizer keeps
    heads: tuple[Repeats, Repeats, Repeats, Repeats] = (1, 1, 1, 1)  # of each stage's PWAM
    fusion_drop: float = Field(0.0, ge=0, lt=1)  # dropout after each of its GELUs
    hidden: Channels | None = None  # channels of the decoder; None: four times those of the first stage
    loss: Literal["cross_entropy", "dice"] = (
        "cross_entropy"  # the authors' Dice loss was not released, this one is ours
    )
    class_weights: tuple[float, float] = (0.9, 1.1)  # of background and referent in the cross-entropy
    aligner: AlignerConfig | None = None  # EAVL's, in place of the last convolution

    @field_validator("heads")
    @classmethod
    def _positive(cls, heads: tuple[int, ...]) -> tuple[int, ...]:
        if min(heads) < 1:
            raise ValueError("a stage has at least 1 head")
        return heads


_SMALL = LAVTConfig(
    image_encoder="small", word_encoder="bert_small", max_words=24, hidden=32, class_weights=SMALL_REFERENTS_AT_HALF
)
PRESETS = {
    "lavt_swin_base": LAVTConfig(),
    "lavt_swin_tiny": LAVTConfig(image_encoder="swin_tiny"),
    "lavt_swin_small": LAVTConfig(image_encoder="swin_small"),
    "lavt_swin_large": LAVTConfig(image_encoder="swin_large"),
    "lavt_swin_base_aligner": LAVTConfig(aligner=AlignerConfig(), class_weights=(1, 1)),  # EAVL's Table V
    "lavt_small": _SMALL,
    "lavt_small_aligner": _SMALL.replace(aligner=AlignerConfig(width=64, image_size=128)),
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


class LAVT(Network):
    """LAVT: words enter after every stage of the image encoder; a convolutional decoder predicts the mask."""

    idea = "Pixels look at words after every stage of the image encoder, and take of them what a gate lets through"
    presets = PRESETS
    config: LAVTConfig

    def __init__(self, config: LAVTConfig, vocabulary_size: int):
        super().__init__()
        self.config = config
        self.image_encoder = build_image_encoder(config.image_encoder)
        if config.aligner:
            check_third_map(self.image_encoder)
        self.word_encoder = build_word_encoder(config.word_encoder, vocabulary_size)
        channels, words = self.image_encoder.channels, self.word_encoder.channels
        self.fusions = nn.ModuleList(
            [
                # no stage follows the last one
                StageFusion(c, words, heads, config.fusion_drop, gated=stage < len(channels))
                for stage, (c, heads) in enumerate(zip(channels, config.heads, strict=True), start=1)
            ]
        )
        hidden = config.hidden or 4 * channels[0]
        self.decoder = Decoder(channels, hidden, classify=config.aligner is None)
        self.aligner = AlignerHead(config.aligner, channels, hidden, words) if config.aligner else None

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Computes stem and first stage of normalised images (B, 3, H, W)."""
        first = self.image_encoder.stages[0](self.image_encoder.stem(image))
        return ImageFeatures(first, (image.shape[-2], image.shape[-1]))

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words (M, L, W)."""
        return self.word_encoder(tokens, word_mask)

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Predicts masks (M, 1, H, W) from words (M, T, W) with word_mask (M, T)."""
        return self.answer(self.masks(features, words, word_mask, image_of_expression))

    def masks(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Tensor:
        """Computes logits (M, 1, H, W); arguments as in `fuse`."""
        levels = self.levels(features.first[image_of_expression], words, word_mask)
        if self.aligner is None:
            return to_image(self.decoder(levels), features.size_hw)
        logits = self.aligner(self.decoder.map(levels), levels, words, word_mask).float()
        return F.interpolate(logits, features.size_hw, mode="bilinear", align_corners=True)

    def levels(self, x: Tensor, words: Tensor, word_mask: Tensor) -> list[Tensor]:
        """Computes the decoder's input maps (M, D, h, w) of all stages, finest first.

        Args:
            x: (M, D, h, w) the first stage's map.
            words: (M, T, W).
            word_mask: (M, T).
        """
        x, level = self.fusions[0](x, words, word_mask)
        levels = [level]
        for stage, fusion in zip(self.image_encoder.stages[1:], self.fusions[1:], strict=True):
            x, level = fusion(stage(x), words, word_mask)
            levels.append(level)
        return levels

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the loss of a training batch."""
        words = self.encode_words(batch.tokens, batch.word_mask)
        logits = self.masks(self.encode_image(batch.image), words, batch.word_mask, batch.image_of_expression)
        if self.config.loss == "dice":
            return {"loss": dice_loss(logits, batch.masks())}
        return {"loss": weighted_cross_entropy(logits, batch.masks(), self.config.class_weights)}

    def views(self) -> list[View]:
        """Returns the word attention of each stage's pixels, and the aligner's views."""
        stages = [
            View(
                f"stage {stage}: words",
                fusion.pwam.seen,  # type: ignore[union-attr, arg-type]
                _as_it_is,
                "words",
                "PWAM",
                meaning="attention of pixels to each word, averaged over them and over heads",
            )
            for stage, fusion in enumerate(self.fusions, start=1)
        ]
        return stages + (self.aligner.align.masks.views() if self.aligner else [])


class StageFusion(nn.Module):
    """PWAM with its two outputs, for the next stage and for the decoder."""

    def __init__(self, channels: int, word_channels: int, heads: int, dropout: float, gated: bool):
        super().__init__()
        self.pwam = PWAM(channels, word_channels, heads, dropout)
        self.gate = Gate(channels, "small") if gated else None
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, words: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the next stage's map (x itself without a gate) and the decoder's, both (M, D, h, w).

        Args:
            x: (M, D, h, w) a stage's map.
            words: (M, T, W).
            word_mask: (M, T).
        """
        size_hw = x.shape[-2:]
        pixels = as_pixels(x)
        attended = self.pwam(pixels, words, word_mask)
        level = as_map(self.norm(attended), size_hw)
        return (x if self.gate is None else as_map(self.gate(pixels, attended), size_hw)), level


class PWAM(nn.Module):
    """Pixel-word attention module: pixels are multiplied by the words that they attend to."""

    def __init__(self, channels: int, word_channels: int, heads: int, dropout: float = 0.0):
        super().__init__()
        self.attention = PixelWordAttention(channels, word_channels, heads)
        self.visual = nn.Linear(channels, channels)
        self.join = nn.Linear(channels, channels)
        self.drop = nn.Dropout(dropout)

    @property
    def seen(self) -> nn.Module:
        """Module that outputs the attention of pixels to words, averaged (M, T)."""
        return self.attention.seen

    def forward(self, pixels: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes the paper's F_i (M, N, D) from pixels (M, N, D), words (M, T, W) and word_mask (M, T)."""
        language = self.attention(pixels, words, word_mask)
        return self.drop(F.gelu(self.join(self.drop(F.gelu(self.visual(pixels))) * language)))


class PixelWordAttention(nn.Module):
    """Attention of pixels to words."""

    def __init__(self, channels: int, word_channels: int, heads: int):
        super().__init__()
        if channels % heads:
            raise InvalidInput(f"{heads} heads do not divide the {channels} channels of their stage; change heads")
        self.heads = heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(word_channels, channels, bias=False)
        self.value = nn.Linear(word_channels, channels, bias=False)
        self.project = nn.Linear(channels, channels, bias=False)
        self.scale = channels**-0.5  # of all channels, however many heads share them
        self.seen = nn.Identity()

    def forward(self, pixels: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes language features (M, N, D) of pixels (M, N, D); words (M, T, W) with word_mask (M, T)."""
        query = self._split(instance_norm(self.query(pixels)))
        key = self._split(self.key(words) * self.scale)
        scores = (query @ key.mT).masked_fill(~word_mask[:, None, None], MASKED)
        attention = scores.softmax(-1)  # (M, heads, N, T)
        self.seen(attention.mean((1, 2)))
        # Words are fewer than pixels: each head projects its words.
        weight = self.project.weight.unflatten(1, (self.heads, -1))
        value = torch.einsum("mhtd,ohd->mhto", self._split(self.value(words)), weight)
        return instance_norm((attention @ value).sum(1))

    def _split(self, x: Tensor) -> Tensor:
        """Splits (M, L, D) into heads (M, heads, L, D / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Decoder(nn.Module):
    """Decoder of levels from coarse to fine."""

    def __init__(self, channels: tuple[int, int, int, int], width: int, classify: bool = True):
        super().__init__()
        c1, c2, c3, c4 = channels
        self.join_16 = JoinScales(c4 + c3, width)
        self.join_8 = JoinScales(width + c2, width)
        self.join_4 = JoinScales(width + c1, width)
        self.classify = nn.Linear(width, 2) if classify else None  # background, referent

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Computes logits (M, h, w, 2) of levels (M, D, h, w), finest first, at the finest one's size."""
        assert self.classify is not None, "an aligner makes the masks"
        finest, *coarser = levels
        return self.join_4.read(self.joined(coarser), finest, self.classify)

    def map(self, levels: list[Tensor]) -> Tensor:
        """Computes the map (M, C, h, w) before the classifier."""
        finest, *coarser = levels
        return self.join_4(self.joined(coarser), finest)

    def joined(self, coarser: list[Tensor]) -> Tensor:
        """Fuses all levels but the finest into a map (M, C, h, w)."""
        second, third, fourth = coarser
        return self.join_8(self.join_16(fourth, third), second)


class AlignerHead(nn.Module):
    """EAVL's aligner on the decoder's inputs, without the finest level."""

    def __init__(self, config: AlignerConfig, channels: tuple[int, int, int, int], decoder: int, words: int):
        super().__init__()
        _, *levels = channels
        inner = config.width // 2
        self.words = nn.Linear(words, config.width)
        self.narrow = nn.Sequential(conv_norm(decoder, inner), nn.Conv2d(inner, inner, 1))
        self.align = Aligner(config, levels, levels[-1], config.width, inner)

    def forward(self, x: Tensor, levels: list[Tensor], words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes logits (M, 1, h, w) from the decoder's map (M, C, h, w), levels (M, D, _, _) and words (M, T, W)."""
        _, *coarser = levels
        image_queries = self.align.encode_image(coarser, coarser[-1].mean((-2, -1)))
        each = torch.arange(words.shape[0], device=words.device)
        return self.align(self.narrow(x), image_queries, self.words(words), word_mask, each)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Computes one minus the Dice coefficient, averaged over background, referent and expressions.

    Args:
        logits: (M, 1, H, W) referent minus background.
        target: (M, H, W) bool, True on the referent.
    """
    probability, truth = logits[:, 0].float().sigmoid().flatten(1), target.float().flatten(1)
    losses = []
    for p, t in ((probability, truth), (1 - probability, 1 - truth)):
        losses.append(1 - (2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1))  # + 1, for empty masks
    return mean(torch.stack(losses))


def _as_it_is(output: Any) -> Tensor:
    return output
