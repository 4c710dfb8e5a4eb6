"""VLT: generates several queries from image and expression, and decodes each with a Transformer.

Paper      H. Ding et al. "Vision-Language Transformer and Query Generation for Referring Segmentation". ICCV 2021.
           https://arxiv.org/abs/2108.05565. Extended as "VLT: Vision-Language Transformer and Query Generation for
           Referring Segmentation". TPAMI 2022. https://arxiv.org/abs/2210.15871
Read with  `VLT.answer_queries`, top to bottom: `Fusion`, `QueryGeneration`, `Transformer`, `QueryBalance`; then
           `MaskDecoder`.
Departs    `vlt_darknet53` is the authors' release (ICCV), of which the paper says less: attention has a ReLU after each
           of its four linear layers, the Transformer's decoder is causal over the queries, padding words are read.
           Dense layers over the pixels tie the release to its image size; here other maps are resized before and after.
           Sentences are split as CMPC's, not at blanks only; word vectors come from GloVe, not from spaCy.
           Masks are thresholded after resizing logits, not probabilities.
           `vlt_swin` is our reading of the extended paper, which has no code; the rest of the network is kept. Its
           numbers are ours, not a reproduction. The masked contrastive loss of that paper is left out.
Notation   B images, M expressions, L words, Q queries, C `width`, N = h * w pixels at 1/16 of the image.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.aligner import AlignerConfig, MaskGenerator, Queries
from refseg.blocks.attention import attend_heads
from refseg.blocks.resize import resize_map
from refseg.blocks.view import View
from refseg.config import Channels, Config, Layers, Repeats
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.configs import ImageEncoderConfig, WordEncoderConfig
from refseg.encoders.darknet import EPS, batch_norm, dbl, leaky_relu
from refseg.encoders.image_encoder import check_third_map
from refseg.losses import SMALL_REFERENTS, SMALL_THRESHOLD, weighted_cross_entropy
from refseg.networks.network import Network, Output, pad_mask, pad_words

STRIDE = 16  # of the pixels that the Transformer reads


class VLTConfig(Config):
    """Every choice of the network; the defaults are the authors' release."""

    image_encoder: ImageEncoderConfig = Field("darknet53", validate_default=True)
    freeze_image_encoder: bool = True
    norm_stages: bool = False  # whether each stage's map has a layer norm
    word_encoder: WordEncoderConfig = Field("gru", validate_default=True)
    max_words: Repeats = 15  # RefCOCOg: 20
    hide_padding: bool = False  # masks padding words in attention; a GRU reads them in any case
    image_size: int = Field(416, le=16_384, ge=32, multiple_of=32)  # of training: for the Dense layers over pixels

    # Fusion
    fusion: Literal["product", "spatial"] = "product"  # one sentence for all pixels, or one per pixel
    channels: int = Field(512, le=16_384, ge=2)  # of the fused maps

    # Queries and Transformer
    queries: Repeats = 16
    width: Channels = 256
    heads: Repeats = 8
    layers: Layers = 2  # of the Transformer's encoder, and of its decoder
    dropout: float = Field(0.1, ge=0, lt=1)
    causal_queries: bool = True  # in the Transformer's decoder a query attends only to earlier ones

    # Mask
    aligner: AlignerConfig | None = None  # EAVL's, in place of the last convolution, on VLT's queries
    output_stride: Literal[2, 4, 8] = 2
    reduction: Literal["sum", "mean"] = "sum"  # of the loss, over pixels
    class_weights: tuple[float, float] = (1.0, 1.0)  # of background and referent in the loss
    threshold: float = Field(0.35, gt=0, lt=1)  # probability above which a pixel belongs to the referent

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"{self.heads} heads and sines with cosines do not divide {self.width} channels")
        if self.aligner:
            taken = self.aligner.model_dump(include={"heads", "estimator"})
            if self.aligner != AlignerConfig(queries=self.queries, width=self.width, **taken):
                raise ValueError(
                    f"VLT makes its own queries; of an aligner it takes heads and estimator: give it queries="
                    f"{self.queries} and width={self.width} and leave out the others"
                )
            if self.output_stride != 4:
                raise ValueError("an aligner gives masks at output_stride=4; set it so")
        return self


