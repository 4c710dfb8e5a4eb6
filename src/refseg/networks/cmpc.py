"""CMPC: perceives the entities that an expression names, then reasons about their relations, on three levels.

Paper      S. Liu et al. "Cross-Modal Progressive Comprehension for Referring Segmentation". TPAMI 2021.
           https://arxiv.org/abs/2105.07175
Read with  `CMPC.compute_logits`, top to bottom: `WordTypes` (Eq. 1), `Level`: `EntityPerception` (Eqs. 2 to 4),
           `RelationReasoning` with `GraphLayer` (Eqs. 5 to 10) and `OutputFusion` (Eq. 11); then `Exchange`, a round
           of TGFE, and `blocks.conv_lstm`.
Departs    Where the paper and the authors' release differ, this is the release:
           Eq. 1        a ReLU between the layers of the word parser; the paper: a sigmoid.
           Eqs. 3, 4    tanh of both factors and of their sum, unit length, coordinates beside the pixels; the paper:
                        products alone, coordinates in the projection before.
           Eqs. 5, 6    affinities over the root of the width, weighted by relation words after their projection; the
                        paper: no scale, weighted before.
           Eqs. 8, 10   two joint norms, a residual, ReLUs and one linear layer; the paper: a linear layer, then
                        (A + I) V W.
           Eq. 11       the sentence of entities and attributes; the paper: of relations as well (`output_sentence`).
                        500 channels, of which the paper has 1000.
           Eq. 22       a softmax over pixels of the scaled products; the paper: the products themselves.
           Eq. 24       each source has a gate and a projection of its own, with a ReLU, and the sum unit length; the
                        paper: one gate for all.
           ConvLSTM     1 x 1 kernels, layer norms and peepholes; the paper cites one of 3 x 3.
           Loss         the mask's and one of each level; the paper: the mask's. A mean over pixels as in the paper, of
                        which the release takes the sum; its L2 is scaled likewise.
           The release takes one expression at a time: here padding is masked. The graph's N x N adjacency is never
           formed, and word-independent features are computed once per image.
           GloVe only initialises the word vectors: a recipe's `initial.glove`.
           The paper does not describe the off-states of its ablations; they are ours.
Notation   B images, M expressions, T words of D channels, h x w pixels of a level (N of them), C `width`, F `fused`.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, Self, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from refseg.batch import Batch
from refseg.blocks.conv_lstm import ConvLSTM, Peephole
from refseg.blocks.resize import resize_map
from refseg.blocks.view import View
from refseg.blocks.whole_map_norm import JointNorm
from refseg.config import Channels, Config, Repeats
from refseg.encoders import build_image_encoder, build_word_encoder
from refseg.encoders.configs import ImageEncoderConfig, WordEncoderConfig
from refseg.losses import SMALL_REFERENTS, SMALL_THRESHOLD, weighted_cross_entropy
from refseg.networks.network import CalledInParts, Network, Output

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


LEVELS = {"c3": 1, "c4": 2, "c5": 3}  # name -> stage of the image encoder; all have the grid of the first


TYPES = ("entity", "attribute", "relation", "unnecessary")


COORDINATES = 8


RELEASE_PIXELS = 320 * 320  # of the images over which the authors sum the loss


class CMPCConfig(Config):
    """Every choice of the network; the defaults are those of the paper's Table 1, but for RefCOCOg (`cmpc_gref`)."""

    image_encoder: ImageEncoderConfig = Field("deeplab_resnet101", validate_default=True)
    freeze_image_encoder: bool = True
    word_encoder: WordEncoderConfig = Field("lstm", validate_default=True)
    max_words: Repeats = 20  # that the tokenizer keeps

    # Words; without entity perception and reasoning, all sentence vectors are the state of the last word
    parser_hidden: Channels = 500
    # Table 11; "random:1", "random:2" and so on are other draws; always predicted in training
    word_types: str = "predicted"
    output_sentence: Literal["entities", "necessary"] = "entities"  # sentence in a level's output; the paper: necessary
    sentence: Literal["necessary", "all_words"] = "necessary"  # sentence that TGFE reads; Table 9

    # Levels
    levels: Literal["c5", "c3-c5"] = "c3-c5"
    width: Channels = 1000
    entity_perception: bool = True
    heads: Repeats = 5  # of the entity perception
    graph_layers: int = Field(1, ge=0, le=3)  # of the relation-aware reasoning; 0 leaves it out
    skip: Literal["multimodal", "visual"] = "multimodal"  # features that bypass the reasoning ("CMF": multimodal)

    # Fusion
    fused: Channels = 500
    exchange_rounds: int = Field(3, ge=0, le=3)  # of TGFE
    level_fusion: Literal["convlstm", "sum"] = "convlstm"
    peephole: Peephole = "position"
    grid_hw: tuple[Channels, Channels] = (40, 40)  # of the peepholes per position, resized for other grids
    resize: Literal["centred", "corner"] = "centred"  # of logits to the image; corner: as TensorFlow 1 did
    threshold: float = Field(0.5, gt=0, lt=1)  # probability above which a pixel belongs to the referent

    # Losses
    class_weights: tuple[float, float] = (1.0, 1.0)  # of background and referent
    level_loss: float = Field(0.1, ge=0, lt=1 / 3)  # weight of each level's own loss; the mask's has the rest
    reduction: Literal["mean", "sum"] = "mean"  # over pixels
    l2: float = Field(5e-4 / RELEASE_PIXELS, ge=0)  # factor of half the sum of squared weights

    @property
    def draw(self) -> int | None:
        """Number of the draw of random word types; None if they are predicted."""
        kind, _, number = self.word_types.partition(":")
        return None if kind == "predicted" else int(number or 0)

    @property
    def reasons(self) -> bool:
        """Whether there is relation-aware reasoning."""
        return self.graph_layers > 0

    @property
    def parses(self) -> bool:
        """Whether any part depends on the types of words."""
        return self.entity_perception or self.reasons

    @field_validator("word_types")
    @classmethod
    def _known_types(cls, value: str) -> str:
        if not re.fullmatch(r"predicted|random(:\d{1,9})?", value):
            raise ValueError(f"{value!r} is not known; choose predicted, random, or random:1 for another draw")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.levels == "c5" and self.exchange_rounds:
            raise ValueError(
                "a single level has no other to exchange features with; set exchange_rounds=0 or levels='c3-c5'"
            )
        if self.levels == "c5" and self.level_fusion == "convlstm":
            raise ValueError("a single level needs no ConvLSTM; set level_fusion='sum' or levels='c3-c5'")
        if self.skip == "visual" and not self.reasons:
            raise ValueError("without reasoning there is nothing to bypass; set skip='multimodal'")
        if min(self.grid_hw) < 1:
            raise ValueError(f"grid_hw {self.grid_hw} has no pixels")
        return self


