"""VLT: the image asks an expression several questions, and a Transformer answers each of them.

Paper      H. Ding et al. "Vision-Language Transformer and Query Generation for Referring Segmentation". ICCV 2021.
           https://arxiv.org/abs/2108.05565. Extended as "VLT: Vision-Language Transformer and Query Generation for
           Referring Segmentation". TPAMI 2022. https://arxiv.org/abs/2210.15871
Read with  `VLT.read`, top to bottom: `Fusion`, `QueryGeneration`, `Transformer`, `QueryBalance`; then `MaskDecoder`.
Departs    `vlt_darknet53` is the authors' release (ICCV), of which the paper says less: attention has a ReLU after each
           of its four linear layers, the Transformer's decoder is causal over the queries, padding words are read.
           Dense layers over the pixels tie the release to its image size; here other maps are resized before and after.
           Sentences are taken apart as CMPC's are, not at blanks only; the vectors come from GloVe, not from spaCy.
           A mask is cut at the threshold after its logits were resized, not after its probabilities were.
           `vlt_swin` is our form of the extended paper, for which there is no code: it keeps the rest of the network.
           Its numbers are ours, not a reproduction. The masked contrastive loss of that paper is not here.
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
from refseg.blocks.view import View
from refseg.config import Channels, Config, Layers, Repeats
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.configs import ImageEncoderConfig, WordEncoderConfig
from refseg.encoders.darknet import EPS, batch_norm, dbl, leaky_relu
from refseg.losses import SMALL_REFERENTS, SMALL_THRESHOLD, weighted_cross_entropy
from refseg.networks.network import Network, Output, pad_mask, pad_words

STRIDE = 16  # of the pixels that the Transformer reads


class VLTConfig(Config):
    """Every choice of the network; the defaults are the authors' release."""

    image_encoder: ImageEncoderConfig = Field("darknet53", validate_default=True)
    freeze_image_encoder: bool = True
    norm_stages: bool = False  # a layer norm on what is read of each stage
    word_encoder: WordEncoderConfig = Field("gru", validate_default=True)
    max_words: Repeats = 15  # RefCOCOg: 20
    hide_padding: bool = False  # nobody looks at padding words; a GRU reads them all the same
    image_size: int = Field(416, le=16_384, ge=32, multiple_of=32)  # of training: for the Dense layers over pixels

    # Fusion
    fusion: Literal["product", "spatial"] = "product"  # one sentence for all pixels, or each pixel its own
    channels: int = Field(512, le=16_384, ge=2)  # of the fused maps

    # Queries and Transformer
    queries: Repeats = 16
    width: Channels = 256
    heads: Repeats = 8
    layers: Layers = 2  # of the Transformer's encoder, and of its decoder
    dropout: float = Field(0.1, ge=0, lt=1)
    causal_queries: bool = True  # in the Transformer's decoder a query looks at those before it only

    # Mask
    aligner: AlignerConfig | None = None  # EAVL's, in the place of the last convolution, on these queries; at stride 4
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
        image_encoder="small",
        norm_stages=False,
        word_encoder="bert_small",
        max_words=24,
        image_size=128,
        channels=96,
        width=64,
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
    """What of B images does not depend on words.

    Attributes:
        v5: (B, C5, h / 2, w / 2) the coarsest stage, convolved.
        look: (B, C, h / 2, w / 2) the pixels that look at the words, where each does.
        v4, v3: (B, _, h, w) what is joined of the stages before it.
    """

    v5: Tensor
    projected: Tensor | None
    v4: Tensor
    v3: Tensor

    def expand_to_expressions(self, image_of_expression: Tensor) -> "ImageFeatures":
        """The features of each expression's image; nothing is copied for one image."""
        count = len(image_of_expression)

        def pick(x: Tensor) -> Tensor:
            return x.expand(count, -1, -1, -1) if len(x) == 1 else x[image_of_expression]

        projected = None if self.projected is None else pick(self.projected)
        return ImageFeatures(pick(self.v5), projected, pick(self.v4), pick(self.v3))


