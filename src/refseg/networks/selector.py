"""Selector: objects first, words second. A small network of our own that answers on a CPU.

Idea       A finder turns the image into at most a few dozen objects with masks, once and without language. A chooser
           reads the expression and decides for each object whether it is meant: none, one and many are one question.
Read with  `ObjectFinder` (maps, centres, objects), `Pairs` (what an object sees of another), `Chooser` (words, blocks,
           scores), `Selector` (from scores to a mask, training), `FinderLoss`, and the names of first-version weights.
Units      u = sqrt(H * W) / 128, a pixel of a 128 x 128 image: lengths in the config are in u and scale with the image.
           Pixel centres are at integer coordinates; a map at 1/s has its cell i at s * i + (s - 1) / 2.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from refseg.blocks.convolution import conv_norm
from refseg.blocks.precision import full_precision
from refseg.config import Channels, Config, Layers, Repeats
from refseg.encoders.small import small_stages
from refseg.errors import InvalidInput
from refseg.losses import divisor
from refseg.networks.contract import ABSENT, Network, Output, View
from refseg.samples import Batch, Objects

MASKED = -1e4  # attention logit of a key that is not there


class SelectorConfig(Config):
    """Every choice of the network; lengths are in u (see the header of this file)."""

    # Finder: maps
    stages: tuple[Channels, Channels, Channels, Channels] = (32, 48, 96, 192)  # channels at 1/2, 1/4, 1/8, 1/16
    coarse: Channels = 128  # channels of the map at 1/8 that holds the centres
    fine: Channels = 64  # channels of the map at 1/4 that holds appearance
    kernel: Channels = 24  # channels of the pixel embedding
    mask_stride: Literal[1, 2] = 1  # object masks at the image's own resolution, or at half of it

    # Finder: objects
    candidates: Repeats = 16  # cells that may become an object
    score_threshold: float = Field(0.198, gt=0, lt=1)  # probability above which a cell holds an object
    duplicate_distance: float = 7.0  # predicted centres nearer than this are one object
    reference_radius: float = 18.0  # the radius that a size output of zero means
    size_range: float = 1.5  # the radius stays within the reference times exp(+- this)
    geometry_scale: float = 40.0  # one unit of position, distance and radius
    area_scale: float = 8.0  # one unit of the side of an object's area at 1/4
    # Classes of each attribute that is supervised; the first is the hardest.
    attributes: tuple[Repeats, ...] = Field((8, 8, 3, 3), max_length=16)

    # Pairs
    contact_scale: float = 20.0  # one unit of overlap at 1/4, in u squared
    disc_softness: float = 2.0  # width of the border of an object's disc
    pair_range: float = 4.0  # geometric pair features are clipped to +- this
    agreement: bool = True  # one more feature for each attribute: do the two objects agree in it?

    # Chooser
    width: Channels = 128
    heads: Repeats = 4
    word_layers: Layers = 2
    blocks: Layers = 4
    pair_width: Channels = 32
    pair_value: Channels = 16
    max_words: Repeats = 24

    # Answer
    fallback: Literal["none", "best"] = "none"  # something exists, but no object is chosen: nothing, or the best one


def first_version_config() -> SelectorConfig:
    """The network that the first published weights of Selector belong to (see `rename_first_version`)."""
    return SelectorConfig(mask_stride=2, agreement=False)


@dataclass
class Maps:
    """What the finder computes of B images before it knows where the objects are.

    Attributes:
        coarse: (B, C, H/8, W/8) what an object's centre is described by.
        fine: (B, C, H/4, W/4) appearance, summed over each object's mask.
        pixels: (B, C, h/2, w/2) what the masks (h, w) are shuffled out of.
        centre: (B, 4, H/8, W/8) float32: score logit, offset x and y, size.
    """

    coarse: Tensor
    fine: Tensor
    pixels: Tensor
    centre: Tensor

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the images."""
        return 8 * self.coarse.shape[-2], 8 * self.coarse.shape[-1]


@dataclass
class Picks:
    """The cells of the 1/8 map that may hold an object; see `FoundObjects` for the two masks."""

    cells: Tensor
    valid: Tensor
    selectable: Tensor


@dataclass
class FoundObjects:
    """The objects of B images, Q slots each; everything that the chooser needs to know of an image.

    Attributes:
        tokens: (B, Q, D) description of each object.
        valid: (B, Q) bool, False on padding: what objects can look at.
        selectable: (B, Q) bool, what can be chosen: as `valid`, but in an image without objects, where the best
            candidate is looked at and not chosen.
        pairs: (B, Q, Q, P) float32; entry (q, k) is what q sees of k.
        masks: (B, Q, h, w) float32 logits at 1 / mask_stride; objects may overlap here.
        centres: (B, Q, 3) float32 x, y and radius in pixels.
        scores: (B, Q) float32 logit that there is an object.
        cells: (B, Q) int64 index into the 1/8 map.
        coarse: (B, C, H/8, W/8) the coarse map.
    """

    tokens: Tensor
    valid: Tensor
    selectable: Tensor
    pairs: Tensor
    masks: Tensor
    centres: Tensor
    scores: Tensor
    cells: Tensor
    coarse: Tensor