SMALL: dict[str, Any] = {  # for drawn scenes and clips
    "image_encoder": "small",
    "freeze_image_encoder": False,
    "word_encoder": "bert_small",
    "max_words": 24,
    "parser_hidden": 64,
    "width": 64,
    "heads": 2,
    "fused": 48,
    "exchange_rounds": 1,
    "grid_hw": (16, 16),
    "class_weights": SMALL_REFERENTS,
    "threshold": SMALL_THRESHOLD,
    "l2": 0,
}


PRESETS = {
    "cmpc": CMPCConfig(),
    "cmpc_gref": CMPCConfig(graph_layers=2),
    "cmpc_release": CMPCConfig(exchange_rounds=2, resize="corner", reduction="sum", l2=5e-4),
    "cmpc_multilevel": CMPCConfig(entity_perception=False, graph_layers=0, skip="multimodal", exchange_rounds=0),
    "cmpc_small": CMPCConfig(**SMALL),
}


@dataclass
class LevelFeatures:
    """Word-independent features of B images at one level.

    Attributes:
        pixels: (B, h, w, C) of unit length; None if only `projected` is read.
        projected: (B, h, w, _) projected pixels, to be combined with the sentence.
    """

    pixels: Tensor | None
    projected: Tensor

    def expand_to_expressions(self, image_of_expression: Tensor) -> "LevelFeatures":
        """Returns the features of each expression's image, without a copy for a single image."""
        count = image_of_expression.shape[0]  # `len` would fix it in an export

        def select(x: Tensor) -> Tensor:
            return x.expand(count, *x.shape[1:]) if x.shape[0] == 1 else x[image_of_expression]

        return LevelFeatures(None if self.pixels is None else select(self.pixels), select(self.projected))


