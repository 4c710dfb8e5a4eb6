"""The decoder of CRIS and EAVL: pixels look at one another and at words, or at queries made of words."""

import math

import torch
from torch import Tensor, nn

from refseg.blocks.attention import Attention
from refseg.blocks.convolution import conv_norm
from refseg.blocks.fusion_neck import double


class PixelDecoder(nn.Module):
    """Layers of a Transformer, normed before each step and after it.

    Args:
        width: channels of pixels and words.
        layers: number of layers.
        heads: of each attention.
        feed_forward: channels inside.
        dropout: in training.
        word_positions: do words have a place in a row? Not if they are queries, whose order says nothing.
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
        """Pixels that looked.

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
    """Pixels among themselves, pixels at words, each by itself."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float):
        super().__init__()
        self.among, self.at_words = Attention(width, heads, dropout), SeenAttention(width, heads, dropout)
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
        """Pixels (M, N, C) that looked.

        Args:
            x: (M, N, C).
            places: (N, C), added to pixels that ask or are asked.
            keys: (M, T, C), the words with their positions.
            words: (M, T, C).
            word_mask: (M, T) or None.
        """
        normed = self.before_among(x)
        placed = normed + places
        x = x + self.dropout(self.after_among(self.among(placed, placed, normed)))
        seen = self.at_words(self.before_words(x) + places, keys, words, word_mask)
        x = x + self.dropout(self.after_words(seen))
        return x + self.dropout(self.feed_forward(x))


class SeenAttention(Attention):
    """Attention at few keys, whose weights can be seen.

    Attributes:
        weights: gives them, (M, heads, N, T).
    """

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__(width, heads, dropout)
        self.weights = nn.Softmax(dim=-1)

    def look(self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> Tensor:
        """As of `Attention`."""
        query, key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        scores = query @ key.mT * query.shape[-1] ** -0.5
        if key_mask is not None:
            scores = scores.masked_fill(~key_mask[:, None, None], torch.finfo(scores.dtype).min)
        weights = nn.functional.dropout(self.weights(scores), self.dropout, self.training)
        return (weights @ value).transpose(1, 2).flatten(2)


class UpProjection(nn.Module):
    """A map at four times the size, and what masks are read off."""

    def __init__(self, width: int = 512, inner: int = 256):
        super().__init__()
        self.first, self.second = conv_norm(width, width, 3), conv_norm(width, inner, 3)
        self.out = nn.Conv2d(inner, inner, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(M, inner, 4 h, 4 w) of (M, width, h, w)."""
        return self.out(self.second(double(self.first(double(x)))))


def positions_1d(count: int, like: Tensor) -> Tensor:
    """Sines and cosines of the numbers 0, 1, 2, ..., (count, C), for words `like` (M, T, C)."""
    return _waves(torch.arange(count, device=like.device), like.shape[-1]).to(like.dtype)


def positions_2d(height: int, width: int, like: Tensor) -> Tensor:
    """The same of columns and, in the second half of the channels, of rows: (height * width, C) for pixels `like`."""
    channels = like.shape[-1] // 2
    of_column = _waves(torch.arange(width, device=like.device), channels).expand(height, width, channels)
    of_row = _waves(torch.arange(height, device=like.device), channels).unsqueeze(1).expand(height, width, channels)
    return torch.cat([of_column, of_row], dim=-1).flatten(0, 1).to(like.dtype)


def _waves(numbers: Tensor, channels: int) -> Tensor:
    """Numbers (N,) as (N, channels): sine and cosine by turns, of slower and slower waves."""
    steps = torch.arange(0, channels, 2, device=numbers.device)
    angles = numbers.unsqueeze(-1) * torch.exp(steps * (-math.log(10000.0) / channels))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