class ObjectFinder(nn.Module):
    """Image to objects, without words."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.config = config
        half, quarter, eighth, sixteenth = config.stages
        coarse, fine, width = config.coarse, config.fine, config.width
        self.stages = small_stages(config.stages)
        self.coarse = nn.ModuleDict({"16": nn.Conv2d(sixteenth, coarse, 1), "8": nn.Conv2d(eighth, coarse, 1)})
        self.coarse_smooth = conv_norm(coarse, coarse)
        self.down = nn.Conv2d(coarse, fine, 1)
        self.fine = nn.ModuleDict({"4": nn.Conv2d(quarter, fine, 1), "2": nn.Conv2d(4 * half, fine, 1)})
        self.fine_smooth = conv_norm(fine, fine)
        self.pixels = {1: HalfPixels, 2: QuarterPixels}[config.mask_stride](half, fine)
        self.embed = nn.Conv2d({1: half, 2: fine}[config.mask_stride], 4 * config.kernel, 1)
        self.centre = nn.Conv2d(coarse, 4, 1)
        with torch.no_grad():
            assert self.centre.bias is not None
            self.centre.bias[0] = -3.0  # almost every cell is empty

        self.kernel = nn.Linear(coarse, config.kernel + 2)
        self.appearance = nn.Linear(coarse, width)
        self.inside = nn.Linear(fine, width)
        self.geometry = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, width))
        self.norm = nn.LayerNorm(width)
        self.attributes = (
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, sum(config.attributes)))
            if config.attributes
            else None
        )
        self.pairs = Pairs(config)

    def forward(self, image: Tensor) -> FoundObjects:
        """The objects of images (B, 3, H, W), normalised; H and W multiples of 16."""
        maps = self.maps(image)
        return self.describe(maps, self.pick(maps))

    def maps(self, image: Tensor) -> Maps:
        """Encoder, pyramid and dense outputs."""
        height, width = image.shape[-2:]
        if height % 16 or width % 16:
            raise InvalidInput(f"the image has {height} x {width} pixels; pad both sides to a multiple of 16")
        half = self.stages[0](image)
        quarter = self.stages[1](half)
        eighth = self.stages[2](quarter)
        sixteenth = self.stages[3](eighth)
        coarse = self.coarse_smooth(self.coarse["8"](eighth) + up(self.coarse["16"](sixteenth)))
        fine = self.fine["4"](quarter) + self.fine["2"](F.pixel_unshuffle(half, 2)) + up(self.down(coarse))
        fine = self.fine_smooth(fine)
        with full_precision(coarse):
            centre = self.centre(coarse.float())
        return Maps(coarse, fine, self.pixels(half, fine), centre)

    @torch.no_grad()
    def pick(self, maps: Maps) -> Picks:
        """The best cells, best first; nearby ones that point to the same object are suppressed by the best of them."""
        scores = maps.centre[:, 0].flatten(1)
        scores, cells = scores.topk(min(self.config.candidates, scores.shape[1]))
        centres = self.centres(maps, cells)[..., :2]
        distance = (centres[:, :, None] - centres[:, None]).square().sum(-1).sqrt()
        duplicate = distance < self.config.duplicate_distance * unit(maps.size_hw)
        keep: list[Tensor] = []  # greedy: only what is kept suppresses
        for q, good in enumerate((scores > logit(self.config.score_threshold)).unbind(1)):
            suppressed = (duplicate[:, q, :q] & torch.stack(keep, 1)).any(1) if keep else torch.zeros_like(good)
            keep.append(good & ~suppressed)
        selectable = torch.stack(keep, 1)
        best = torch.arange(selectable.shape[1], device=cells.device) == 0
        valid = selectable | best  # always something to look at
        if torch.compiler.is_compiling():  # a fixed number of slots
            return Picks(cells, valid, selectable)
        first = (~valid).int().argsort(dim=1, stable=True)[:, : int(valid.sum(1).max())]
        return Picks(cells.gather(1, first), valid.gather(1, first), selectable.gather(1, first))

    def describe(self, maps: Maps, picks: Picks) -> FoundObjects:
        """Masks, tokens and pairs of the objects in these cells."""
        config, u = self.config, unit(maps.size_hw)
        at_cell = at(maps.coarse, picks.cells)  # (B, Q, C)
        scores = at(maps.centre[:, :1], picks.cells).squeeze(-1)
        centres = self.centres(maps, picks.cells).detach()
        masks = self.masks(maps, at_cell, centres)

        with full_precision(masks):
            soft = F.avg_pool2d(masks.detach().sigmoid(), 4 // config.mask_stride)  # (B, Q, H/4, W/4)
            area = soft.sum((-2, -1)).unsqueeze(-1)  # (B, Q, 1), in cells at 1/4
            inside = soft.flatten(2) @ maps.fine.flatten(2).mT.float() / (area + 1)  # (B, Q, C)
            height, width = maps.size_hw
            x, y, radius = centres.split(1, dim=-1)
            geometry = torch.cat(
                [
                    (x - width / 2) / (config.geometry_scale * u),
                    (y - height / 2) / (config.geometry_scale * u),
                    (radius - 64 * u) / (config.geometry_scale * u),
                    area.sqrt() / (config.area_scale * u),
                    16 * area / radius.square(),
                    scores.detach().sigmoid().unsqueeze(-1),
                ],
                dim=-1,
            )
        tokens = self.norm(self.appearance(at_cell) + self.inside(inside) + self.geometry(geometry))
        pairs = self.pairs(soft, centres, u, self.attributes, tokens)
        return FoundObjects(
            tokens, picks.valid, picks.selectable, pairs, masks, centres, scores, picks.cells, maps.coarse
        )

    def centres(self, maps: Maps, cells: Tensor) -> Tensor:
        """x, y and radius (B, Q, 3) in pixels that the map predicts in these cells (B, Q)."""
        columns = maps.centre.shape[-1]
        offset = at(maps.centre[:, 1:], cells)
        x = 8 * (cells % columns + offset[..., 0]) + 3.5
        y = 8 * (cells // columns + offset[..., 1]) + 3.5
        size = offset[..., 2].clamp(-self.config.size_range, self.config.size_range)
        return torch.stack([x, y, self.config.reference_radius * unit(maps.size_hw) * size.exp()], dim=-1)

    def masks(self, maps: Maps, at_cell: Tensor, centres: Tensor) -> Tensor:
        """Mask logits (B, Q, h, w): a kernel of each object over the embedding, inside a window around its centre.

        The embedding E = pixel_shuffle(embed(pixels)) is not built: the kernels go through `embed` instead, which is
        the same and cheaper for the few objects of an image.
        """
        kernel, bias, narrow = self.kernel(at_cell).split([self.config.kernel, 1, 1], dim=-1)
        kernel = kernel * (2 / math.sqrt(self.config.kernel))
        shuffled = self.embed.weight.flatten(1).unflatten(0, (self.config.kernel, -1))  # (kernel, 4, C)
        through = (kernel @ shuffled.flatten(1)).unflatten(-1, shuffled.shape[1:]).flatten(1, 2)  # (B, 4 Q, C)
        assert self.embed.bias is not None
        offset = kernel @ self.embed.bias.unflatten(0, (self.config.kernel, -1))  # (B, Q, 4)
        match = (through @ maps.pixels.flatten(2)).unflatten(-1, maps.pixels.shape[-2:])
        match = F.pixel_shuffle(match + offset.flatten(1)[..., None, None], 2)  # (B, Q, h, w)
        with full_precision(match):
            x, y, radius = centres.split(1, dim=-1)
            slope = 2.5 * F.softplus(narrow.float()) / radius.square()  # (B, Q, 1)
            rows, columns = (pixels(count, self.config.mask_stride, match) for count in match.shape[-2:])
            row = bias.float() + 2 - slope * (rows - y).square()  # (B, Q, h)
            column = -slope * (columns - x).square()  # (B, Q, w)
            return match + (row.unsqueeze(-1) + column.unsqueeze(-2))


class QuarterPixels(nn.Module):
    """Masks at 1/2 come out of the fine map itself."""

    def __init__(self, half: int, fine: int):
        super().__init__()

    def forward(self, half: Tensor, fine: Tensor) -> Tensor:
        """Features (B, C, H/4, W/4) from the maps at 1/2 and 1/4."""
        return fine


class HalfPixels(nn.Module):
    """Masks at 1/1 come out of a map at 1/2 that joins the first stage and the fine map."""

    def __init__(self, half: int, fine: int):
        super().__init__()
        self.detail, self.context = nn.Conv2d(half, half, 1), nn.Conv2d(fine, half, 1)
        self.smooth = conv_norm(half, half)

    def forward(self, half: Tensor, fine: Tensor) -> Tensor:
        """Features (B, C, H/2, W/2) from the maps at 1/2 and 1/4."""
        return self.smooth(self.detail(half) + up(self.context(fine)))


class Pairs(nn.Module):
    """What an object sees of another: direction, distance, size, contact, who covers whom, and shared attributes."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.config = config

    @torch.no_grad()
    def forward(self, soft: Tensor, centres: Tensor, u: float, attributes: nn.Module | None, tokens: Tensor) -> Tensor:
        """Pair features (B, Q, Q, P) float32 without gradient.

        Args:
            soft: (B, Q, H/4, W/4) mask probabilities.
            centres: (B, Q, 3) x, y, radius in pixels.
            u: the length unit in pixels.
            attributes: head that reads attribute logits from tokens.
            tokens: (B, Q, D).
        """
        config = self.config
        with full_precision(soft):
            x, y, radius = centres.unbind(-1)  # (B, Q)
            scale = config.geometry_scale * u
            dx, dy = ((v[:, None] - v[:, :, None]) / scale for v in (x, y))
            size = (radius[:, None] / radius[:, :, None]).log()

            around = F.max_pool2d(soft, 3, stride=1, padding=1)
            rows, columns = (pixels(n, 4, soft) for n in soft.shape[-2:])
            distance = (
                (columns - x[..., None]).square()[:, :, None] + (rows - y[..., None]).square()[..., None]
            ).sqrt()
            disc = ((radius[..., None, None] - distance) / (config.disc_softness * u)).sigmoid()
            both = torch.cat([around, disc], dim=1).flatten(2) @ soft.flatten(2).mT / (config.contact_scale * u * u)
            touch, cover = both.chunk(2, dim=1)  # (B, Q, Q) each

            distance = (dx.square() + dy.square() + 1e-6).sqrt()
            seen = torch.stack([dx, dy, distance, size, touch, touch.mT, cover, cover.mT], dim=-1)
            seen = seen.clamp(-config.pair_range, config.pair_range)
        if not (config.agreement and attributes is not None):
            return seen
        groups = attributes(tokens).float().split(config.attributes, dim=-1)
        agree = [2 * (p @ p.mT) - 1 for p in (group.softmax(-1) for group in groups)]
        return torch.cat([seen, torch.stack(agree, dim=-1)], dim=-1)