@dataclass
class ImageFeatures:
    """Word-independent features of B images.

    Attributes:
        levels: by name, finest first.
        size_hw: height and width of the images.
        coarse: (B, C, h, w) the encoder's map for C3, of clips in the predicted frame; familiarity is measured on it.
    """

    levels: Mapping[str, LevelFeatures]
    size_hw: tuple[int, int]
    coarse: Tensor


@dataclass
class EncodedExpression:
    """M expressions, encoded for the levels and TGFE.

    Attributes:
        words: (M, T, D) of unit length.
        word_mask: (M, T).
        types: (M, T) by name, probability of each word's type, 0 on padding; None without a parser.
        entities: (M, D) sentence of entities and attributes; without entity perception the last word's state.
        output: (M, D) sentence in the output of a level.
        necessary: (M, D) sentence that TGFE reads.
    """

    words: Tensor
    word_mask: Tensor
    types: Mapping[str, Tensor] | None
    entities: Tensor
    output: Tensor
    necessary: Tensor


class CMPC(Network):
    """CMPC for images.

    Attributes:
        types: types of words; the last one carries no meaning.
    """

    types: ClassVar[tuple[str, ...]] = TYPES
    idea = "Finds what the expression names, then relates it through a graph that its relation words span"
    presets: ClassVar[Mapping[str, CMPCConfig]] = PRESETS
    config: CMPCConfig
    training_only = ("level_scores.",)

    def __init__(self, config: CMPCConfig, vocabulary_size: int):
        super().__init__()
        self.config, self.threshold = config, config.threshold
        self.image_encoder = build_image_encoder(config.image_encoder)
        self.word_encoder = build_word_encoder(config.word_encoder, vocabulary_size)
        if config.freeze_image_encoder:
            self.image_encoder.requires_grad_(False)
        words, fused = self.word_encoder.channels, config.fused
        names = list(LEVELS) if config.levels == "c3-c5" else ["c5"]
        channels = {name: self.image_encoder.channels[LEVELS[name]] for name in names}
        self.parser = WordTypes(words, config.parser_hidden, self.types) if config.parses else None
        self.levels = nn.ModuleDict({name: self.level(channels[name], words) for name in names})
        self.exchange = nn.ModuleList([Exchange(names, fused, words) for _ in range(config.exchange_rounds)])
        self.conv_lstm = (
            ConvLSTM(fused, fused, config.peephole, config.grid_hw) if config.level_fusion == "convlstm" else None
        )
        self.score = score(fused)
        heads = names if config.level_loss and len(names) > 1 else []
        self.level_scores = nn.ModuleDict({name: score(fused) for name in heads})

    def level(self, channels: int, words: int) -> "Level":
        """Builds one level for a stage's map."""
        return Level(self.config, channels, words)

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Computes word-independent features of all levels of normalised images (B, 3, H, W)."""
        return self.levels_of(self.image_encoder(image), (image.shape[-2], image.shape[-1]))

    def levels_of(self, maps: Sequence[Tensor], size_hw: tuple[int, int]) -> ImageFeatures:
        """Computes word-independent features of all levels from the four maps of the image encoder."""
        c3 = maps[LEVELS["c3"]]
        levels = {
            name: level.project_image(maps[LEVELS[name]], c3.shape[-2:])  # type: ignore[operator]
            for name, level in self.levels.items()
        }
        return ImageFeatures(levels, size_hw, c3)

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, T) as words (M, T, D) of unit length; random types are further channels of them."""
        words = l2_normalize(self.word_encoder(tokens, word_mask))
        if self.parser is None or self.config.draw is None or self.training:
            return words
        return torch.cat([words, draw_types(tokens, word_mask, len(self.types), self.config.draw).to(words)], dim=-1)

    def fuse(self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
        """Predicts masks (M, 1, H, W) from words (M, T, D) with word_mask (M, T)."""
        logits, _ = self.compute_logits(features, words, word_mask, image_of_expression)
        return self.answer(self.to_image(logits, features.size_hw))

    def compute_logits(
        self, features: ImageFeatures, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes logits (M, 1, h, w), and each level's output (M, h, w, F) before TGFE; arguments as in `fuse`."""
        expression = self.encode_expression(words, word_mask)
        outputs = {
            name: level(features.levels[name].expand_to_expressions(image_of_expression), expression)
            for name, level in self.levels.items()
        }
        exchanged = outputs
        for one_round in self.exchange:
            exchanged = one_round(exchanged, expression.necessary)
        return self.score(channels_first(self.join_levels(list(exchanged.values())))).float(), outputs

    def encode_expression(self, words: Tensor, word_mask: Tensor) -> EncodedExpression:
        """Computes the sentences of words (M, T, D) of `encode_words` with word_mask (M, T)."""
        words, drawn = words.tensor_split([self.word_encoder.channels], dim=-1)
        if self.parser is None:
            last = last_word(words, word_mask)
            return EncodedExpression(words, word_mask, None, last, last, last)
        types = self.parser.by_name(words, word_mask, drawn if drawn.shape[-1] else None)
        named = weighted(words, types["entity"] + types["attribute"])
        necessary = weighted(words, torch.stack([types[name] for name in self.types[:-1]]).sum(0))
        return EncodedExpression(
            words=words,
            word_mask=word_mask,
            types=types,
            entities=named if self.config.entity_perception else last_word(words, word_mask),
            output={"entities": named, "necessary": necessary}[self.config.output_sentence],
            necessary=necessary if self.config.sentence == "necessary" else weighted(words, word_mask.to(words.dtype)),
        )

    def join_levels(self, levels: Sequence[Tensor]) -> Tensor:
        """Fuses the maps of the levels, finest first, into one (M, h, w, F)."""
        if self.conv_lstm is not None:
            return self.conv_lstm(levels)
        return l2_normalize(torch.stack(list(levels)).sum(0)) if len(levels) > 1 else levels[0]

    def to_image(self, logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """Resizes logits (M, 1, h, w) to the images."""
        if self.config.resize == "corner":
            return corner_resize(logits, size_hw)
        return resize_map(logits, size_hw)

    def familiarity_features(self, image_features: ImageFeatures) -> Tensor:
        """Returns the image encoder's map for C3."""
        return image_features.coarse

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Computes the cross-entropy of the mask and of each level's own before TGFE, and the L2 term."""
        config, features = self.config, self.encode_image(batch.image)
        words = self.encode_words(batch.tokens, batch.word_mask)
        logits, levels = self.compute_logits(features, words, batch.word_mask, batch.image_of_expression)
        maps = {"mask": logits} | {
            name: head(channels_first(levels[name])).float() for name, head in self.level_scores.items()
        }
        masks = batch.masks()
        losses = {
            name: weighted_cross_entropy(self.to_image(each, features.size_hw), masks, config.class_weights)
            for name, each in maps.items()
        }
        if config.reduction == "sum":
            losses = {name: loss * masks[0].numel() for name, loss in losses.items()}
        own = [losses[name] for name in self.level_scores]
        total = (1 - config.level_loss * len(own)) * losses["mask"] + config.level_loss * sum(own)
        if config.l2:
            losses["l2"] = config.l2 / 2 * torch.stack([squares(w) for w in self.decaying()]).sum()
            total = total + losses["l2"]
        return {"loss": total, **{name: part.detach() for name, part in losses.items()}}

    def decaying(self) -> list[nn.Parameter]:
        """Returns the weights in the L2 term: those of all layers but the encoders and the ConvLSTM."""
        free = [self.image_encoder, self.word_encoder, *([self.conv_lstm] if self.conv_lstm is not None else [])]
        theirs = {layer for part in free for layer in part.modules()}
        layers = (layer for layer in self.modules() if layer not in theirs)
        return [layer.weight for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)]  # type: ignore[misc]

    def views(self) -> list[View]:
        """Returns the types of words and, per level, attention maps of the first, the entity and all words."""
        if self.parser is None:
            return []
        views = [
            View(
                f"words: {name}",
                self.parser,
                partial(_type, k),
                "words",
                "Eq. 1, Fig. 5",
                meaning="probability that a word is of this type",
            )
            for k, name in enumerate(self.types)
        ]
        for name, level in self.levels.items():
            assert isinstance(level, Level)
            if level.reason is not None:
                affinity = level.reason.affinity
                views.append(View(f"{name}: first word", affinity, first_word_map, "map", "Eq. 5, Fig. 9"))
                views.append(View(f"{name}: entity words", affinity, entity_map, "map", "Eq. 5, Fig. 9"))
                views.append(View(f"{name}: full expression", affinity, expression_map, "map", "Eq. 5, Fig. 9"))
        return views


class WordTypes(nn.Module):
    """Classifier of words by type.

    Args:
        words: channels of words.
        hidden: channels between the two layers.
        types: names of the types.
    """

    def __init__(self, words: int, hidden: int, types: Sequence[str]):
        super().__init__()
        self.layers = nn.Sequential(dense(words, hidden), nn.ReLU(), dense(hidden, len(types)))
        self.types = tuple(types)

    def forward(self, words: Tensor, drawn: Tensor | None = None) -> Tensor:
        """Computes type probabilities (M, T, K) of words (M, T, D), padding included; returns those drawn, if any."""
        return self.layers(words).softmax(-1) if drawn is None else drawn  # Eq. 1

    def by_name(self, words: Tensor, word_mask: Tensor, drawn: Tensor | None = None) -> dict[str, Tensor]:
        """Returns the probabilities (M, T) of each type by name, 0 where word_mask (M, T) is False."""
        types = self(words, drawn) * word_mask.unsqueeze(-1)
        return dict(zip(self.types, types.unbind(-1), strict=True))


def draw_types(tokens: Tensor, word_mask: Tensor, count: int, draw: int) -> Tensor:
    """Draws type probabilities (M, T, count) of tokens (M, T), uniformly among all distributions over the types.

    They depend on the expression and on the number of the draw alone, so that a scoring that was stopped goes on with
    the same, whatever other expressions are answered beside it.
    """
    drawn = torch.full((*tokens.shape, count), 1 / count)
    for row, (ids, known) in enumerate(zip(tokens.cpu(), word_mask.cpu(), strict=True)):
        text = f"{draw} {ids[known].tolist()}"
        generator = torch.Generator().manual_seed(zlib.crc32(text.encode()))
        shares = -torch.rand(int(known.sum()), count, generator=generator).clamp(min=1e-6).log()
        drawn[row, known] = shares / shares.sum(-1, keepdim=True)
    return drawn.to(tokens.device)


def squares(weight: Tensor) -> Tensor:
    """Sums a weight's squares, over all processes if it is sharded."""
    total = weight.float().square().sum()
    whole: Tensor = total.full_tensor() if hasattr(total, "full_tensor") else total
    return whole


class Level(CalledInParts):
    """One level: entity perception, relation reasoning and their fusion.

    Args:
        config: of the network.
        channels: of the stage's map.
        words: channels of words.
        more: number of additional maps in the fusion.
    """

    def __init__(self, config: CMPCConfig, channels: int, words: int, more: int = 0):
        super().__init__()
        width = config.width
        self.keep_pixels = config.skip == "visual"
        self.lateral = dense(channels, width)
        self.perceive: EntityPerception | Concatenation = (
            EntityPerception(width, words, config.heads) if config.entity_perception else Concatenation(width, words)
        )
        self.reason = RelationReasoning(width, words, config.graph_layers) if config.graph_layers else None
        self.join = OutputFusion((1 + (self.reason is not None) + more) * width, words, config.fused)

    def project_image(self, x: Tensor, size_hw: Sequence[int]) -> LevelFeatures:
        """Computes word-independent features of a stage's map (B, _, h', w'), at this size."""
        pixels = l2_normalize(self.lateral(resize_map(x, size_hw).permute(0, 2, 3, 1)))
        return LevelFeatures(pixels if self.keep_pixels else None, self.perceive.project_image(pixels))

    def forward(self, features: LevelFeatures, expression: EncodedExpression) -> Tensor:
        """Computes the level's output (M, h, w, F) from the features of M expressions' images."""
        named = self.perceive(features.projected, expression.entities)
        first = named if features.pixels is None else features.pixels
        return self.join([first] if self.reason is None else [first, self.reason(named, expression)], expression.output)


class EntityPerception(nn.Module):
    """Entity perception: multi-head product of pixels and the entity sentence."""

    def __init__(self, width: int, sentence: int, heads: int):
        super().__init__()
        self.heads = heads
        self.visual = dense(width + COORDINATES, heads * width)
        self.language = dense(sentence, heads * width)

    def project_image(self, pixels: Tensor) -> Tensor:
        """Projects pixels (..., h, w, C) to the heads (..., h, w, heads * C)."""
        return self.visual(with_coordinates(pixels)).tanh()

    def forward(self, projected: Tensor, sentence: Tensor) -> Tensor:
        """Computes entities (M, ..., h, w, C) from heads (M, ..., h, w, heads * C) and a sentence (M, D)."""
        language = broadcast_to_map(self.language(sentence).tanh(), projected)
        heads = zip(projected.chunk(self.heads, dim=-1), language.chunk(self.heads, dim=-1), strict=True)
        product = torch.zeros((), dtype=projected.dtype, device=projected.device)
        for visual_head, language_head in heads:  # one by one: together they would be as large as `projected` again
            product = product + visual_head * language_head  # Eq. 3
        return l2_normalize(product.tanh())  # Eq. 4


class Concatenation(nn.Module):
    """Ablation of the entity perception: one layer on the concatenation of pixels and sentence."""

    def __init__(self, width: int, sentence: int):
        super().__init__()
        self.visual = dense(width + COORDINATES, width)
        self.language = dense(sentence, width, bias=False)

    def project_image(self, pixels: Tensor) -> Tensor:
        """Applies the layer to pixels (..., h, w, C) alone."""
        return self.visual(with_coordinates(pixels))

    def forward(self, projected: Tensor, sentence: Tensor) -> Tensor:
        """Adds the layer's output for a sentence (M, D) to that for pixels (M, ..., h, w, C)."""
        return l2_normalize((projected + broadcast_to_map(self.language(sentence), projected)).tanh())


@dataclass
class Affinity:
    """Affinities of pixels and words, before they are weighted by relations.

    Attributes:
        scores: (M, N, T).
        expression: the encoded expressions.
        size_hw: size of the map of the N pixels.
    """

    scores: Tensor
    expression: EncodedExpression
    size_hw: tuple[int, int]


class RelationReasoning(nn.Module):
    """A graph over the pixels whose edges lead through relation words.

    Args:
        width: channels of pixels.
        words: channels of words.
        layers: number of graph layers.
        through: type of the words that edges lead through.

    Attributes:
        affinity: identity called with an `Affinity`, for views.
    """

    def __init__(self, width: int, words: int, layers: int, through: str = "relation"):
        super().__init__()
        self.through = through
        self.vertex = dense(width, width)
        self.word = dense(words, width)
        self.layers = nn.ModuleList([GraphLayer(width) for _ in range(layers)])
        self.scale = width**-0.5
        self.affinity = nn.Identity()

    def forward(self, x: Tensor, expression: EncodedExpression) -> Tensor:
        """Propagates pixels (M, h, w, C) through the graph."""
        vertices = x.flatten(1, 2)
        to_words, to_vertices = self.edges(vertices, expression, (x.shape[1], x.shape[2]))
        for layer in self.layers:
            # Eqs. 8 to 10: the adjacency to_words @ to_vertices.mT is N x N and never formed
            vertices = layer(vertices, to_words @ (to_vertices.mT @ vertices))
        return l2_normalize(vertices).unflatten(1, x.shape[1:3])

    def edges(self, vertices: Tensor, expression: EncodedExpression, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Computes edge weights from vertices (M, N, C) to words and from words to vertices, both (M, N, T)."""
        assert expression.types is not None
        scores = self.vertex(vertices) @ self.word(expression.words).mT * self.scale
        self.affinity(Affinity(scores, expression, size_hw))
        scores = (scores * expression.types[self.through].unsqueeze(1)).float()  # Eqs. 5, 6
        is_word = expression.word_mask.unsqueeze(1)
        to_words = scores.masked_fill(~is_word, torch.finfo(scores.dtype).min).softmax(-1) * is_word
        return to_words.to(vertices.dtype), (scores.softmax(1) * is_word).to(vertices.dtype)


class GraphLayer(nn.Module):
    """Graph layer: updates vertices by the messages of their neighbours."""

    def __init__(self, width: int):
        super().__init__()
        self.message_norm = JointNorm(width)
        self.update = dense(width, width)
        self.norm = JointNorm(width)

    def forward(self, vertices: Tensor, messages: Tensor) -> Tensor:
        """Updates vertices (M, N, C) by messages (M, N, C)."""
        updated = F.relu(vertices + self.message_norm(messages))
        return F.relu(self.norm(self.update(updated)))


class OutputFusion(nn.Module):
    """One layer on concatenated maps, sentence and coordinates; the sentence is not repeated over pixels."""

    def __init__(self, maps: int, sentence: int, outputs: int):
        super().__init__()
        self.layer = dense(maps + sentence + COORDINATES, outputs)
        self.parts = maps, sentence, COORDINATES

    def forward(self, maps: Sequence[Tensor], sentence: Tensor) -> Tensor:
        """Fuses maps (M, h, w, _) and a sentence (M, D) to (M, h, w, F)."""
        map_weight, sentence_weight, coordinate_weight = self.layer.weight.split(self.parts, dim=1)
        pixels = F.linear(torch.cat(list(maps), dim=-1), map_weight, self.layer.bias)
        positions = F.linear(coordinates(maps[0]), coordinate_weight)
        return F.relu(pixels + F.linear(sentence, sentence_weight)[:, None, None] + positions)  # Eq. 11


class Exchange(nn.Module):
    """A round of text-guided feature exchange (TGFE) among the levels."""

    def __init__(self, names: Sequence[str], width: int, sentence: int):
        super().__init__()
        self.levels = nn.ModuleDict(
            {name: FeatureUpdate([o for o in names if o != name], width, sentence) for name in names}
        )

    def forward(self, levels: Mapping[str, Tensor], sentence: Tensor) -> dict[str, Tensor]:
        """Updates all maps (M, h, w, F), by name, from their old values and a sentence (M, D)."""
        return {name: update(name, levels, sentence) for name, update in self.levels.items()}


class FeatureUpdate(nn.Module):
    """Update of one level: gates on the other levels, from a summary of its own map and the sentence."""

    def __init__(self, others: Sequence[str], width: int, sentence: int):
        super().__init__()
        self.key = dense(width, width)
        self.query = dense(sentence, width)
        self.summary = dense(width + sentence, width)
        self.gates = nn.ModuleDict({other: dense(width, width) for other in others})
        self.values = nn.ModuleDict({other: dense(width, width) for other in others})
        self.scale = width**-0.5

    def forward(self, name: str, levels: Mapping[str, Tensor], sentence: Tensor) -> Tensor:
        """Updates level `name` from the other levels; arguments as in `Exchange`."""
        own = levels[name]  # (M, h, w, F)
        pixels = own.flatten(1, 2)  # (M, N, F)
        attention = (self.key(pixels) @ self.query(sentence).unsqueeze(-1) * self.scale).softmax(1)  # Eq. 22
        attended = (attention.mT @ pixels).squeeze(1)  # (M, F)
        context = l2_normalize(self.summary(torch.cat([attended, sentence], dim=-1)))  # Eq. 23
        for other, gate in self.gates.items():
            own = own + gate(context).sigmoid()[:, None, None] * F.relu(self.values[other](levels[other]))  # Eq. 24
        return l2_normalize(own)


def l2_normalize(x: Tensor) -> Tensor:
    """Scales (..., C) to length 1 over the channels; vectors shorter than 1e-6 stay shorter than 1."""
    return F.normalize(x, dim=-1, eps=1e-6)


def weighted(words: Tensor, weights: Tensor) -> Tensor:
    """Computes a sentence (M, D) of unit length, the sum of words (M, T, D) with weights (M, T)."""
    return l2_normalize((weights.unsqueeze(1) @ words.to(weights.dtype)).squeeze(1))


def broadcast_to_map(sentence: Tensor, like: Tensor) -> Tensor:
    """Reshapes a sentence (M, D) to broadcast over maps (M, ..., D)."""
    return sentence.view(sentence.shape[0], *[1] * (like.ndim - 2), -1)


def last_word(words: Tensor, word_mask: Tensor) -> Tensor:
    """Returns the last word (M, D) of words (M, T, D) where word_mask (M, T) is True."""
    positions = torch.arange(word_mask.shape[1], device=word_mask.device)
    last = (word_mask * positions).argmax(1)
    return words.gather(1, last[:, None, None].expand(-1, -1, words.shape[-1])).squeeze(1)


def coordinates(like: Tensor) -> Tensor:
    """Returns edges and centre of each cell of maps (..., h, w, C), in [-1, 1], and a cell's size: (h, w, 8)."""
    height, width = like.shape[-3:-1]
    rows, columns = (torch.arange(size, device=like.device, dtype=torch.float32) for size in (height, width))
    y, x = torch.meshgrid(2 * rows / height - 1, 2 * columns / width - 1, indexing="ij")
    size_x, size_y = torch.full_like(x, 1 / width), torch.full_like(y, 1 / height)
    parts = x, y, x + 2 * size_x, y + 2 * size_y, x + size_x, y + size_y, size_x, size_y
    return torch.stack(parts, dim=-1).to(like.dtype)


def with_coordinates(x: Tensor) -> Tensor:
    """Appends coordinates to maps (..., h, w, C): (..., h, w, C + 8)."""
    return torch.cat([x, coordinates(x).expand(*x.shape[:-1], -1)], dim=-1)


def channels_first(x: Tensor) -> Tensor:
    """Returns a view (M, F, h, w) of a map (M, h, w, F)."""
    return x.permute(0, 3, 1, 2)


def corner_resize(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resizes logits (M, 1, h, w) as TensorFlow 1 does, with the corners of the first pixels aligned."""
    height, width = size_hw
    more = F.pad(logits, (0, 1, 0, 1), mode="replicate")
    return F.interpolate(more, (height + 1, width + 1), mode="bilinear", align_corners=True)[..., :height, :width]


def score(channels: int) -> nn.Conv2d:
    """Returns the convolution that predicts logits."""
    layer = nn.Conv2d(channels, 1, 3, padding=1)
    return _initialise(layer)


def dense(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """Returns a linear layer with Xavier-uniform weights and zero bias."""
    return _initialise(nn.Linear(inputs, outputs, bias=bias))


def _initialise(layer: Layer) -> Layer:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def first_word_map(affinity: Affinity) -> Tensor:
    """Returns the attention map (M, h, w) of the first word; sums to 1."""
    word_mask = affinity.expression.word_mask
    return _attention_map(affinity, (word_mask & (word_mask.cumsum(1) == 1)).float())


def entity_map(affinity: Affinity) -> Tensor:
    """Returns the attention map (M, h, w) of entity and attribute words; sums to 1."""
    types = affinity.expression.types
    assert types is not None
    return _attention_map(affinity, types["entity"] + types["attribute"])


def expression_map(affinity: Affinity) -> Tensor:
    """Returns the attention map (M, h, w) of all words; sums to 1."""
    return _attention_map(affinity, affinity.expression.word_mask.float())


def _attention_map(affinity: Affinity, weights: Tensor) -> Tensor:
    shares = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    attention = affinity.scores.float().softmax(1) @ shares.float().unsqueeze(-1)
    return attention.squeeze(-1).unflatten(1, affinity.size_hw)


def _type(number: int, types: Tensor) -> Tensor:
    return types[..., number]