_SWIN = VLTConfig(
    image_encoder="swin_base",
    freeze_image_encoder=False,
    norm_stages=True,
    word_encoder="bert_base",
    max_words=20,
    hide_padding=True,
    image_size=480,
    output_stride=4,
    reduction="mean",
)
PRESETS = {
    "vlt_darknet53": VLTConfig(),
    "vlt_swin": _SWIN,
    "vlt_small": _SWIN.replace(
        image_encoder="small_stride16",  # the sentence scales the last map, which at 1/32 is coarser than most objects
        norm_stages=False,
        word_encoder="bert_small",
        max_words=24,
        image_size=128,
        channels=96,
        width=64,
        heads=4,
        dropout=0,
        output_stride=4,
        class_weights=SMALL_REFERENTS,
        threshold=SMALL_THRESHOLD,
    ),
}
PRESETS |= {
    "vlt_swin_aligner": _SWIN.replace(aligner=AlignerConfig(queries=16, width=256)),  # EAVL's Table V
    "vlt_small_aligner": PRESETS["vlt_small"].replace(aligner=AlignerConfig(queries=16, width=64)),
}


@dataclass
class ImageFeatures:
    """Word-independent features of B images.

    Attributes:
        v5: (B, C5, h / 2, w / 2) the coarsest stage, convolved; (B, C5, h, w) where the last two have one stride.
        projected: (B, C, h / 2, w / 2) pixels that attend to words, in spatial fusion only.
        v4, v3: (B, _, h, w) projected maps of the two stages before it.
    """

    v5: Tensor
    projected: Tensor | None
    v4: Tensor
    v3: Tensor

    def expand_to_expressions(self, image_of_expression: Tensor) -> "ImageFeatures":
        """Returns the features of each expression's image, without a copy for a single image."""
        count = image_of_expression.shape[0]  # `len` would fix it in an export

        def select(x: Tensor) -> Tensor:
            return x.expand(count, -1, -1, -1) if x.shape[0] == 1 else x[image_of_expression]

        projected = None if self.projected is None else select(self.projected)
        return ImageFeatures(select(self.v5), projected, select(self.v4), select(self.v3))


