"""EAVL: queries from words and image become convolution kernels that segment the referent.

Paper      Y. Yan et al. "EAVL: Explicitly Align Vision and Language for Referring Image Segmentation". 2023.
           https://arxiv.org/abs/2308.09779
Read with  The overview figure: `EAVL` (encoders, `Pool` for Eq. 1), `blocks.fusion_neck.FusionNeck` (Eqs. 2 to
           5), `blocks.aligner.QueryGenerator` (Eqs. 6 to 10), `blocks.pixel_decoder.PixelDecoder`, and
           `blocks.aligner.MaskGenerator` (Eqs. 11 to 14); then presets; tables in `studies.eavl`.
Departs    The authors published no code. What the paper leaves open is as in CRIS or LAVT, whose recipes it follows:
           concatenated levels are reduced by a convolution (Eqs. 3, 4), three layers of decoder, dropout 0.1. No single
           neck fits the sizes that Table VI reports for both its networks, hence two. `blocks.aligner` has the rest.
Notation   B images, M expressions, T words, D channels of an encoder, W of queries and pixels, V of the image's vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.aligner import AlignerConfig, ImageQueries, MaskGenerator, NeckKind, QueryGenerator, initialise, neck
from refseg.blocks.attention import Attention
from refseg.blocks.pixel_decoder import PixelDecoder, UpProjection
from refseg.blocks.resize import resize_map
from refseg.blocks.view import View
from refseg.config import Channels, Config, Layers, Repeats
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.clip_image import AttentionPool as ClipPool
from refseg.encoders.configs import ClipImageConfig, ClipTextConfig, ImageEncoderConfig, SwinConfig, WordEncoderConfig
from refseg.encoders.image_encoder import check_third_map
from refseg.errors import InvalidInput
from refseg.losses import SMALL_REFERENTS, SMALL_THRESHOLD, weighted_cross_entropy
from refseg.networks.network import Network, Output


class EAVLConfig(Config):
    """Every choice of the paper's networks and of its tables; the defaults are its main result."""

    image_encoder: ImageEncoderConfig = Field("swin_base", validate_default=True)
    word_encoder: WordEncoderConfig = Field("bert_base", validate_default=True)
    max_words: int = Field(17, le=256, ge=3)  # special tokens included; 22 for RefCOCOg
    pool_heads: Repeats = 8  # of the attention pooling; CLIP: 32
    neck: NeckKind = "linear"  # of both necks, the queries' included
    global_language: bool = True  # Table IV: the sentence scales the coarsest level
    aligner: AlignerConfig = AlignerConfig()  # Tables II and IV; its width is the network's
    mask_head: Literal["aligner", "fixed"] = "aligner"  # Table III; fixed: one convolution for all expressions
    decoder_layers: Layers = 3
    feed_forward: Channels = 2048
    dropout: float = Field(0.1, ge=0, lt=1)
    loss_at: Literal["full", "quarter"] = "full"  # size of the image, or a quarter of it, as in CRIS
    class_weights: tuple[float, float] = (1.0, 1.0)  # of background and referent in the loss
    threshold: float = Field(0.5, gt=0, lt=1)  # probability above which a pixel belongs to the referent


@dataclass
class ImageFeatures:
    """Word-independent features of B images.

    Attributes:
        levels: inputs of the neck.
        image_queries: inputs of the query generator.
        size_hw: height and width of the images.
    """

    levels: tuple[Tensor, Tensor, Tensor]
    image_queries: ImageQueries
    size_hw: tuple[int, int]


_CLIP = EAVLConfig(
    image_encoder="clip_resnet101",
    word_encoder="clip_text_rn101",
    pool_heads=32,
    neck="cris",
    aligner=AlignerConfig(image_size=416),
    loss_at="quarter",
    threshold=0.35,
)


PRESETS = {
    "eavl_swin_base": EAVLConfig(),
    "eavl_clip_resnet101": _CLIP,
    "eavl_clip_resnet50": _CLIP.replace(image_encoder="clip_resnet50", word_encoder="clip_text_rn50"),
    "eavl_small": EAVLConfig(
        image_encoder="small_stride16",  # the sentence scales the last map, which at 1/32 is coarser than most objects
        word_encoder="bert_small",
        max_words=24,
        aligner=AlignerConfig(width=64, image_size=128),
        feed_forward=256,
        dropout=0,
        class_weights=SMALL_REFERENTS,
        threshold=SMALL_THRESHOLD,
    ),
}


