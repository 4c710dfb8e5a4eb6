"""EAVL's vision-language aligner: queries of words and image become kernels, and each kernel predicts a mask.

Paper      Y. Yan et al. "EAVL: Explicitly Align Vision and Language for Referring Image Segmentation". 2023.
           https://arxiv.org/abs/2308.09779
Read with  `QueryGenerator` (Eqs. 6 to 10), `MaskGenerator` (Eqs. 11 to 14), `Aligner`: both, in the place of the last
           convolution of a host network.
Departs    Kernels have no ReLU (Eq. 11), with which they could not predict background, and are applied to the map at a
           quarter of the image's size (Eq. 12 names the coarser one, which has other channels). Padding words are
           masked. The sum of masks is one convolution with the sum of their kernels. The estimator's scores have no
           bias, which a softmax would cancel.
Notation   B images, M expressions, Q queries, T words, W channels of queries, C of the map of masks.
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
from refseg.blocks.resize import resize_map
from refseg.blocks.view import View
from refseg.config import Config, Repeats

NeckKind = Literal["linear", "cris"]
MAX_VIEWED = 4  # queries in a figure


class AlignerConfig(Config):
    """The choices of Tables II and IV; the defaults are the paper's main result."""

    queries: Repeats = 24  # Table II
    width: int = Field(512, le=16_384, ge=2)
    heads: int = Field(8, le=256, ge=1, validate_default=True)  # of the estimator
    image_size: int = Field(480, le=16_384, ge=32, multiple_of=32)  # of training; other maps are resized
    neck: NeckKind = "linear"  # of the dense vision features; "cris" in networks with CLIP; EAVL has its own switch
    query_scale: Literal["none", "sqrt"] = "none"  # Eq. 9 has none
    global_vision: bool = True  # Table IV: words are multiplied by the pooled image
    estimator: bool = True  # Table IV: masks are weighted; otherwise they are averaged

    @field_validator("heads")
    @classmethod
    def _divides(cls, heads: int, info: ValidationInfo) -> int:
        if info.data.get("width", heads) % heads:
            raise ValueError(f"{heads} heads do not divide {info.data['width']} channels")
        return heads