def pair_features(config: SelectorConfig) -> int:
    """Number of features of a pair of objects."""
    return 8 + (len(config.attributes) if config.agreement else 0)


class Chooser(nn.Module):
    """Expression and objects to a score for each object and one for "refers to anything"."""

    def __init__(self, config: SelectorConfig, vocabulary_size: int):
        super().__init__()
        self.config = config
        width = config.width
        self.words = WordEncoder(config, vocabulary_size)
        self.pair_hidden = nn.Sequential(
            nn.Linear(pair_features(config), config.pair_width),
            nn.ReLU(),
            nn.Linear(config.pair_width, config.pair_width),
            nn.ReLU(),
        )
        self.pair_bias = nn.Linear(config.pair_width, config.blocks * config.heads, bias=False)
        self.pair_value = nn.Linear(config.pair_width, config.pair_value)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.blocks)])
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1)
        self.exists = nn.Linear(width, 1)

    def forward(
        self,
        objects: Tensor,
        valid: Tensor,
        pairs: Tensor,
        words: Tensor,
        word_mask: Tensor,
        image_of_expression: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Scores (M, Q) and existence (M,), float32 logits.

        Args:
            objects: tokens (B, Q, D) of the objects, as in `FoundObjects`.
            valid: (B, Q).
            pairs: (B, Q, Q, P).
            words: (M, L, D), from the word encoder.
            word_mask: (M, L).
            image_of_expression: (M,) which of the B images.
        """
        hidden = self.pair_hidden(pairs)
        bias = self.pair_bias(hidden).permute(0, 3, 1, 2)  # (B, blocks * heads, Q, Q)
        bias = bias.masked_fill(~valid[:, None, None], MASKED)[image_of_expression].chunk(len(self.blocks), dim=1)
        place = self.pair_value(hidden)[image_of_expression]  # (M, Q, Q, pair_value)
        word_bias = key_bias(word_mask, words)
        x = objects[image_of_expression]
        for block, block_bias in zip(self.blocks, bias, strict=True):
            x = block(x, words, word_bias, block_bias, place)
        x = self.norm(x)
        most = x.masked_fill(~valid[image_of_expression].unsqueeze(-1), MASKED).amax(1)
        return self.score(x).squeeze(-1).float(), self.exists(most).squeeze(-1).float()


class WordEncoder(nn.Module):
    """Tokens to words that know each other."""

    def __init__(self, config: SelectorConfig, vocabulary_size: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, config.width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.positions = nn.Parameter(torch.empty(config.max_words, config.width).normal_(std=0.02))
        self.layers = nn.ModuleList([WordLayer(config) for _ in range(config.word_layers)])
        self.norm = nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, L, D) of tokens (M, L)."""
        length, most = tokens.shape[1], len(self.positions)
        if not 1 <= length <= most:
            raise InvalidInput(f"the expression has {length} words, Selector reads 1 to {most}")
        words = self.embedding(tokens) + self.positions[:length]
        bias = key_bias(word_mask, words)
        for layer in self.layers:
            words = layer(words, bias)
        return self.norm(words)


class WordLayer(nn.Module):
    """Attention among words, feed-forward."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.attend_norm, self.attend = nn.LayerNorm(config.width), Attention(config)
        self.feed_norm, self.feed = nn.LayerNorm(config.width), feed_forward(config.width)

    def forward(self, words: Tensor, bias: Tensor) -> Tensor:
        """Words (M, L, D) to the same."""
        normed = self.attend_norm(words)
        words = words + self.attend(normed, normed, bias)
        return words + self.feed(self.feed_norm(words))


class Block(nn.Module):
    """Objects look at the words, at each other, and think."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.cross_norm, self.cross = nn.LayerNorm(config.width), Attention(config)
        self.among_norm, self.among = nn.LayerNorm(config.width), AttentionAmong(config)
        self.feed_norm, self.feed = nn.LayerNorm(config.width), feed_forward(config.width)

    def forward(self, x: Tensor, words: Tensor, word_bias: Tensor, pair_bias: Tensor, place: Tensor) -> Tensor:
        """Objects (M, Q, D) to the same."""
        x = x + self.cross(self.cross_norm(x), words, word_bias)
        x = x + self.among(self.among_norm(x), pair_bias, place)
        return x + self.feed(self.feed_norm(x))


class Attention(nn.Module):
    """Multi-head attention, written out: on a CPU this is faster than the fused kernel in bfloat16."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.heads = config.heads
        self.scale = (config.width // config.heads) ** -0.5
        self.q = nn.Linear(config.width, config.width)
        self.kv = nn.Linear(config.width, 2 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.seen = nn.Identity()

    def forward(self, x: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
        """What x (M, n, D) finds among keys (M, k, D); bias is added to the attention logits (M, heads, n, k)."""
        weights, values = self.look(x, keys, bias)
        return self.out((weights @ values).transpose(1, 2).flatten(2))

    def look(self, x: Tensor, keys: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Attention weights (M, heads, n, k) and values (M, heads, k, D / heads)."""
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(keys).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.seen((q @ k.mT * self.scale + bias).softmax(-1)), v


class AttentionAmong(Attention):
    """Attention among objects that sees, besides their tokens, where each stands as seen from the one that looks."""

    def __init__(self, config: SelectorConfig):
        super().__init__(config)
        self.place = nn.Linear(config.heads * config.pair_value, config.width)

    def forward(self, x: Tensor, bias: Tensor, place: Tensor) -> Tensor:  # type: ignore[override]
        """Objects (M, Q, D) to the same; place (M, Q, Q, pair_value) is what q sees of k."""
        weights, values = self.look(x, x, bias)
        what = self.out((weights @ values).transpose(1, 2).flatten(2))
        where = weights.transpose(1, 2) @ place  # (M, Q, heads, pair_value)
        return what + self.place(where.flatten(2))


class Selector(Network):
    """The network: finder, chooser, and the rule that turns their answers into a mask.

    Attributes:
        training_only: prefixes of the names of weights that only training needs.
    """

    idea = (
        "It finds objects first, without words, then chooses among them: words can never change a mask, and what is "
        "not found cannot be chosen"
    )
    supervision = (
        "more than a referring data set gives: id maps of all objects, true centres and radii, and the class of every "
        "object's shape, colour, size and material (the benchmark's stand-in for detection pretraining)"
    )
    config: SelectorConfig

    def __init__(self, config: SelectorConfig, vocabulary_size: int):
        super().__init__()
        self.config = config
        self.finder = ObjectFinder(config)
        self.chooser = Chooser(config, vocabulary_size)
        self.finder_criterion = FinderLoss(config)
        self.training_only = ("finder_criterion.",) + (() if config.agreement else ("finder.attributes.",))

    def encode_image(self, image: Tensor) -> FoundObjects:
        """The objects of images (B, 3, H, W), normalised; H and W multiples of 16."""
        return self.finder(image)

    def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, L, D) of tokens (M, L)."""
        return self.chooser.words(tokens, word_mask)

    def fuse(
        self, image_features: FoundObjects, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        """Answers M expressions; the sign of the logits says exactly: a pixel of a chosen object (see `chosen`)."""
        found, image = image_features, image_of_expression
        scores, exists = self.chooser(found.tokens, found.valid, found.pairs, words, word_mask, image)
        exists = exists.masked_fill(~found.selectable.any(1)[image], ABSENT)
        scores = self.fall_back(scores, exists, found.selectable[image])
        value, owner = self._owners(found)
        owner_score = scores.gather(1, owner[image].flatten(1)).unflatten(1, owner.shape[1:])
        certain = (exists - self.exists_threshold_logit)[:, None, None]
        logits = torch.minimum(torch.minimum(value[image], owner_score), certain).unsqueeze(1)
        return Output(logits, exists, scores, found.masks, found.selectable, found.centres)

    def fall_back(self, scores: Tensor, exists: Tensor, selectable: Tensor) -> Tensor:
        """Scores (M, Q); with the fallback one of them is above 0 whenever the expression refers to something."""
        if self.config.fallback == "best":
            scores = scores.masked_fill(~selectable, -math.inf)
            best = scores.amax(1, keepdim=True)
            certain = (exists - self.exists_threshold_logit).unsqueeze(1)
            scores = torch.where((scores == best) & (best <= 0), torch.maximum(scores, certain), scores)
        return scores.masked_fill(~selectable, ABSENT)

    def id_map(self, found: FoundObjects) -> Tensor:
        """The objects as disjoint regions (B, H, W) int64: 0 = no object, q + 1 = object q."""
        value, owner = self._owners(found)
        return torch.where(value > 0, owner + 1, 0)

    def chosen(self, output: Output) -> Tensor:
        """Which objects (M, Q) the expressions mean; their regions of the id map are exactly the logits above 0."""
        assert output.scores is not None
        return (output.scores > 0) & (output.exists - self.exists_threshold_logit > 0).unsqueeze(1)

    def _owners(self, found: FoundObjects) -> tuple[Tensor, Tensor]:
        """Largest mask logit of each pixel of the image (B, H, W), and the object that has it."""
        masks = found.masks.masked_fill(~found.selectable[..., None, None], ABSENT)
        if self.config.mask_stride > 1:  # before the maximum: the other order moves borders
            masks = F.interpolate(masks, scale_factor=self.config.mask_stride, mode="bilinear", align_corners=False)
        value, owner = masks.max(dim=1)
        return value.clamp(min=ABSENT), owner  # the same whether there are free slots or not

    # Training ------------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Finder and chooser together, on the objects that the finder picks."""
        maps = self.finder.maps(batch.image)
        found = self.finder.describe(maps, self.finder.pick(maps))
        assert batch.objects is not None
        matched = self.match(found, batch.objects)
        find = self.finder_criterion(maps, found, matched, self.finder.attributes, batch.objects, dense_weight=0.25)
        choose = self.choose_loss(
            found.tokens,
            found.valid,
            found.pairs,
            matched,
            batch.tokens,
            batch.word_mask,
            batch.image_of_expression,
            batch.targets,
        )
        parts = {**find, **choose, "finder": find["loss"], "chooser": choose["loss"]}
        return {**parts, "loss": choose["loss"] + 0.5 * find["loss"]}

    def find_loss(self, batch: Batch) -> dict[str, Tensor]:
        """The finder alone, on objects at the true centres, without picking; the expressions are not read."""
        objects = batch.objects
        assert objects is not None
        maps = self.finder.maps(batch.image)
        free = (0, 1 if objects.present.shape[1] == 0 else 0)  # at least one slot, even if all images are empty
        cells = F.pad(true_cells(objects, *maps.centre.shape[-2:]), free)
        present = F.pad(objects.present, free)
        found = self.finder.describe(maps, Picks(cells, present, present))
        matched = torch.where(present, torch.arange(cells.shape[1], device=cells.device), -1)
        return self.finder_criterion(maps, found, matched, self.finder.attributes, objects, dense_weight=0.5)

    def choose_loss(
        self,
        found_tokens: Tensor,
        valid: Tensor,
        pairs: Tensor,
        matched: Tensor,
        tokens: Tensor,
        word_mask: Tensor,
        image_of_expression: Tensor,
        targets: Tensor,
    ) -> dict[str, Tensor]:
        """The chooser alone, on objects that were found before.

        Args:
            found_tokens: (S, Q, D) of S images, as in `FoundObjects`.
            valid: (S, Q).
            pairs: (S, Q, Q, P).
            matched: (S, Q) int64, the true object that each found object is; -1 = none.
            tokens: (M, L).
            word_mask: (M, L).
            image_of_expression: (M,) int64, which of the S images.
            targets: (M, N) bool, the true objects that each expression means.
        """
        filled = int((valid.any(0) * torch.arange(1, valid.shape[1] + 1, device=valid.device)).max())
        valid, matched, found_tokens = valid[:, :filled], matched[:, :filled], found_tokens[:, :filled]
        pairs = pairs[:, :filled, :filled]

        def answer(some: Tensor, length: int) -> tuple[Tensor, Tensor]:
            mask = word_mask[some, :length]
            words = self.encode_words(tokens[some, :length], mask)
            return self.chooser(found_tokens, valid, pairs, words, mask, image_of_expression[some])

        scores, exists = by_length(answer, word_mask)
        there = valid[image_of_expression]
        wanted = F.pad(targets, (1, 0)).gather(1, matched[image_of_expression] + 1)
        with full_precision(scores):
            choice = F.binary_cross_entropy_with_logits(scores, wanted.float(), reduction="none")
            choice = (choice * there).sum() / divisor(there.sum(), choice)
            refers = targets.any(1).float()
            existence = F.binary_cross_entropy_with_logits(exists, refers, reduction="sum")
            existence = existence / divisor(len(exists), exists)
        return {"loss": 3 * choice + 0.3 * existence, "choice": choice.detach(), "exists": existence.detach()}

    @torch.no_grad()
    def match(self, found: FoundObjects, objects: Objects) -> Tensor:
        """Which true object each found one is (B, Q) int64, -1 = none.

        Each true object takes the found object nearest to its centre, unless that is too far; of two that want the
        same, the nearer gets it.
        """
        size_hw = (objects.id_map.shape[-2], objects.id_map.shape[-1])
        difference = found.centres[:, :, None, :2] - objects.centres[:, None].float()  # (B, Q, N, 2)
        distance = difference.square().sum(-1).sqrt()
        possible = found.selectable[:, :, None] & objects.present[:, None]
        distance = distance.masked_fill(~possible, math.inf)
        nearest = distance == distance.amin(1, keepdim=True)
        wanted = nearest & (distance < self.config.duplicate_distance * unit(size_hw))
        distance = F.pad(distance.masked_fill(~wanted, math.inf), (1, 0), value=1e9)  # column 0: no object
        return distance.argmin(-1) - 1

    def views(self) -> list[View]:
        """Where the finder expects centres, and what the objects read of the words."""
        views = [View("centres", self.finder.centre, lambda out: out[:, 0].sigmoid(), "map", "finder")]
        for number, block in enumerate(self.chooser.blocks, start=1):
            assert isinstance(block, Block)
            views.append(View(f"words, block {number}", block.cross.seen, _of_objects, "words", "chooser"))
        return views

    def image_encoder_weights(self) -> dict[str, Tensor]:
        """The finder's first stages as the weights of `encoders.small.SmallImageEncoder.net`."""
        return self.finder.stages.state_dict()

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """What is learnt from images (with the heads that only training needs), and what from expressions."""
        finder = chain(self.finder.parameters(), self.finder_criterion.parameters())
        return {"finder": list(finder), "chooser": list(self.chooser.parameters())}


