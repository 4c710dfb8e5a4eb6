"""CRIS: transfers CLIP's alignment of images and sentences to pixels.

Paper      Z. Wang et al. "CRIS: CLIP-Driven Referring Image Segmentation". CVPR 2022. https://arxiv.org/abs/2111.15174
Read with  `ClipResNet`, `AttentionPool` and `ClipWords` (the two encoders), `FusionNeck` (cross-modal neck),
           `PixelDecoder` (vision-language decoder), `Projector` (text-to-pixel contrastive learning), `CRIS`.
Departs    Where the paper and the authors' release differ, this is the release, whose weights it takes. Levels are
           narrowed after each concatenation in the neck. Pixels are the only tokens of CLIP's pooling, which a
           convolution bypasses. The sentence is a kernel of 3 x 3 pixels with a bias, not a vector.
           Cubic interpolation is clipped to [0, 1], since the output is a logit.
           Training masks are binary at the resized image; the release warps them to values between 0 and 1.
           Image encoders other than CLIP's replace the pooled map by their last stage; word encoders other than
           CLIP's replace the projected state of the last token by `WordEncoder.sentence`.
Notation   B images, M expressions, L words, C channels, S channels of the sentence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.aligner import Aligner, AlignerConfig, ImageQueries, convolve_each
from refseg.blocks.autocast import full_precision
from refseg.blocks.fusion_neck import FusionNeck
from refseg.blocks.pixel_decoder import DecoderLayer, PixelDecoder, UpProjection
from refseg.blocks.view import View
from refseg.config import Channels, Config, Repeats
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.clip_image import AttentionPool
from refseg.encoders.configs import ImageEncoderConfig, WordEncoderConfig
from refseg.encoders.image_encoder import check_third_map
from refseg.losses import SMALL_REFERENTS, SMALL_THRESHOLD, weighted_cross_entropy
from refseg.networks.network import Network, Output
from refseg.preprocessing.resampling import cubic

KERNEL = 3  # side of the sentence's kernel
MIN_PROBABILITY = 1e-6  # probabilities are clipped this far from 0 and 1


class CRISConfig(Config):
    """Every choice of the network; the defaults are the authors' with ResNet-50."""

    image_encoder: ImageEncoderConfig = Field("clip_resnet50", validate_default=True)
    word_encoder: WordEncoderConfig = Field("clip_text_rn50", validate_default=True)
    max_words: int = Field(17, le=256, ge=3)  # with start and end; G-Ref: 22
    mean_token: bool = False  # whether the pooling also attends to the mean of pixels, as in CLIP

    # Neck and decoder
    widths: tuple[Channels, Channels, Channels] = (256, 512, 1024)  # of the levels inside the neck, finest first
    heads: Repeats = 8
    width: int = Field(512, le=16_384, ge=4, multiple_of=4, validate_default=True)
    layers: Repeats = 3
    feed_forward: Channels = 2048
    dropout: float = Field(0.1, ge=0, lt=1)

    aligner: AlignerConfig | None = None  # EAVL's, whose queries are the kernels in place of the sentence
    class_weights: tuple[float, float] = (1.0, 1.0)  # of background and referent in the loss
    threshold: float = Field(0.35, gt=0, lt=1)  # probability above which a pixel belongs to the referent

    @field_validator("width")
    @classmethod
    def _divided(cls, width: int, info: ValidationInfo) -> int:
        if width % info.data.get("heads", 1):
            raise ValueError(f"{info.data['heads']} heads do not divide {width} channels")
        return width


_RESNET_101 = CRISConfig(image_encoder="clip_resnet101", word_encoder="clip_text_rn101")
_SMALL = CRISConfig(
    image_encoder="small_fine",
    word_encoder="bert_small",
    max_words=24,
    widths=(48, 48, 96),
    width=48,
    heads=4,
    feed_forward=256,
    dropout=0,
    class_weights=SMALL_REFERENTS,
    threshold=SMALL_THRESHOLD,
)
PRESETS = {
    "cris_resnet50": CRISConfig(),
    "cris_resnet101": _RESNET_101,
    "cris_resnet101_aligner": _RESNET_101.replace(aligner=AlignerConfig(neck="cris", image_size=416)),  # EAVL's Table V
    "cris_small": _SMALL,
    "cris_small_aligner": _SMALL.replace(aligner=AlignerConfig(width=48, image_size=128)),
}