class VLT(Network):
    """VLT: encoders, fusion, query generation, Transformer, query balance and mask decoder."""

    idea = "The image makes several queries of an expression, a Transformer answers them, the surest count most"
    presets = PRESETS
    config: VLTConfig

    def __init__(self, config: VLTConfig, vocabulary_size: int):
        super().__init__()
        self.config, self.threshold = config, config.threshold
        self.image_encoder = build_image_encoder(config.image_encoder)
        check_third_map(self.image_encoder)
        self.word_encoder = build_word_encoder(config.word_encoder, vocabulary_size)
        if config.freeze_image_encoder:
            self.image_encoder.requires_grad_(False)
        words = self.word_encoder.channels
        self.fusion = Fusion(config, self.image_encoder.channels, words)
        self.query_generation = QueryGeneration(config, config.channels, words)
        self.transformer = Transformer(config)
        self.balance = QueryBalance(config)
        self.decoder = MaskDecoder(config)
        self.aligner = MaskGenerator(config.aligner, config.width) if config.aligner else None

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Computes word-independent features of the three coarser stages of normalised images (B, 3, H, W)."""
        _, v3, v4, v5 = self.image_encoder(image)
        return self.fusion.project_image(v3, v4, v5)

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words (M, max_words, D), padding included."""
        return self.word_encoder(*pad_words(tokens, word_mask, self.config.max_words))

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Predicts masks (M, 1, H / output_stride, W / output_stride); words (M, T, D), word_mask (M, L), L up to T."""
        logits = self.masks(features, words, word_mask, image_of_expression)
        return self.answer(logits)

    def masks(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Tensor:
        """Computes logits of the size of `fuse`, where 0 is a probability of 0.5; arguments as in `fuse`."""
        queries, responses = self.answer_queries(features, words, word_mask, image_of_expression)
        if self.aligner is None:
            return self.decoder(responses)
        return self.aligner(self.decoder.maps(responses)[-1], queries).float()

    def answer_queries(
        self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> tuple[Queries, Tensor]:
        """Computes the queries, and the balanced responses (M, Q, h, w) to them; arguments as in `fuse`."""
        word_mask = pad_mask(word_mask, words.shape[1]) | (not self.config.hide_padding)
        fused, pixels = self.fusion(features.expand_to_expressions(image_of_expression), words, word_mask)
        queries = self.query_generation(fused, words, word_mask)
        answers = self.transformer(pixels, queries.values)
        return queries, self.balance(answers, queries.values, pixels.shape[-2:])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the binary cross-entropy at the logits' size; the batch norm needs 2 expressions or more."""
        words = self.encode_words(batch.tokens, batch.word_mask)
        logits = self.masks(self.encode_image(batch.image), words, batch.word_mask, batch.image_of_expression)
        masks = F.interpolate(batch.soft_masks()[:, None].to(logits.dtype), logits.shape[-2:], mode="nearest")[:, 0]
        loss = weighted_cross_entropy(logits, masks, self.config.class_weights)
        if self.config.reduction == "sum":
            loss = loss * masks[0].numel()
        return {"loss": loss}

    def views(self) -> list[View]:
        """Returns the map and the word attention of each query, and the weights of their answers."""
        generation, queries = self.query_generation, range(self.config.queries)
        maps = [
            View(f"query {n + 1}: map", generation.maps, partial(_map, n), "map", "Query Generation") for n in queries
        ]
        words = [
            View(
                f"query {n + 1}: words",
                generation.seen,
                partial(_words, n),
                "words",
                "Query Generation",
                meaning="attention of the query to each word, averaged over heads",
            )
            for n in queries
        ]
        labels = [f"query {n + 1}" for n in queries]
        return [
            *maps,
            *words,
            View("balance", self.balance.confidence, lambda x: x[0, :, 0], "weights", "Query Balance", labels),
            *(self.aligner.views() if self.aligner else ()),
        ]


