"""EAVL's vision-language aligner: queries made of words and image become kernels, and each kernel gives a mask.

Paper      Y. Yan et al. "EAVL: Explicitly Align Vision and Language for Referring Image Segmentation". 2023.
           https://arxiv.org/abs/2308.09779
Read with  `QueryGenerator` (Eqs. 6 to 10), `MaskGenerator` (Eqs. 11 to 14), `Aligner`: both, for a host network, in the
           place of its last convolution.
Departs    Kernels are not passed through a ReLU (Eq. 11), which with it could never say "background", and slide over
           the map at a quarter of the image's size (Eq. 12 names the coarser one, which has other channels).
           Padding words are not looked at. The sum of masks is one convolution with the sum of their kernels. The
           estimator's scores have no bias: a softmax takes it away.
Notation   B images, M expressions, Q queries, T words, W channels of queries, C of the map that masks are read off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from refseg.blocks.attention import Attention
from refseg.blocks.convolution import conv_norm
from refseg.blocks.fusion_neck import FusionNeck
from refseg.blocks.view import View
from refseg.config import Config, Repeats

NeckKind = Literal["linear", "cris"]
SHOWN = 4  # queries in a figure


class AlignerConfig(Config):
    """What the paper's Tables II and IV switch; the defaults are its main result."""

    queries: Repeats = 24  # Table II
    width: int = Field(512, le=16_384, ge=2)
    heads: int = Field(8, le=256, ge=1, validate_default=True)  # of the estimator
    image_size: int = Field(480, le=16_384, ge=32, multiple_of=32)  # of training; other maps are resized to its grid
    neck: NeckKind = "linear"  # of the dense vision features; "cris" in networks with CLIP; EAVL has its own switch
    query_scale: Literal["none", "sqrt"] = "none"  # Eq. 9 has none
    global_vision: bool = True  # Table IV: words are multiplied by the pooled image
    estimator: bool = True  # Table IV: masks are weighted; otherwise their mean counts

    @field_validator("heads")
    @classmethod
    def _divides(cls, heads: int, info: ValidationInfo) -> int:
        if info.data.get("width", heads) % heads:
            raise ValueError(f"{heads} heads do not divide {info.data['width']} channels")
        return heads