def neck(kind: NeckKind, channels: Sequence[int], sentence: int | None, width: int) -> FusionNeck:
    """Builds one of the two necks of the paper's networks; arguments as of `FusionNeck`."""
    if kind == "linear":
        return FusionNeck(channels, sentence, (width, width, width), kernel=1, out=width, coordinate_convs=1)
    return FusionNeck(channels, sentence, (width // 2, width, 2 * width), kernel=3, out=width, coordinate_convs=2)


@dataclass
class ImageQueries:
    """Word-independent inputs of the queries, of B images.

    Attributes:
        queries: (B, Q, W), queries before the words.
        vision: (B, W), features of the whole image; None if words are not multiplied by them.
    """

    queries: Tensor
    vision: Tensor | None


@dataclass
class Queries:
    """Queries of M expressions.

    Attributes:
        values: (M, Q, W).
        attention: (M, Q, T), weights of the words.
    """

    values: Tensor
    attention: Tensor


@dataclass
class Candidates:
    """One mask per query, before they are summed.

    Attributes:
        x: (M, C, h, w), the map of masks.
        kernels: (M, Q, 9 C + 1), 3 x 3 kernels and a bias.
        shares: (M, Q), weights of the masks, which sum to 1.
        attention: (M, Q, T), weights of the words.
    """

    x: Tensor
    kernels: Tensor
    shares: Tensor
    attention: Tensor

    def best(self, rank: int) -> Tensor:
        """Returns the queries (M,) with the largest share (rank 0), the second largest, ..."""
        return self.shares.argsort(dim=1, descending=True, stable=True)[:, min(rank, self.shares.shape[1] - 1)]

    def words(self, rank: int) -> Tensor:
        """Returns the word weights (M, T) of a query by rank."""
        return self.attention[torch.arange(len(self.attention)), self.best(rank)]

    def mask(self, rank: int) -> Tensor:
        """Returns the mask probabilities (M, h, w) of a query by rank."""
        kernels = self.kernels[torch.arange(len(self.kernels)), self.best(rank)]
        return convolve_each(self.x, kernels).sigmoid()[:, 0]


class QueryGenerator(nn.Module):
    """Attends from image queries to the words.

    Args:
        config: of the aligner.
        levels: channels of the image's maps at 1/8, 1/16 and 1/32 or 1/16.
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
                initialise(layer)

    def encode_image(self, levels: Sequence[Tensor], pooled: Tensor) -> ImageQueries:
        """Encodes three levels (B, D, h, w) and a vector (B, P) without the words."""
        maps = resize_map(self.maps(self.dense(self.dense.project(levels))), self.grid)  # Eqs. 6, 7
        vision = None if self.vision is None else F.relu(self.vision(pooled))
        return ImageQueries(F.relu(self.query(maps.flatten(2))), vision)

    def forward(self, sight: ImageQueries, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Queries:
        """Attends to words (M, T, D) with word_mask (M, T); image_of_expression (M,)."""
        if self.word is not None and sight.vision is not None:
            words = F.relu(self.word(words)) * sight.vision[image_of_expression].unsqueeze(1)  # Eq. 8
        scores = sight.queries[image_of_expression] @ F.relu(self.key(words)).mT * self.scale  # Eq. 9
        hidden = ~word_mask.unsqueeze(1)
        attention = self.attention(scores.masked_fill(hidden, torch.finfo(scores.dtype).min))
        return Queries(attention @ F.relu(self.value(words)), attention)  # Eq. 10


class MaskGenerator(nn.Module):
    """Converts queries to kernels, and sums the masks of the kernels by estimated quality.

    Args:
        config: of the aligner.
        channels: of the map of masks.

    Attributes:
        candidates: identity module that is passed the `Candidates`, for views.
    """

    def __init__(self, config: AlignerConfig, channels: int):
        super().__init__()
        self.kernel = nn.Linear(config.width, 9 * channels + 1)
        self.estimate = Estimator(config.width, config.heads) if config.estimator else None
        self.candidates = nn.Identity()

    def forward(self, x: Tensor, queries: Queries) -> Tensor:
        """Predicts logits (M, 1, h, w) from maps (M, C, h, w)."""
        kernels = self.kernel(queries.values)  # Eq. 11
        if self.estimate is None:
            shares = kernels.new_full(kernels.shape[:2], 1 / kernels.shape[1])
        else:
            shares = self.estimate(queries.values)  # Eq. 13
        self.candidates(Candidates(x, kernels, shares, queries.attention))
        kernel = (shares.unsqueeze(1) @ kernels).squeeze(1)
        return convolve_each(x, kernel)  # Eqs. 12 and 14

    def views(self) -> list[View]:
        """Returns views of the queries with the largest shares: shares, words, masks (Fig. 4)."""
        source, ranks = self.candidates, range(MAX_VIEWED)
        labels = [_ordinal(rank) for rank in ranks]

        def at(rank: int, what: Callable[[Candidates, int], Tensor]) -> Callable[[Candidates], Tensor]:
            return lambda candidates: what(candidates, rank)

        def shares(candidates: Candidates) -> Tensor:
            largest = candidates.shares[0].sort(descending=True).values[:MAX_VIEWED]
            return F.pad(largest, (0, MAX_VIEWED - len(largest)))

        masks = [
            View(f"mask of the {labels[rank]} query", source, at(rank, Candidates.mask), "map", "Fig. 4")
            for rank in ranks
        ]
        words = [
            View(
                f"words of the {labels[rank]} query",
                source,
                at(rank, Candidates.words),
                "words",
                "Eq. 9",
                meaning="attention of the query to each word",
            )
            for rank in ranks
        ]
        return [View("shares of queries", source, shares, "weights", "Eq. 13", labels), *masks, *words]


class Estimator(nn.Module):
    """Estimates the share of each query by self-attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.among, self.score = Attention(width, heads, dropout=0.0), nn.Linear(width, 1, bias=False)
        initialise(self.among.out)

    def forward(self, queries: Tensor) -> Tensor:
        """Returns shares (M, Q) of queries (M, Q, W)."""
        return self.score(self.among(queries, queries, queries)).squeeze(-1).softmax(-1)


class Aligner(nn.Module):
    """Both generators, in the place of a network's last convolution (Table V); arguments as of theirs."""

    def __init__(self, config: AlignerConfig, levels: Sequence[int], pooled: int, words: int, channels: int):
        super().__init__()
        self.queries = QueryGenerator(config, levels, pooled, words)
        self.masks = MaskGenerator(config, channels)

    def encode_image(self, levels: Sequence[Tensor], pooled: Tensor) -> ImageQueries:
        """Encodes an image once for all expressions; see `QueryGenerator.encode_image`."""
        return self.queries.encode_image(levels, pooled)

    def forward(
        self, x: Tensor, sight: ImageQueries, words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Tensor:
        """Predicts logits (M, 1, h, w).

        Args:
            x: (M, C, h, w), the input of the host's last convolution.
            sight: of B images.
            words: (M, T, D).
            word_mask: (M, T), True on words.
            image_of_expression: (M,), index of each expression's image.
        """
        return self.masks(x, self.queries(sight, words, word_mask, image_of_expression))


def convolve_each(x: Tensor, parameters: Tensor) -> Tensor:
    """Convolves each map (M, C, h, w) with its own 3 x 3 kernel and bias (M, 9 C + 1) to (M, 1, h, w)."""
    count, channels, height, width = x.shape
    kernel, bias = parameters.to(x.dtype).split([9 * channels, 1], dim=1)
    # the contributions of each pixel to its neighbours as one product, then their sum
    contributions = kernel.reshape(count, channels, 9).mT.flip(1) @ x.flatten(2)
    return F.fold(contributions, (height, width), 3, padding=1) + bias[:, :, None, None]


def initialise(layer: nn.Linear) -> None:
    """Initialises a layer; with torch's default all queries, and so their masks, would stay alike."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)


def _ordinal(rank: int) -> str:
    return ("first", "second", "third", "fourth")[rank]