def _of_objects(weights: Tensor) -> Tensor:
    """Attention weights (M, heads, Q, L) as what the objects read on average (M, L)."""
    return weights.mean((1, 2))


class FinderLoss(nn.Module):
    """What the finder is taught: where objects are, how large, their masks and attributes."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.config = config
        self.dense = nn.Conv2d(config.fine, sum(config.attributes) + 1, 1)  # attributes and foreground of each pixel

    def forward(
        self,
        maps: Maps,
        found: FoundObjects,
        matched: Tensor,
        attributes: nn.Module | None,
        objects: Objects,
        dense_weight: float,
    ) -> dict[str, Tensor]:
        """The loss, and its parts for the log.

        Args:
            maps: of the images.
            found: objects in them.
            matched: (B, Q) the true object that each of them is, -1 = none.
            attributes: head that reads attribute logits from tokens.
            objects: the true objects.
            dense_weight: weight of the per-pixel loss.
        """
        image, slot = (matched >= 0).nonzero(as_tuple=True)  # K matched objects
        number = matched[image, slot]
        dense = self.dense(maps.fine)
        with full_precision(dense):
            parts = {
                "centre": self.centres(maps, objects),
                "offset": self.offsets(maps, objects),
                "masks": self.masks(found.masks[image, slot], objects.id_map, image, number),
                "dense": self.pixels(dense.float(), objects),
            }
        if attributes is not None:
            read = attributes(found.tokens[image, slot])
            parts["attributes"] = attribute_loss(
                read.float(), objects.attributes[image, number], self.config, 1.5, 0.02
            )
        total = sum((v for k, v in parts.items() if k != "dense"), start=dense_weight * parts["dense"])
        return {"loss": total, **{name: part.detach() for name, part in parts.items()}}

    def centres(self, maps: Maps, objects: Objects) -> Tensor:
        """Focal loss of the score map: 1 in the cell that holds a true centre."""
        score = maps.centre[:, 0].flatten(1)  # (B, cells)
        rows, columns = maps.centre.shape[-2:]
        cells = true_cells(objects, rows, columns)
        holds = torch.zeros_like(score).scatter_reduce(1, cells, objects.present.float(), "amax")
        p = score.sigmoid()
        weight = torch.where(holds > 0, 1.5 * (1 - p).square(), 0.5 * p.square())
        loss = F.binary_cross_entropy_with_logits(score, holds, reduction="none")
        return 4 * (weight * loss).sum() / divisor(objects.present.sum(), loss)

    def offsets(self, maps: Maps, objects: Objects) -> Tensor:
        """Offset and size in the 3 x 3 cells around each true centre, the middle one counts most."""
        rows, columns = maps.centre.shape[-2:]
        u = unit(maps.size_hw)
        middle = true_cells(objects, rows, columns)
        step = torch.tensor([-1, 0, 1], device=middle.device)
        row = (middle // columns)[..., None] + step.repeat_interleave(3)  # (B, N, 9)
        column = (middle % columns)[..., None] + step.repeat(3)
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        inside = inside & objects.present[..., None]
        cells = torch.where(inside, row * columns + column, 0).flatten(1)
        guess = at(maps.centre[:, 1:], cells).unflatten(1, row.shape[1:])  # (B, N, 9, 3)
        x, y = objects.centres.float().unsqueeze(-2).unbind(-1)  # (B, N, 1)
        size = (objects.radii.float().clamp(min=1e-3) / (self.config.reference_radius * u)).log()
        truth = torch.stack([(x - 3.5) / 8 - column, (y - 3.5) / 8 - row, size.unsqueeze(-1).expand_as(row)], dim=-1)
        weight = inside * torch.tensor([0.3] * 4 + [1.0] + [0.3] * 4, device=middle.device)
        loss = F.smooth_l1_loss(guess, truth, beta=0.1, reduction="none").sum(-1)
        return (torch.where(inside, loss, 0) * weight).sum() / divisor(weight.sum(), loss)

    def masks(self, logits: Tensor, id_map: Tensor, image: Tensor, number: Tensor) -> Tensor:
        """Cross entropy and Dice of the masks (K, h, w) of objects `number` of images `image`."""
        truth = (id_map.short()[image] == (number + 1).short()[:, None, None]).float()
        if self.config.mask_stride > 1:
            truth = F.avg_pool2d(truth, self.config.mask_stride)
        return mask_loss(logits, truth)

    def pixels(self, dense: Tensor, objects: Objects) -> Tensor:
        """Foreground and, on it, attributes of every fourth pixel; dense (B, sum(attributes) + 1, H/4, W/4)."""
        ids = objects.id_map[:, 2::4, 2::4]
        loss = F.binary_cross_entropy_with_logits(dense[:, -1], (ids > 0).float())
        if not self.config.attributes:
            return loss
        image, row, column = (ids > 0).nonzero(as_tuple=True)
        classes = objects.attributes[image, ids[image, row, column] - 1]
        return loss + attribute_loss(dense.movedim(1, -1)[image, row, column, :-1], classes, self.config, 2.0)


class MaskLoss(torch.autograd.Function):
    """See `mask_loss`; the gradient is written out because masks are the largest tensors of training."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, truth: Tensor) -> Tensor:
        """The loss, from one sigmoid and one logarithm of each pixel."""
        p = logits.sigmoid()
        entropy = logits.clamp(min=0).sum() - (logits * truth).sum() - torch.maximum(p, 1 - p).log_().sum()
        both = 2 * (p * truth).sum((-2, -1), keepdim=True) + 1  # (K, 1, 1)
        size = (p.sum((-2, -1)) + truth.sum((-2, -1)) + 1)[..., None, None]
        pixels, masks = divisor(truth.numel(), truth), divisor(len(truth), truth)
        ctx.save_for_backward(p, truth, both, size, pixels, masks)
        return 8 * entropy / pixels + (1 - both / size).sum() / masks

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """With respect to the logits."""
        p, truth, both, size, pixels, masks = ctx.saved_tensors
        dice = torch.addcmul(both / size.square(), truth, -2 / size) / masks
        entropy = (p - truth).mul_(8 / pixels)
        return torch.addcmul(entropy, dice, p - p.square()).mul_(gradient), None


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """8 * cross entropy + Dice of masks (K, h, w), truth in [0, 1]; 0 without masks."""
    loss: Tensor = MaskLoss.apply(logits, truth)
    return loss