def neck(kind: NeckKind, channels: Sequence[int], sentence: int | None, width: int) -> FusionNeck:
    """One of the two necks of the paper's networks; arguments as of `FusionNeck`."""
    if kind == "linear":
        return FusionNeck(channels, sentence, (width, width, width), kernel=1, out=width, coordinate_convs=1)
    return FusionNeck(channels, sentence, (width // 2, width, 2 * width), kernel=3, out=width, coordinate_convs=2)


@dataclass
class Sight:
    """What of B images the queries are made of.

    Attributes:
        queries: (B, Q, W), what each looks like before it has read.
        vision: (B, W) the image as a whole; None where words are not multiplied by it.
    """

    queries: Tensor
    vision: Tensor | None


@dataclass
class Queries:
    """Queries of M expressions.

    Attributes:
        values: (M, Q, W).
        attention: (M, Q, T), to which words each looked.
    """

    values: Tensor
    attention: Tensor


@dataclass
class Candidates:
    """A mask a query, before they are summed up.

    Attributes:
        x: (M, C, h, w), what they are read off.
        kernels: (M, Q, 9 C + 1), 3 x 3 kernels and a bias.
        shares: (M, Q), adding up to 1.
        attention: (M, Q, T), the words of each query.
    """

    x: Tensor
    kernels: Tensor
    shares: Tensor
    attention: Tensor

    def best(self, rank: int) -> Tensor:
        """The query (M,) with the largest share, the second largest, ..."""
        return self.shares.argsort(dim=1, descending=True, stable=True)[:, min(rank, self.shares.shape[1] - 1)]

    def words(self, rank: int) -> Tensor:
        """(M, T) words of a query by rank."""
        return self.attention[torch.arange(len(self.attention)), self.best(rank)]

    def mask(self, rank: int) -> Tensor:
        """(M, h, w) probabilities of a query by rank."""
        kernels = self.kernels[torch.arange(len(self.kernels)), self.best(rank)]
        return convolve_each(self.x, kernels).sigmoid()[:, 0]


class QueryGenerator(nn.Module):
    """Each query looks at the words from its own way of seeing the image.

    Args:
        config: of the aligner.
        levels: channels of the image's maps at 1/8, 1/16 and 1/32.
        pooled: channels of the image's vector.
        words: channels of words.
    """

    def __init__(self, config: AlignerConfig, levels: Sequence[int], pooled: int, words: int):
        super().__init__()
        width, side = config.width, config.image_size // 16
        self.grid = side, side
        self.dense = neck(config.neck, levels, None, width)
        self.maps = nn.Sequential(
            conv_norm(width, width, 3), conv_norm(width, width, 3), nn.Conv2d(width, config.queries, 1)
        )
        self.query = nn.Linear(side * side, width)
        self.word = nn.Linear(words, width) if config.global_vision else None
        self.vision = nn.Linear(pooled, width) if config.global_vision else None
        read = width if config.global_vision else words
        self.key, self.value = nn.Linear(read, width), nn.Linear(read, width)
        self.scale = width**-0.5 if config.query_scale == "sqrt" else 1.0
        self.attention = nn.Softmax(dim=-1)
        for layer in (self.query, self.word, self.vision, self.key, self.value):
            if layer is not None:
                start(layer)

    def look(self, levels: Sequence[Tensor], pooled: Tensor) -> Sight:
        """What does not depend on words, of three levels (B, D, h, w) and a vector (B, P)."""
        maps = self.maps(self.dense(self.dense.project(levels)))  # Eqs. 6, 7
        if maps.shape[-2:] != self.grid:
            maps = F.interpolate(maps, self.grid, mode="bilinear", align_corners=False)
        vision = None if self.vision is None else F.relu(self.vision(pooled))
        return Sight(F.relu(self.query(maps.flatten(2))), vision)

    def forward(self, sight: Sight, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Queries:
        """Queries of words (M, T, D) with word_mask (M, T); image_of_expression (M,)."""
        if self.word is not None and sight.vision is not None:
            words = F.relu(self.word(words)) * sight.vision[image_of_expression].unsqueeze(1)  # Eq. 8
        scores = sight.queries[image_of_expression] @ F.relu(self.key(words)).mT * self.scale  # Eq. 9
        hidden = ~word_mask.unsqueeze(1)
        attention = self.attention(scores.masked_fill(hidden, torch.finfo(scores.dtype).min))
        return Queries(attention @ F.relu(self.value(words)), attention)  # Eq. 10


class MaskGenerator(nn.Module):
    """Every query becomes a kernel; the masks that the kernels give are summed up by how good each query seems.

    Args:
        config: of the aligner.
        channels: of the map that masks are read off.

    Attributes:
        candidates: is passed them, for those who want to see.
    """

    def __init__(self, config: AlignerConfig, channels: int):
        super().__init__()
        self.kernel = nn.Linear(config.width, 9 * channels + 1)
        self.estimate = Estimator(config.width, config.heads) if config.estimator else None
        self.candidates = nn.Identity()

    def forward(self, x: Tensor, queries: Queries) -> Tensor:
        """Logits (M, 1, h, w) of maps (M, C, h, w)."""
        kernels = self.kernel(queries.values)  # Eq. 11
        if self.estimate is None:
            shares = kernels.new_full(kernels.shape[:2], 1 / kernels.shape[1])
        else:
            shares = self.estimate(queries.values)  # Eq. 13
        self.candidates(Candidates(x, kernels, shares, queries.attention))
        kernel = (shares.unsqueeze(1) @ kernels).squeeze(1)
        return convolve_each(x, kernel)  # Eqs. 12 and 14 at once

    def views(self) -> list[View]:
        """The queries that count most: their shares, their words, their masks (Fig. 4)."""
        see, ranks = self.candidates, range(SHOWN)
        labels = [_ordinal(rank) for rank in ranks]

        def at(rank: int, what: Callable[[Candidates, int], Tensor]) -> Callable[[Candidates], Tensor]:
            return lambda candidates: what(candidates, rank)

        def shares(candidates: Candidates) -> Tensor:
            largest = candidates.shares[0].sort(descending=True).values[:SHOWN]
            return F.pad(largest, (0, SHOWN - len(largest)))

        masks = [
            View(f"mask of the {labels[rank]} query", see, at(rank, Candidates.mask), "map", "Fig. 4") for rank in ranks
        ]
        words = [
            View(f"words of the {labels[rank]} query", see, at(rank, Candidates.words), "words", "Eq. 9")
            for rank in ranks
        ]
        return [View("shares of queries", see, shares, "weights", "Eq. 13", labels), *masks, *words]


class Estimator(nn.Module):
    """How much each query counts, seen beside the others."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.among, self.score = Attention(width, heads, dropout=0.0), nn.Linear(width, 1, bias=False)
        start(self.among.out)

    def forward(self, queries: Tensor) -> Tensor:
        """Shares (M, Q) of queries (M, Q, W)."""
        return self.score(self.among(queries, queries, queries)).squeeze(-1).softmax(-1)


class Aligner(nn.Module):
    """Both generators, in the place of a network's last convolution (Table V); arguments as of theirs."""

    def __init__(self, config: AlignerConfig, levels: Sequence[int], pooled: int, words: int, channels: int):
        super().__init__()
        self.queries = QueryGenerator(config, levels, pooled, words)
        self.masks = MaskGenerator(config, channels)

    def look(self, levels: Sequence[Tensor], pooled: Tensor) -> Sight:
        """As `QueryGenerator.look`: once for an image."""
        return self.queries.look(levels, pooled)

    def forward(self, x: Tensor, sight: Sight, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Tensor:
        """Logits (M, 1, h, w).

        Args:
            x: (M, C, h, w), what the host's last convolution would have read.
            sight: of B images.
            words: (M, T, D).
            word_mask: (M, T), True on words.
            image_of_expression: (M,), for each expression one of the B images.
        """
        return self.masks(x, self.queries(sight, words, word_mask, image_of_expression))


def convolve_each(x: Tensor, parameters: Tensor) -> Tensor:
    """Every map (M, C, h, w) with its own 3 x 3 kernel and bias (M, 9 C + 1), to (M, 1, h, w)."""
    count, channels, height, width = x.shape
    kernel, bias = parameters.to(x.dtype).split([9 * channels, 1], dim=1)
    # What each pixel gives to its neighbours, as one product; then every pixel collects it.
    given = kernel.reshape(count, channels, 9).mT.flip(1) @ x.flatten(2)
    return F.fold(given, (height, width), 3, padding=1) + bias[:, :, None, None]


def start(layer: nn.Linear) -> None:
    """First weights; with torch's default all queries would be the same, and so would stay their masks."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)


def _ordinal(rank: int) -> str:
    return ("first", "second", "third", "fourth")[rank]
