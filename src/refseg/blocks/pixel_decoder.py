"""Decoder of CRIS and EAVL: self-attention of pixels and cross-attention to words or queries."""

import math

import torch
from torch import Tensor, nn

from refseg.blocks.attention import Attention
from refseg.blocks.convolution import conv_norm
from refseg.blocks.resize import upsample


class PixelDecoder(nn.Module):
    """Transformer layers with a norm before and after each step.

    Args:
        width: channels of pixels and words.
        layers: number of layers.
        heads: of each attention.
        feed_forward: hidden channels.
        dropout: in training.
        word_positions: Whether words have position encodings; False for queries, which have no order.
    """

    def __init__(
        self,
        width: int = 512,
        layers: int = 3,
        heads: int = 8,
        feed_forward: int = 2048,
        dropout: float = 0.1,
        word_positions: bool = True,
    ):
        super().__init__()
        self.word_positions = word_positions
        self.layers = nn.ModuleList([DecoderLayer(width, heads, feed_forward, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: Tensor, words: Tensor, word_mask: Tensor | None = None) -> Tensor:
        """Decodes pixels.

        Args:
            pixels: (M, C, h, w).
            words: (M, T, C).
            word_mask: (M, T), True on words; None if all are.

        Returns:
            (M, C, h, w).
        """
        height, width = pixels.shape[-2:]
        x = pixels.flatten(2).mT
        places = positions_2d(height, width, x)
        keys = words + positions_1d(words.shape[1], words) if self.word_positions else words
        for layer in self.layers:
            x = layer(x, places, keys, words, word_mask)
        return self.norm(x).mT.unflatten(-1, (height, width))


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention to words and a feed-forward network."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float):
        super().__init__()
        self.among, self.at_words = Attention(width, heads, dropout), ViewableAttention(width, heads, dropout)
        self.before_among, self.after_among = nn.LayerNorm(width), nn.LayerNorm(width)
        self.before_words, self.after_words = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, feed_forward),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.LayerNorm(feed_forward),
            nn.Linear(feed_forward, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, places: Tensor, keys: Tensor, words: Tensor, word_mask: Tensor | None) -> Tensor:
        """Updates pixels (M, N, C).

        Args:
            x: (M, N, C).
            places: (N, C), position encodings of queries and keys.
            keys: (M, T, C), the words with their positions.
            words: (M, T, C).
            word_mask: (M, T) or None.
        """
        normed = self.before_among(x)
        placed = normed + places
        x = x + self.dropout(self.after_among(self.among(placed, placed, normed)))
        context = self.at_words(self.before_words(x) + places, keys, words, word_mask)
        x = x + self.dropout(self.after_words(context))
        return x + self.dropout(self.feed_forward(x))


class ViewableAttention(Attention):
    """Attention to few keys, whose weights can be viewed.

    Attributes:
        weights: module whose output are the weights (M, heads, N, T).
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__(width, heads, dropout)
        self.weights = nn.Softmax(dim=-1)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> Tensor:
        """Computes the attention without the fused kernel, so that its weights exist."""
        query, key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        scores = query @ key.mT * query.shape[-1] ** -0.5
        if key_mask is not None:
            scores = scores.masked_fill(~key_mask[:, None, None], torch.finfo(scores.dtype).min)
        weights = nn.functional.dropout(self.weights(scores), self.dropout, self.training)
        return (weights @ value).transpose(1, 2).flatten(2)


class UpProjection(nn.Module):
    """Upsamples a map by four, for the features of the masks."""

    def __init__(self, width: int = 512, inner: int = 256):
        super().__init__()
        self.first, self.second = conv_norm(width, width, 3), conv_norm(width, inner, 3)
        self.out = nn.Conv2d(inner, inner, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (M, width, h, w) to (M, inner, 4 h, 4 w)."""
        return self.out(self.second(upsample(self.first(upsample(x)))))


def positions_1d(count: int, like: Tensor) -> Tensor:
    """Returns sinusoidal position encodings (count, C) for words `like` (M, T, C)."""
    return _waves(torch.arange(count, device=like.device), like.shape[-1]).to(like.dtype)


def positions_2d(height: int, width: int, like: Tensor) -> Tensor:
    """Returns encodings (height * width, C) of columns and, in the second half of the channels, of rows."""
    channels = like.shape[-1] // 2
    columns = _waves(torch.arange(width, device=like.device), channels).expand(height, width, channels)
    rows = _waves(torch.arange(height, device=like.device), channels).unsqueeze(1).expand(height, width, channels)
    return torch.cat([columns, rows], dim=-1).flatten(0, 1).to(like.dtype)


def _waves(numbers: Tensor, channels: int) -> Tensor:
    """Encodes numbers (N,) as (N, channels): alternating sines and cosines of growing wavelength."""
    steps = torch.arange(0, channels, 2, device=numbers.device)
    angles = numbers.unsqueeze(-1) * torch.exp(steps * (-math.log(10000.0) / channels))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