def attribute_loss(
    logits: Tensor, classes: Tensor, config: SelectorConfig, first: float, smoothing: float = 0
) -> Tensor:
    """Cross entropy of logits (K, sum of classes) against classes (K, A); the first attribute weighs `first`."""
    loss = logits.new_zeros(())
    for i, group in enumerate(logits.split(config.attributes, dim=-1)):
        entropy = F.cross_entropy(group, classes[:, i], label_smoothing=smoothing, reduction="sum")
        loss = loss + (0.5 if i else first) * entropy
    return loss / divisor(len(logits), logits)


def true_cells(objects: Objects, rows: int, columns: int) -> Tensor:
    """The cell (B, N) int64 of the flattened 1/8 map that holds each true centre."""
    column, row = ((objects.centres.float() + 0.5) / 8).floor().long().unbind(-1)
    return row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)


def by_length(answer: Callable[[Tensor, int], tuple[Tensor, Tensor]], word_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Runs `answer(rows, words)` on expressions sorted by length, so that short ones are not padded to the longest.

    Args:
        answer: from rows (m,) of the batch, of at most so many words, to two tensors with m rows.
        word_mask: (M, L).
    """
    if len(word_mask) < 48 or torch.compiler.is_compiling():
        return answer(torch.arange(len(word_mask), device=word_mask.device), word_mask.shape[1])
    lengths = word_mask.sum(1)
    order = lengths.argsort(stable=True)
    parts = [answer(rows, max(int(lengths[rows].max()), 1)) for rows in order.chunk(3)]
    first, second = (torch.cat(column)[order.argsort()] for column in zip(*parts, strict=True))
    return first, second


def feed_forward(width: int) -> nn.Sequential:
    """Two layers on each token."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


def up(x: Tensor) -> Tensor:
    """Bilinear, to twice the size."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def at(values: Tensor, cells: Tensor) -> Tensor:
    """Values (B, C, h, w) in cells (B, Q) of the flattened map: (B, Q, C)."""
    return values.flatten(2).mT.gather(1, cells.unsqueeze(-1).expand(-1, -1, values.shape[1]))


def pixels(count: int, stride: int, like: Tensor) -> Tensor:
    """Coordinates (count,) in image pixels of the cells of a map at 1 / stride."""
    return torch.arange(count, device=like.device, dtype=torch.float32) * stride + (stride - 1) / 2


def unit(size_hw: tuple[int, int]) -> float:
    """The length unit u in pixels."""
    return math.sqrt(size_hw[0] * size_hw[1]) / 128


def logit(probability: float) -> float:
    """The logit of a probability."""
    return math.log(probability / (1 - probability))


def key_bias(mask: Tensor, like: Tensor) -> Tensor:
    """Attention bias (M, 1, 1, L) that hides the keys where the mask (M, L) is False."""
    return torch.zeros(mask.shape, device=like.device, dtype=like.dtype).masked_fill(~mask, MASKED)[:, None, None]


# Names of the first version's weights -> ours
FIRST_VERSION = {
    "seer.stem.": "finder.stages.0.",
    "seer.s4.": "finder.stages.1.",
    "seer.s8.": "finder.stages.2.",
    "seer.s16.": "finder.stages.3.",
    "seer.e16.": "finder.coarse.16.",
    "seer.e8.": "finder.coarse.8.",
    "seer.m8.": "finder.coarse_smooth.",
    "seer.p8.": "finder.down.",
    "seer.e4.": "finder.fine.4.",
    "seer.e2.": "finder.fine.2.",
    "seer.m4.": "finder.fine_smooth.",
    "seer.eo.": "finder.embed.",
    "seer.cen.": "finder.centre.",
    "seer.ker.": "finder.kernel.",
    "seer.tok.": "finder.appearance.",
    "seer.pool.": "finder.inside.",
    "seer.geo.": "finder.geometry.",
    "seer.n.": "finder.norm.",
    "seer.att.": "finder.attributes.",
    "seer.dense.": "finder_criterion.dense.",
    "talk.e.": "chooser.words.embedding.",
    "talk.tn.": "chooser.words.norm.",
    "talk.pr.": "chooser.pair_hidden.",
    "talk.pb.": "chooser.pair_bias.",
    "talk.pv.": "chooser.pair_value.",
    "talk.p": "chooser.words.positions",
    "talk.n.": "chooser.norm.",
    "talk.o.": "chooser.score.",
    "talk.ex.": "chooser.exists.",
}
INSIDE_RESIDUAL = {".a.": ".first.", ".b.": ".second."}
INSIDE_WORD_LAYER = {"0": "attend_norm", "1": "attend", "2": "feed_norm", "3": "feed"}
INSIDE_BLOCK = {"0": "cross_norm", "1": "cross", "2": "among_norm", "3": "among", "4": "feed_norm", "5": "feed"}
INSIDE_ATTENTION = {".o.": ".out.", ".rp.": ".place."}


def rename_first_version(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the first version under our names, for a network of `first_version_config`.

    The bias of the pair bias is left out: the same number for all keys, it has no effect.
    """
    return {
        _rename(name): value.squeeze(0) if name == "talk.p" else value
        for name, value in state.items()
        if name != "talk.pb.bias"
    }


def _rename(name: str) -> str:
    """Our name of a weight of the first version."""
    for old, new in FIRST_VERSION.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
            for old, new in INSIDE_RESIDUAL.items() if name.startswith("finder.stages.") else ():
                name = name.replace(old, new)
            return name
    part, layer, inside, rest = name.removeprefix("talk.").split(".", 3)
    if part == "t":
        name = f"chooser.words.layers.{layer}.{INSIDE_WORD_LAYER[inside]}.{rest}"
    else:
        name = f"chooser.blocks.{layer}.{INSIDE_BLOCK[inside]}.{rest}"
    for old, new in INSIDE_ATTENTION.items():
        name = name.replace(old, new)
    return name