@dataclass
class ImageFeatures:
    """Word-independent features of B images.

    Attributes:
        levels: inputs of the neck, (B, C, H / 16, W / 16) twice and (B, C, H / 32, W / 32).
        image_queries: inputs of the aligner's queries; None without an aligner.
        size_hw: height and width of the images.
    """

    levels: tuple[Tensor, Tensor, Tensor]
    image_queries: ImageQueries | None
    size_hw: tuple[int, int]


class CRIS(Network):
    """CRIS: CLIP's two encoders, a neck, a decoder, and a convolution whose kernel is the sentence."""

    idea = "CLIP's pixels look at CLIP's words; then the sentence is the kernel that finds its pixels"
    presets = PRESETS
    config: CRISConfig

    def __init__(self, config: CRISConfig, vocabulary_size: int):
        super().__init__()
        self.config, self.threshold = config, config.threshold
        self.image_encoder = build_image_encoder(config.image_encoder)
        check_third_map(self.image_encoder)
        self.word_encoder = word_encoder = build_word_encoder(config.word_encoder, vocabulary_size)
        _, c3, c4, c5 = self.image_encoder.channels
        self.pool = None
        if config.image_encoder.kind == "clip_resnet":
            self.pool = AttentionPool(c5, config.image_encoder.joint, c5 // 64, config.mean_token)
            c5 = config.image_encoder.joint
        words = word_encoder.channels
        sentence = word_encoder.sentence_channels
        self.neck = FusionNeck((c3, c4, c5), sentence, config.widths, out=config.width)
        self.to_decoder = nn.Identity() if words == config.width else nn.Linear(words, config.width)
        self.decoder = PixelDecoder(
            config.width, config.layers, config.heads, config.feed_forward, config.dropout, word_positions=True
        )
        self.projector = Projector(config.width, None if config.aligner else sentence)
        inner = config.width // 2
        self.aligner = Aligner(config.aligner, (c3, c4, c5), c5, config.width, inner) if config.aligner else None

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Computes levels of normalised images (B, 3, H, W), and the aligner's inputs."""
        *levels, vector = self.levels(image)
        image_queries = None if self.aligner is None else self.aligner.encode_image(levels, vector)
        return ImageFeatures(self.neck.project(levels), image_queries, (image.shape[-2], image.shape[-1]))

    def levels(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Computes maps (B, C, h, w) at 1/8, 1/16 and 1/32 or 1/16, the last one pooled, and vectors (B, C)."""
        _, x3, x4, x5 = self.image_encoder(image)
        vector = None
        if self.pool is not None:
            x5, vector = self.pool(x5, vector=self.aligner is not None)
        return x3, x4, x5, x5.mean((-2, -1)) if vector is None else vector

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words (M, L, C)."""
        return self.word_encoder(tokens, word_mask)

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Predicts masks (M, 1, H, W) from words (M, L, C) with word_mask (M, L)."""
        logits = self.logits(features, words, word_mask, image_of_expression)
        return self.answer(to_image(logits, features.size_hw))

    def logits(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Tensor:
        """Computes logits (M, 1, H / 4, W / 4); arguments as in `fuse`."""
        sentence = self.word_encoder.sentence(words, word_mask)
        x = self.decoded([level[image_of_expression] for level in features.levels], words, word_mask, sentence)
        if self.aligner is None or features.image_queries is None:
            return self.projector(x, sentence)
        return self.aligner(
            self.projector.up(x), features.image_queries, self.to_decoder(words), word_mask, image_of_expression
        )

    def decoded(self, levels: Sequence[Tensor], words: Tensor, word_mask: Tensor, sentence: Tensor) -> Tensor:
        """Computes the map (M, C, H / 16, W / 16) of neck and decoder.

        Args:
            levels: inputs of the neck for M expressions.
            words: (M, L, C).
            word_mask: (M, L).
            sentence: (M, S).
        """
        return self.decoder(self.neck(levels, sentence), self.to_decoder(words), word_mask)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the binary cross-entropy at a quarter of the size; the batch norm needs 2 expressions or more."""
        features, words = self.encode_image(batch.image), self.encode_words(batch.tokens, batch.word_mask)
        logits = self.logits(features, words, batch.word_mask, batch.image_of_expression)
        masks = F.interpolate(batch.soft_masks().unsqueeze(1), logits.shape[-2:], mode="nearest")[:, 0]
        return {"loss": weighted_cross_entropy(logits, masks, self.config.class_weights)}

    def parts(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Returns the parameters by part: pooling with the image encoder, learned positions with the new layers."""
        parts: dict[str, list[nn.Parameter]] = {"image_encoder": [], "word_encoder": [], "fusion": []}
        for name, parameter in self.named_parameters():
            part = "image_encoder" if name.startswith("pool.") else name.partition(".")[0]
            parts["fusion" if part not in parts or "position" in name else part].append(parameter)
        return parts

    def views(self) -> list[View]:
        """Returns the word attention of pixels in each layer, and the sentence's map or the aligner's views."""
        views = [
            View(
                f"layer {number}: words",
                layer.at_words.weights,
                _word_attention,
                "words",
                "Sec. 3.2",
                meaning="attention of pixels to each word, averaged over them and over heads",
            )
            for number, layer in enumerate(self.decoder.layers, start=1)
            if isinstance(layer, DecoderLayer)
        ]
        if self.aligner is not None:
            return [*views, *self.aligner.masks.views()]
        return [*views, View("sentence: pixels", self.projector, _map, "map", "Sec. 3.3")]


class Projector(nn.Module):
    """Convolution of pixels at 1/4 whose kernel and bias are projected from the sentence."""

    def __init__(self, width: int, sentence: int | None):
        super().__init__()
        self.up = UpProjection(width, width // 2)
        self.kernel = None if sentence is None else nn.Linear(sentence, KERNEL**2 * (width // 2) + 1)

    def forward(self, x: Tensor, sentence: Tensor) -> Tensor:
        """Computes logits (M, 1, 4 h, 4 w) from a map (M, C, h, w) and sentences (M, S)."""
        assert self.kernel is not None, "an aligner makes the masks"
        return convolve_each(self.up(x), self.kernel(sentence))


def to_image(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resizes logits (M, 1, h, w) to (M, 1, H, W) by interpolating probabilities, as in the release."""
    with full_precision(logits):
        logits = logits.double()  # the logit of a probability near 1 has few digits in float32
        resize = cubic_products if torch.compiler.is_exporting() else cubic_resize
        return resize(logits.sigmoid(), size_hw).logit(MIN_PROBABILITY).float()


def cubic_resize(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resizes maps (M, 1, h, w) to (M, 1, H, W) by cubic interpolation, corners on corners."""
    return F.interpolate(maps, size_hw, mode="bicubic", align_corners=True)


def cubic_products(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Computes `cubic_resize` as two products, since other runtimes have no cubic interpolation in float64."""
    rows, columns = (_cubic_matrix(*sizes) for sizes in zip(size_hw, maps.shape[-2:], strict=True))
    return rows @ maps @ columns.mT


def _cubic_matrix(size: int, cells: int) -> Tensor:
    """Returns the weights (size, cells) float64 of cells in interpolated places."""
    places = torch.arange(size, dtype=torch.float64) * ((cells - 1) / max(size - 1, 1))
    taps = cubic(places, cells)
    return torch.zeros(size, cells, dtype=torch.float64).scatter_add(1, taps.pixels, taps.weight)


def _word_attention(weights: Tensor) -> Tensor:
    return weights.mean((1, 2))


def _map(logits: Tensor) -> Tensor:
    return logits.squeeze(1)