class EAVL(Network):
    """EAVL: neck, query generator, pixel decoder, and a mask for every query."""

    idea = "Queries made of words and image become kernels; each gives a mask, and the best ones count most"
    presets = PRESETS
    config: EAVLConfig

    def __init__(self, config: EAVLConfig, vocabulary_size: int):
        super().__init__()
        self.config, self.threshold = config, config.threshold
        self.image_encoder = build_image_encoder(config.image_encoder)
        check_third_map(self.image_encoder)
        self.word_encoder = build_word_encoder(config.word_encoder, vocabulary_size)
        width, text = config.aligner.width, self.word_encoder.channels
        _, *channels = self.image_encoder.channels
        swin = isinstance(config.image_encoder, SwinConfig)
        self.norms = nn.ModuleList([nn.LayerNorm(c) for c in channels]) if swin else None
        if channels[-1] % config.pool_heads:
            raise InvalidInput(f"{config.pool_heads} heads do not divide {channels[-1]} channels; change pool_heads")
        self.pool: nn.Module = Pool(channels[-1], config.pool_heads)
        if isinstance(config.image_encoder, ClipImageConfig):
            joint = config.image_encoder.joint
            self.pool, channels[-1] = ClipPool(channels[-1], joint, config.pool_heads, mean_token=True), joint

        self.words: nn.Module = nn.Linear(text, width)
        self.sentence: nn.Module | None = nn.Linear(text, width) if config.global_language else None
        sentence = width
        if isinstance(config.word_encoder, ClipTextConfig):  # its words and sentence need no projection
            self.sentence, sentence = None, self.word_encoder.sentence_channels
            if text == width:
                self.words = nn.Identity()
            if not config.global_language:  # the sentence is unused
                self.word_encoder.get_submodule("clip.text_projection").requires_grad_(False)
        self.neck = neck(config.neck, channels, sentence if config.global_language else None, width)
        self.queries = QueryGenerator(config.aligner.replace(neck=config.neck), channels, channels[-1], width)
        self.decoder = PixelDecoder(
            width,
            config.decoder_layers,
            config.aligner.heads,
            config.feed_forward,
            config.dropout,
            word_positions=False,
        )
        self.up = UpProjection(width, width // 2)
        aligned = config.mask_head == "aligner"
        self.masks = MaskGenerator(config.aligner, width // 2) if aligned else nn.Conv2d(width // 2, 1, 3, padding=1)

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Computes levels, pooled vector and query inputs of images (B, 3, H, W)."""
        _, *levels = self.image_encoder(image)
        if self.norms is not None:
            levels = [
                norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for norm, x in zip(self.norms, levels, strict=True)
            ]
        levels[-1], pooled = self.pool(levels[-1])  # Eq. 1
        image_queries = self.queries.encode_image(levels, pooled)
        return ImageFeatures(self.neck.project(levels), image_queries, (image.shape[-2], image.shape[-1]))

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words (M, L, D)."""
        return self.word_encoder(tokens, word_mask)

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Predicts masks (M, 1, H / 4, W / 4) from words (M, L, D)."""
        logits = self.masks_of(features, words, word_mask, image_of_expression)
        return self.answer(logits)

    def masks_of(
        self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Tensor:
        """Computes logits (M, 1, H / 4, W / 4), where 0 is a probability of 0.5."""
        sentence = None if self.neck.fuse is None else self.sentence_of(words, word_mask)  # F_tg
        words = self.words(words)  # F_t
        x = self.neck([level[image_of_expression] for level in features.levels], sentence)  # F_vt, Eqs. 2 to 5
        queries = self.queries(features.image_queries, words, word_mask, image_of_expression)  # F_q
        x = self.up(self.decoder(x, queries.values))  # F_s, F_p
        return self.masks(x, queries) if isinstance(self.masks, MaskGenerator) else self.masks(x)

    def sentence_of(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes the neck's sentence (M, S)."""
        sentence = self.word_encoder.sentence(words, word_mask)
        return sentence if self.sentence is None else self.sentence(sentence)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the binary cross-entropy at the size of the image or of the logits."""
        words = self.encode_words(batch.tokens, batch.word_mask)
        features = self.encode_image(batch.image)
        logits = self.masks_of(features, words, batch.word_mask, batch.image_of_expression).float()
        masks = batch.soft_masks()
        if self.config.loss_at == "full":
            logits = resize_map(logits, masks.shape[-2:])
        else:
            masks = F.interpolate(masks.unsqueeze(1), logits.shape[-2:], mode="nearest")[:, 0]
        return {"loss": weighted_cross_entropy(logits, masks, self.config.class_weights)}

    def views(self) -> Sequence[View]:
        """Returns the weights and masks of the queries, if they predict masks."""
        return self.masks.views() if isinstance(self.masks, MaskGenerator) else ()


class Pool(nn.Module):
    """Eq. 1: self-attention among pixels and their mean, which becomes the image's vector."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.among = Attention(channels, heads, dropout=0.0)
        initialise(self.among.out)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Computes a map (B, V, h, w) and a vector (B, V) of a map (B, V, h, w)."""
        pixels = x.flatten(2).mT
        tokens = torch.cat([pixels.mean(1, keepdim=True), pixels], dim=1)
        vector, pixels = self.among(tokens, tokens, tokens).split([1, pixels.shape[1]], dim=1)
        return pixels.mT.unflatten(-1, x.shape[-2:]), vector[:, 0]