class Fusion(nn.Module):
    """Product of the sentence and the coarsest stage, fused with the two stages before it."""

    def __init__(self, config: VLTConfig, channels: Sequence[int], words: int):
        super().__init__()
        _, c3, c4, c5 = channels
        width = config.channels
        self.norms = nn.ModuleList([StageNorm(c) if config.norm_stages else nn.Identity() for c in (c3, c4, c5)])
        self.convolved = nn.Sequential(dbl(c5, c5 // 2, 1), dbl(c5 // 2, c5, 3))
        sentences: dict[str, type[TiledSentence | SpatialSentence]]
        sentences = {"product": TiledSentence, "spatial": SpatialSentence}
        self.sentence = sentences[config.fusion](config, c5, words)
        self.product = nn.Sequential(batch_norm(c5), leaky_relu())
        self.of_v4 = dbl(c4, width, 1)
        self.join_v4 = dbl(c5 + width, width, 1)
        self.of_v3 = dbl(c3, c3, 1)
        self.join_v3 = dbl(width + c3, width, 1)
        self.back = nn.Sequential(dbl(width, width // 2, 1), dbl(width // 2, width, 3))
        self.of_both = dbl(2 * width, width, 1)
        self.pixels = nn.Sequential(dbl(c5 + width, config.width, 1), dbl(config.width, config.width, 1))

    def project_image(self, v3: Tensor, v4: Tensor, v5: Tensor) -> ImageFeatures:
        """Projects stages (B, _, 2 h, 2 w), (B, _, h, w) and (B, _, h / 2, w / 2) or (B, _, h, w), without words."""
        v3, v4, v5 = (norm(x) for norm, x in zip(self.norms, (v3, v4, v5), strict=True))
        projected, v4, v3 = self.sentence.project_image(v5), self.of_v4(v4), self.of_v3(F.avg_pool2d(v3, 2))
        return ImageFeatures(v5 + self.convolved(v5), projected, v4, v3)

    def forward(self, features: ImageFeatures, words: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Computes two fused maps: (M, `channels`, h, w) for the queries, and (M, C, h, w) for the Transformer.

        Args:
            features: of M images, one per expression.
            words: (M, L, D).
            word_mask: (M, L), True on words that may be attended to.
        """
        m5 = self.product(features.v5 * self.sentence(features.projected, words, word_mask))
        m5 = F.interpolate(m5, features.v4.shape[-2:], mode="nearest")
        m4 = self.join_v4(torch.cat([m5, features.v4], dim=1))
        m3 = self.join_v3(torch.cat([m4, features.v3], dim=1))
        both = self.of_both(torch.cat([self.back(m3), m4], dim=1))
        return m3, self.pixels(torch.cat([m5, both], dim=1))


class StageNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises a map (B, C, h, w)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TiledSentence(nn.Module):
    """One sentence for all pixels, a weighted sum of words in each channel."""

    def __init__(self, config: VLTConfig, channels: int, words: int):
        super().__init__()
        self.weigh = nn.Sequential(dense(words, words), nn.Tanh(), nn.Dropout(config.dropout))
        self.pooled = nn.Identity()
        self.project = dense(words, channels)
        self.norm = nn.Sequential(nn.BatchNorm1d(channels, eps=EPS, momentum=0.01), leaky_relu())

    def project_image(self, v5: Tensor) -> None:
        """Returns None, since pixels do not attend to words."""

    def forward(self, projected: None, words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes the sentence (M, C5, 1, 1); words and mask as in `Fusion`."""
        weights = masked(self.weigh(words), word_mask[..., None]).softmax(1)
        return self.norm(self.project(self.pooled((weights * words).sum(1))))[..., None, None]


class SpatialSentence(nn.Module):
    """One sentence per pixel, by attention to words."""

    def __init__(self, config: VLTConfig, channels: int, words: int):
        super().__init__()
        self.pixels = dbl(channels, config.width, 1)
        self.words = dense(words, config.width)
        self.attend = Attention(config.width, config.heads)
        self.project = dbl(config.width, channels, 1)

    def project_image(self, v5: Tensor) -> Tensor:
        """Projects the coarsest stage (B, C5, h, w) to pixels (B, C, h, w)."""
        return self.pixels(v5)

    def forward(self, projected: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """Computes sentences (M, C5, h, w) for pixels (M, C, h, w); words and mask as in `Fusion`."""
        words = self.words(words)
        attended = self.attend(projected.flatten(2).mT, words, words, word_mask[:, None, None])
        return self.project(attended.mT.unflatten(-1, projected.shape[-2:]))


class QueryGeneration(nn.Module):
    """Generates queries, each from a map over the image and its attention to words.

    Attributes:
        maps: outputs the maps (M, Q, h, w).
        seen: outputs the attention (M, heads, Q, L) of queries over words.
    """

    def __init__(self, config: VLTConfig, channels: int, words: int):
        super().__init__()
        width, inputs = config.width, channels + 6
        self.side = config.image_size // STRIDE
        convolutions = [dbl(inputs, inputs, 3) for _ in range(3)]
        self.maps = nn.Sequential(*convolutions, last_convolution(inputs, config.queries, 1))
        self.vision = nn.Sequential(dense(self.side**2, width), nn.ReLU())
        self.language = nn.Sequential(dense(words, width), nn.ReLU())
        self.query, self.key, self.value = (nn.Sequential(dense(width, width), nn.ReLU()) for _ in range(3))
        self.attend = Attention(width, config.heads)
        self.seen = nn.Softmax(dim=-1)

    def forward(self, fused: Tensor, words: Tensor, word_mask: Tensor) -> Queries:
        """Computes queries from a fused map (M, `channels`, h, w); words and mask as in `Fusion`."""
        maps = resize_map(self.maps(with_coordinates(fused)), (self.side, self.side))
        vision, language = self.vision(maps.flatten(2)), self.language(words)
        places, texts = with_positions(vision), with_positions(language)
        query, key, value = self.attend.split(self.query(places), self.key(texts), self.value(texts))
        scores = (query @ key.mT) * key.shape[-1] ** -0.5
        weights = self.seen(masked(scores, word_mask[:, None, None]))
        values = self.attend.join(weights.to(value.dtype) @ value) + vision
        return Queries(values, attention=weights.mean(1))


class Transformer(nn.Module):
    """Transformer: the encoder turns pixels into a memory, the decoder answers queries from it."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        self.side = config.image_size // STRIDE
        self.encoder = nn.ModuleList([EncoderLayer(config) for _ in range(config.layers)])
        self.decoder = nn.ModuleList([DecoderLayer(config) for _ in range(config.layers)])

    def forward(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """Computes the answers (M, Q, C) to queries (M, Q, C) on a map (M, C, h, w)."""
        memory = self.memory(pixels)
        answers = with_positions(queries)
        for layer in self.decoder:
            answers = layer(answers, memory)
        return answers

    def memory(self, pixels: Tensor) -> Tensor:
        """Encodes a map (M, C, h, w) as memory (M, N, C), with positions interpolated from the training's grid."""
        places = positions(self.side**2, pixels.shape[1], pixels.device).mT.unflatten(-1, (self.side, self.side))
        x = (pixels + resize_map(places[None], pixels.shape[-2:])).flatten(2).mT
        for layer in self.encoder:
            x = layer(x)
        return x


class EncoderLayer(nn.Module):
    """Encoder layer: self-attention among pixels."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        self.among = Attention(config.width, config.heads)
        self.feed_forward = feed_forward(config.width)
        self.among_norm, self.feed_norm = (AddNorm(config) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Updates pixels (M, N, C)."""
        x = self.among_norm(x, self.among(x, x, x))
        return self.feed_norm(x, self.feed_forward(x))


class DecoderLayer(nn.Module):
    """Decoder layer: attention among queries, then to the memory."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        self.causal = config.causal_queries
        self.among = Attention(config.width, config.heads)
        self.memory = Attention(config.width, config.heads)
        self.feed_forward = feed_forward(config.width)
        self.among_norm, self.memory_norm, self.feed_norm = (AddNorm(config) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Updates queries (M, Q, C) by memory (M, N, C)."""
        before = x.new_ones(x.shape[1], x.shape[1], dtype=torch.bool).tril() if self.causal else None
        x = self.among_norm(x, self.among(x, x, x, before))
        x = self.memory_norm(x, self.memory(x, memory, memory))
        return self.feed_norm(x, self.feed_forward(x))


class AddNorm(nn.Module):
    """Residual connection with layer norm."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.width, eps=1e-14)

    def forward(self, x: Tensor, change: Tensor) -> Tensor:
        """Adds a change (M, N, C) to x (M, N, C) and normalises the sum."""
        return self.norm(x + self.dropout(change))


class Attention(nn.Module):
    """Multi-head attention with a ReLU after each of its four linear layers."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (dense(width, width, nn.init.xavier_normal_) for _ in range(4))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attends from queries (M, N, C) to keys and values (M, T, C) where mask (..., N, T) is True."""
        return self.join(attend_heads(*self.split(queries, keys, values), mask))

    def split(self, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Projects queries, keys and values to heads, each (M, heads, N or T, C / heads)."""
        query, key, value = (
            F.relu(layer(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, keys), (self.value, values))
        )
        return query, key, value

    def join(self, attended: Tensor) -> Tensor:
        """Projects attended values (M, heads, N, C / heads) of the heads to (M, N, C)."""
        return F.relu(self.out(attended.transpose(1, 2).flatten(2)))


class QueryBalance(nn.Module):
    """Query balance: a confidence for each answer, and its response map."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        width = config.width
        self.side = config.image_size // STRIDE
        self.query, self.answer = (nn.Sequential(dense(width, width), nn.ReLU()) for _ in range(2))
        self.confidence = nn.Sequential(dense(2 * width, width), nn.ReLU(), dense(width, 1), nn.Sigmoid())
        self.response = nn.Sequential(dense(width, self.side**2), nn.ReLU())

    def forward(self, answers: Tensor, queries: Tensor, size_hw: Sequence[int]) -> Tensor:
        """Computes responses (M, Q, h, w) from answers and queries (M, Q, C)."""
        confidence = self.confidence(torch.cat([self.answer(answers), self.query(queries)], dim=-1))
        maps = self.response(confidence * answers).unflatten(-1, (self.side, self.side))
        return resize_map(maps, size_hw)


class MaskDecoder(nn.Module):
    """Decoder of responses to a mask, at twice the resolution in each step."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        width = config.width
        self.join = dbl(config.queries, width, 3)
        self.refine = nn.Sequential(dbl(width, width, 3), dbl(width, width, 3))
        finer = int(math.log2(STRIDE // config.output_stride))
        self.finer = nn.ModuleList(
            [nn.Sequential(nn.Upsample(scale_factor=2), dbl(width, width, 3)) for _ in range(finer)]
        )
        self.classify = None if config.aligner else last_convolution(width, 1, 3)

    def forward(self, responses: Tensor) -> Tensor:
        """Computes logits (M, 1, H / output_stride, W / output_stride) float32 of responses (M, Q, h, w)."""
        assert self.classify is not None, "an aligner makes the masks"
        return self.classify(self.maps(responses)[-1]).float()

    def maps(self, responses: Tensor) -> list[Tensor]:
        """Computes maps (M, C, _, _) at 1/16 of the image, 1/8 and so on to the output stride."""
        maps = [self.refine(self.join(responses))]
        for finer in self.finer:
            maps.append(finer(maps[-1]))
        return maps


def with_coordinates(x: Tensor) -> Tensor:
    """Appends three channels of x and three of y, both in [-1, 1], to a map (M, D, h, w): (M, D + 6, h, w)."""
    count, _, height, width = x.shape
    rows, columns = (torch.linspace(-1, 1, size, device=x.device, dtype=x.dtype) for size in (height, width))
    rows = rows.view(1, 1, -1, 1).expand(count, 3, -1, width)
    columns = columns.view(1, 1, 1, -1).expand(count, 3, height, -1)
    return torch.cat([x, columns, rows], dim=1)


def positions(count: int, width: int, device: torch.device) -> Tensor:
    """Returns codes (count, width) of the positions in a sequence: sines on even channels, cosines on odd ones."""
    place = torch.arange(count, device=device, dtype=torch.float32)[:, None]
    angle = place / 10000 ** (torch.arange(0, width, 2, device=device) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def with_positions(x: Tensor) -> Tensor:
    """Adds position codes to a sequence (M, N, C)."""
    return x + positions(x.shape[1], x.shape[2], x.device)


def masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Masks scores so that a softmax is 0 where the mask is False."""
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)


def dense(inputs: int, outputs: int, start: Callable[[Tensor], Tensor] = nn.init.xavier_uniform_) -> nn.Linear:
    """Returns a linear layer with weights initialised by `start` and zero bias."""
    layer = nn.Linear(inputs, outputs)
    start(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def feed_forward(width: int) -> nn.Sequential:
    """Returns two linear layers with a ReLU between."""
    first, second = (dense(width, width, nn.init.xavier_normal_) for _ in range(2))
    return nn.Sequential(first, nn.ReLU(), second)


def last_convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Returns a convolution with a bias and no norm or activation."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _map(query: int, maps: Tensor) -> Tensor:
    return maps[:, query]


def _words(query: int, attention: Tensor) -> Tensor:
    return attention[:, :, query].mean(1)
