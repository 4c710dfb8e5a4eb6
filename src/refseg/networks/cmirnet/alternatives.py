"""Alternatives to CMIRNet's own parts in its tables: WPA and SVLA for TGMM, cross-attention for CGIP.

WPA        Word-pixel alignment: words and pixels attend to each other at the same time.
           Z. Zhang et al. "CoupAlign: Coupling Word-Pixel with Sentence-Mask Alignments". NeurIPS 2022.
SVLA       Sequential vision-language attention: words read pixels, then pixels read the new words.
           S.-A. Liu et al. "CARIS: Context-Aware Referring Image Segmentation". ACM MM 2023.
Certainty  CMIRNet's authors published no code of these. They are re-implemented from the published descriptions; costs
           agree with CMIRNet's Table VIII: 20.932 M parameters (WPA; published 20.94 M), 95.982 M and 56.603 G
           multiply-accumulates (SVLA; published 95.99 M and 56.59 G). WPA costs 4.844 G; the published 8.74 G is a
           count in which the projections that both directions share are called once for each of them.
Shapes     As in `cmirnet`; alternatives to TGMM return the same as `guidance.TGMM`.
"""

import math

import torch
from torch import Tensor, nn

from refseg.blocks.attention import attend
from refseg.blocks.pixel_sequence import instance_norm
from refseg.networks.cmirnet.config import SVLAConfig, WPAConfig
from refseg.networks.cmirnet.guidance import Modulate, Scores, Sum, map_of, pixels_of, read_words


class WPA(nn.Module):
    """Word-pixel alignment: both directions read original features and share one affinity."""

    def __init__(
        self, config: WPAConfig, heads: int, channels: int, text: int, width: int, words: bool, sentence: bool
    ):
        super().__init__()
        self.heads = heads
        self.scores = Scores(channels, text, channels, heads)
        self.value = nn.Linear(text, channels)
        self.importance = nn.Identity()
        self.read = nn.Linear(channels, channels)
        self.modulate = Modulate(channels, config.activation)
        self.visual_value = nn.Linear(channels, channels) if words or sentence else None
        self.words = nn.Linear(channels, width) if words else None
        self.sentence = Sum(channels, text, width) if sentence else None

    def forward(
        self, x: Tensor, text: Tensor, sentence: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Computes the same outputs as `guidance.TGMM`."""
        pixels, known = pixels_of(x), word_mask[..., None]
        scores = self.scores(pixels, text, word_mask)
        attention = scores.softmax(-1)
        self.importance(attention.mean(2))
        r = self.modulate(x, instance_norm(self.read(read_words(attention, self.value(text) * known))))
        if self.visual_value is None:
            return r, None, None
        values = self.visual_value(pixels).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (M, heads, N, c)
        new = (scores.softmax(2).to(values.dtype).mT @ values).transpose(1, 2).flatten(2) * known  # (M, T, C)
        return (
            r,
            None if self.words is None else self.words(new),
            None if self.sentence is None else self.sentence(new, sentence),
        )


class SVLA(nn.Module):
    """Sequential vision-language attention: a decoder layer over words, then over pixels, with norms after the sums."""

    def __init__(self, config: SVLAConfig, channels: int, text: int, width: int, words: bool, sentence: bool):
        super().__init__()
        self.pixels = nn.Linear(channels, width)
        self.text = nn.Linear(text, width)
        self.layers = nn.ModuleDict(
            {
                name: Attention(width, config.inner * width, config.heads)
                for name in ("words_pixels", "words_words", "pixels_words", "pixels_pixels")
            }
        )
        hidden = config.feed_forward * width
        self.feed = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
                for name in ("words", "pixels")
            }
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(6)])
        self.read = nn.Linear(width, channels)
        self.modulate = Modulate(channels, config.activation)
        self.words = nn.Linear(width, width) if words or sentence else None
        self.sentence = nn.Linear(text, width) if sentence else None
        self.gives_words = words
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(
        self, x: Tensor, text: Tensor, sentence: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Computes the same outputs as `guidance.TGMM`."""
        a, words = self.pixels(pixels_of(x)), self.text(text)
        place = sine_code(x.shape[-2], x.shape[-1], a.shape[-1], a)
        layers, norms = self.layers, self.norms
        words = norms[0](words + layers["words_pixels"](words, a + place, a))
        words = norms[1](words + layers["words_words"](words, words, words, word_mask))
        words = norms[2](words + self.feed["words"](words))
        a = norms[3](a + layers["pixels_words"](a + place, words, words, word_mask))
        a = norms[4](a + layers["pixels_pixels"](a + place, a + place, a))
        a = norms[5](a + self.feed["pixels"](a))
        r = self.modulate(x, self.read(a))
        if self.words is None:
            return r, None, None
        new = self.words(words)
        new_sentence = None if self.sentence is None else new.mean(1) + self.sentence(sentence)
        return r, new if self.gives_words else None, new_sentence


class Attention(nn.Module):
    """Multi-head attention that is wider inside than its inputs."""

    def __init__(self, width: int, inner: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.project = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Attends from queries (M, Q, C) to keys and values (M, K, C) where key_mask (M, K) is True."""
        query, key, value = self.query(query), self.key(key), self.value(value)
        return self.project(attend(query, key, value, self.heads, key_mask=key_mask))


class CrossAttention(nn.Module):
    """Replacement of CGI and IGR: attention of pixels to words, padding included as there."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """Updates maps (M, C, h, w) by words (M, T, C)."""
        key, value = (each.flatten(-2) for each in self.key_value(words).unflatten(-1, (self.heads, 2, -1)).unbind(-2))
        return map_of(self.project(attend(self.query(pixels_of(x)), key, value, self.heads)), x)


def sine_code(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Returns position codes (N, channels): rows in the first half of the channels, columns in the second."""
    half = channels // 2
    period = 10000 ** (2 * (torch.arange(half, device=like.device) // 2) / half)
    codes = []
    for count in (height, width):
        angle = torch.arange(1, count + 1, device=like.device)[:, None] * (2 * math.pi / count) / period  # in (0, 2 pi]
        codes.append(torch.where(torch.arange(half, device=like.device) % 2 == 0, angle.sin(), angle.cos()))
    rows = codes[0][:, None].expand(-1, width, -1)
    columns = codes[1].expand(height, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1).to(like.dtype)