class VLT(Network):
    """Two encoders, the fused maps, queries made of both, the Transformer that answers them, and the mask."""

    idea = "The image makes several queries of an expression, a Transformer answers them, the surest count most"
    presets = PRESETS
    config: VLTConfig

    def __init__(self, config: VLTConfig, vocabulary_size: int):
        super().__init__()
        self.config, self.threshold = config, config.threshold
        self.image_encoder = build_image_encoder(config.image_encoder)
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
        """The three coarser stages of images (B, 3, H, W), normalised, as far as they need no words."""
        _, v3, v4, v5 = self.image_encoder(image)
        return self.fusion.project_image(v3, v4, v5)

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, max_words, D) of tokens (M, L), padding included."""
        return self.word_encoder(*pad_words(tokens, word_mask, self.config.max_words))

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Masks (M, 1, H / output_stride, W / output_stride) of words (M, T, D) with word_mask (M, L), L up to T."""
        logits = self.masks(features, words, word_mask, image_of_expression)
        return self.answer(logits)

    def masks(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Tensor:
        """Logits as `fuse` gives them, where 0 is a probability of a half; arguments as of `fuse`."""
        queries, responses = self.answer_queries(features, words, word_mask, image_of_expression)
        if self.aligner is None:
            return self.decoder(responses)
        return self.aligner(self.decoder.maps(responses)[-1], queries).float()

    def answer_queries(
        self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> tuple[Queries, Tensor]:
        """The queries, and the balanced response to each as a map (M, Q, h, w); arguments as of `fuse`."""
        word_mask = pad_mask(word_mask, words.shape[1]) | (not self.config.hide_padding)
        asked, pixels = self.fusion(features.expand_to_expressions(image_of_expression), words, word_mask)
        queries = self.query_generation(asked, words, word_mask)
        answered = self.transformer(pixels, queries.values)
        return queries, self.balance(answered, queries.values, pixels.shape[-2:])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Binary cross-entropy at the logits' size, averaged over the expressions, 2 or more for the batch norm."""
        words = self.encode_words(batch.tokens, batch.word_mask)
        logits = self.masks(self.encode_image(batch.image), words, batch.word_mask, batch.image_of_expression)
        masks = F.interpolate(batch.soft_masks()[:, None].to(logits.dtype), logits.shape[-2:], mode="nearest")[:, 0]
        loss = weighted_cross_entropy(logits, masks, self.config.class_weights)
        if self.config.reduction == "sum":
            loss = loss * masks[0].numel()
        return {"loss": loss}

    def views(self) -> list[View]:
        """Where each query looks in the image and at which words, and how much its answer counts."""
        generation, queries = self.query_generation, range(self.config.queries)
        maps = [
            View(f"query {n + 1}: map", generation.maps, partial(_map, n), "map", "Query Generation") for n in queries
        ]
        words = [
            View(f"query {n + 1}: words", generation.seen, partial(_words, n), "words", "Query Generation")
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
    """The sentence times the coarsest stage, joined with the two before it."""

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
        """What needs no words of three stages (B, _, 2 h, 2 w), (B, _, h, w), (B, _, h / 2, w / 2)."""
        v3, v4, v5 = (norm(x) for norm, x in zip(self.norms, (v3, v4, v5), strict=True))
        projected, v4, v3 = self.sentence.project_image(v5), self.of_v4(v4), self.of_v3(F.avg_pool2d(v3, 2))
        return ImageFeatures(v5 + self.convolved(v5), projected, v4, v3)

    def forward(self, features: ImageFeatures, words: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Two fused maps: (M, `channels`, h, w), of which queries are made, and (M, C, h, w) for the Transformer.

        Args:
            features: of M images, one for each expression.
            words: (M, L, D).
            word_mask: (M, L), True where one may look.
        """
        m5 = self.product(features.v5 * self.sentence(features.projected, words, word_mask))
        m5 = F.interpolate(m5, features.v4.shape[-2:], mode="nearest")
        m4 = self.join_v4(torch.cat([m5, features.v4], dim=1))
        m3 = self.join_v3(torch.cat([m4, features.v3], dim=1))
        both = self.of_both(torch.cat([self.back(m3), m4], dim=1))
        return m3, self.pixels(torch.cat([m5, both], dim=1))


class StageNorm(nn.LayerNorm):
    """Over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TiledSentence(nn.Module):
    """One vector for all pixels: every channel takes its own share of the words."""

    def __init__(self, config: VLTConfig, channels: int, words: int):
        super().__init__()
        self.weigh = nn.Sequential(dense(words, words), nn.Tanh(), nn.Dropout(config.dropout))
        self.pooled = nn.Identity()
        self.project = dense(words, channels)
        self.norm = nn.Sequential(nn.BatchNorm1d(channels, eps=EPS, momentum=0.01), leaky_relu())

    def project_image(self, v5: Tensor) -> None:
        """Pixels do not look."""

    def forward(self, projected: None, words: Tensor, word_mask: Tensor) -> Tensor:
        """(M, C5, 1, 1); words and mask are as of `Fusion`."""
        weights = masked(self.weigh(words), word_mask[..., None]).softmax(1)
        return self.norm(self.project(self.pooled((weights * words).sum(1))))[..., None, None]


class SpatialSentence(nn.Module):
    """A vector for each pixel: it looks at the words itself."""

    def __init__(self, config: VLTConfig, channels: int, words: int):
        super().__init__()
        self.pixels = dbl(channels, config.width, 1)
        self.words = dense(words, config.width)
        self.attend = Attention(config.width, config.heads)
        self.project = dbl(config.width, channels, 1)

    def project_image(self, v5: Tensor) -> Tensor:
        """Pixels (B, C, h, w) of the coarsest stage (B, C5, h, w)."""
        return self.pixels(v5)

    def forward(self, projected: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """(M, C5, h, w) of pixels (M, C, h, w); words and mask are as of `Fusion`."""
        words = self.words(words)
        seen = self.attend(projected.flatten(2).mT, words, words, word_mask[:, None, None])
        return self.project(seen.mT.unflatten(-1, projected.shape[-2:]))


class QueryGeneration(nn.Module):
    """Queries, each of a map over the image and of the words that it looks at.

    Attributes:
        maps: gives the maps (M, Q, h, w).
        seen: gives the attention (M, heads, Q, L) of queries over words.
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
        """Queries of a fused map (M, `channels`, h, w); words and mask are as of `Fusion`."""
        maps = resized(self.maps(with_coordinates(fused)), (self.side, self.side))
        vision, language = self.vision(maps.flatten(2)), self.language(words)
        here, said = with_positions(vision), with_positions(language)
        query, key, value = self.attend.split(self.query(here), self.key(said), self.value(said))
        scores = (query @ key.mT) * key.shape[-1] ** -0.5
        weights = self.seen(masked(scores, word_mask[:, None, None]))
        values = self.attend.join(weights.to(value.dtype) @ value) + vision
        return Queries(values, attention=weights.mean(1))


class Transformer(nn.Module):
    """The encoder makes a memory of the pixels, the decoder answers the queries from it."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        self.side = config.image_size // STRIDE
        self.encoder = nn.ModuleList([EncoderLayer(config) for _ in range(config.layers)])
        self.decoder = nn.ModuleList([DecoderLayer(config) for _ in range(config.layers)])

    def forward(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """The answers (M, Q, C) to queries (M, Q, C) about a map (M, C, h, w)."""
        memory = self.memory(pixels)
        answers = with_positions(queries)
        for layer in self.decoder:
            answers = layer(answers, memory)
        return answers

    def memory(self, pixels: Tensor) -> Tensor:
        """(M, N, C) of a map (M, C, h, w); on another grid than the training's, positions are those in between."""
        places = positions(self.side**2, pixels.shape[1], pixels.device).mT.unflatten(-1, (self.side, self.side))
        x = (pixels + resized(places[None], pixels.shape[-2:])).flatten(2).mT
        for layer in self.encoder:
            x = layer(x)
        return x


class EncoderLayer(nn.Module):
    """Pixels look at pixels."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        self.among = Attention(config.width, config.heads)
        self.feed_forward = feed_forward(config.width)
        self.among_norm, self.feed_norm = (AddNorm(config) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(M, N, C) to the same."""
        x = self.among_norm(x, self.among(x, x, x))
        return self.feed_norm(x, self.feed_forward(x))


class DecoderLayer(nn.Module):
    """Queries look at queries, then at the memory."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        self.causal = config.causal_queries
        self.among = Attention(config.width, config.heads)
        self.memory = Attention(config.width, config.heads)
        self.feed_forward = feed_forward(config.width)
        self.among_norm, self.memory_norm, self.feed_norm = (AddNorm(config) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Queries (M, Q, C) at memory (M, N, C)."""
        before = x.new_ones(x.shape[1], x.shape[1], dtype=torch.bool).tril() if self.causal else None
        x = self.among_norm(x, self.among(x, x, x, before))
        x = self.memory_norm(x, self.memory(x, memory, memory))
        return self.feed_norm(x, self.feed_forward(x))


class AddNorm(nn.Module):
    """A layer norm of the sum."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.width, eps=1e-14)

    def forward(self, x: Tensor, change: Tensor) -> Tensor:
        """Two of (M, N, C) to one."""
        return self.norm(x + self.dropout(change))


class Attention(nn.Module):
    """Attention of several heads with a ReLU after each of its four linear layers."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (dense(width, width, nn.init.xavier_normal_) for _ in range(4))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """What queries (M, N, C) see of keys and values (M, T, C), where a mask (..., N, T) is True: (M, N, C)."""
        return self.join(F.scaled_dot_product_attention(*self.split(queries, keys, values), attn_mask=mask))

    def split(self, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three, projected, each (M, heads, N or T, C / heads)."""
        query, key, value = (
            F.relu(layer(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, queries), (self.key, keys), (self.value, values))
        )
        return query, key, value

    def join(self, seen: Tensor) -> Tensor:
        """(M, N, C) of what the heads saw (M, heads, N, C / heads)."""
        return F.relu(self.out(seen.transpose(1, 2).flatten(2)))


class QueryBalance(nn.Module):
    """How much the answer to each query counts, and the map that it stands for."""

    def __init__(self, config: VLTConfig):
        super().__init__()
        width = config.width
        self.side = config.image_size // STRIDE
        self.query, self.answer = (nn.Sequential(dense(width, width), nn.ReLU()) for _ in range(2))
        self.confidence = nn.Sequential(dense(2 * width, width), nn.ReLU(), dense(width, 1), nn.Sigmoid())
        self.response = nn.Sequential(dense(width, self.side**2), nn.ReLU())

    def forward(self, answers: Tensor, queries: Tensor, size_hw: Sequence[int]) -> Tensor:
        """Responses (M, Q, h, w) of answers and queries (M, Q, C)."""
        confidence = self.confidence(torch.cat([self.answer(answers), self.query(queries)], dim=-1))
        maps = self.response(confidence * answers).unflatten(-1, (self.side, self.side))
        return resized(maps, size_hw)


class MaskDecoder(nn.Module):
    """Responses, finer step by step."""

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
        """Logits (M, 1, H / output_stride, W / output_stride), float32, of responses (M, Q, h, w)."""
        assert self.classify is not None, "an aligner makes the masks"
        return self.classify(self.maps(responses)[-1]).float()

    def maps(self, responses: Tensor) -> list[Tensor]:
        """Maps (M, C, _, _) at 1/16 of the image, 1/8 and so on to the output stride."""
        maps = [self.refine(self.join(responses))]
        for finer in self.finer:
            maps.append(finer(maps[-1]))
        return maps


def with_coordinates(x: Tensor) -> Tensor:
    """A map (M, D, h, w) with three channels of x and three of y, from -1 to 1 edge to edge: (M, D + 6, h, w)."""
    count, _, height, width = x.shape
    rows, columns = (torch.linspace(-1, 1, size, device=x.device, dtype=x.dtype) for size in (height, width))
    rows = rows.view(1, 1, -1, 1).expand(count, 3, -1, width)
    columns = columns.view(1, 1, 1, -1).expand(count, 3, height, -1)
    return torch.cat([x, columns, rows], dim=1)


def positions(count: int, width: int, device: torch.device) -> Tensor:
    """Codes (count, width) of the places 0, 1, ... in a sequence: sines on even channels, cosines on odd ones."""
    place = torch.arange(count, device=device, dtype=torch.float32)[:, None]
    angle = place / 10000 ** (torch.arange(0, width, 2, device=device) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


def with_positions(x: Tensor) -> Tensor:
    """A sequence (M, N, C) with the codes of its places added."""
    return x + positions(x.shape[1], x.shape[2], x.device)


def resized(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """A map (M, _, h, w) at another size; at its own, as it is."""
    if tuple(x.shape[-2:]) == tuple(size_hw):
        return x
    return F.interpolate(x, tuple(size_hw), mode="bilinear", align_corners=False)


def masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores that a softmax makes 0 where the mask is False."""
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min)


def dense(inputs: int, outputs: int, start: Callable[[Tensor], Tensor] = nn.init.xavier_uniform_) -> nn.Linear:
    """A linear layer with these first weights and without bias at first."""
    layer = nn.Linear(inputs, outputs)
    start(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def feed_forward(width: int) -> nn.Sequential:
    """Two linear layers."""
    first, second = (dense(width, width, nn.init.xavier_normal_) for _ in range(2))
    return nn.Sequential(first, nn.ReLU(), second)


def last_convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """One with a bias and nothing after it."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _map(query: int, maps: Tensor) -> Tensor:
    return maps[:, query]


def _words(query: int, attention: Tensor) -> Tensor:
    return attention[:, :, query].mean(1)
