"""CMIRNet's text-guided multi-modality module (TGMM): Eqs. (1) to (6), after each stage of the image encoder.

With the image encoder it is the paper's Text-Guided Multi-Modality Joint Encoder (TGMM-JE). In the order of the data:
`TGMM`, its attention scores (`Scores`), new sentence (`Sum`, `Gated`) and new map (`Modulate`), then conversions
between maps and pixels that the other files share.

Departs    As the release does:
           Eq. (1)   a softmax over words of scaled scores, padding left out; the paper: the affinities themselves.
           Eq. (4)   ResNet: new words enter through a gate that starts closed; Swin as the paper.
           Eq. (5)   ResNet: pixels read the original words, through a projection of their own (the paper's ablation
                     "re f_ew^new with ori f_ew"); Swin: the new ones, as the paper.
           Eq. (6)   a product of projections, activated before and after, the language's with an instance norm; the sum
                     is the encoder's own residual. The paper: conv(f' * conv(f) + conv(f)), convolutions with batch
                     norms.
"""

import torch
from torch import Tensor, nn

from refseg.blocks.pixel_sequence import instance_norm
from refseg.networks.cmirnet.config import TGMMConfig


class TGMM(nn.Module):
    """Text-guided multi-modality module: words weighted by pixels, pixels modulated by words."""

    def __init__(
        self, config: TGMMConfig, heads: int, channels: int, text: int, width: int, words: bool, sentence: bool
    ):
        super().__init__()
        inner = channels if config.keys == "stage" else width
        self.heads = heads
        self.scores = Scores(channels, text, inner, heads)
        self.value = nn.Linear(text, inner)
        self.importance = nn.Identity()
        self.visual_words = config.visual_words
        apart = config.visual_words == "original" and (words or sentence)
        self.new_value = nn.Linear(text, inner) if apart else None
        self.read = nn.Linear(inner, channels)
        self.modulate = Modulate(channels, config.activation)
        self.words = nn.Linear(inner, width) if words else None
        self.sentence = {"sum": Sum, "gated": Gated}[config.sentence](inner, text, width) if sentence else None

    def forward(
        self, x: Tensor, text: Tensor, sentence: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Computes the residual of a map, and new words (M, T, width) and sentence (M, width), None if unused.

        Args:
            x: (M, C, h, w).
            text: (M, T, D) words, sentence token and padding included.
            sentence: (M, D).
            word_mask: (M, T).
        """
        known = word_mask[..., None]
        attention = self.scores(pixels_of(x), text, word_mask).softmax(-1)  # (M, heads, N, T)  Eq. (1)
        importance = self.importance(attention.mean(2))  # (M, heads, T)  Eq. (2)
        value = self.value(text) * known
        new = value if self.new_value is None else self.new_value(text) * known
        new = (new.unflatten(-1, (self.heads, -1)) * importance.mT[..., None]).flatten(-2)  # (M, T, V)  Eq. (3)
        language = self.read(read_words(attention, value if self.visual_words == "original" else new))
        return (
            self.modulate(x, instance_norm(language)),  # Eqs. (5), (6)
            None if self.words is None else self.words(new),
            None if self.sentence is None else self.sentence(new, sentence),
        )


class Scores(nn.Module):
    """Attention scores of pixels over words."""

    def __init__(self, channels: int, text: int, inner: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, inner)
        self.key = nn.Linear(text, inner)

    def forward(self, pixels: Tensor, text: Tensor, word_mask: Tensor) -> Tensor:
        """Computes scores (M, heads, N, T) float32 of pixels (M, N, C), words (M, T, D) and word_mask (M, T)."""
        query = instance_norm(self.query(pixels))
        query = query * query.shape[-1] ** -0.5  # of all channels, not of a head's
        key = self.key(text) * word_mask[..., None]
        query, key = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (query, key))
        hidden = 1e4 * (word_mask.float() - 1)
        return (query @ key.to(query.dtype).mT).float() + hidden[:, None, None]


class Sum(nn.Module):
    """Eq. (4): sum of the mean new word and the original sentence, each projected."""

    def __init__(self, channels: int, text: int, width: int):
        super().__init__()
        self.words = nn.Linear(channels, width)
        self.project = nn.Linear(text, width)

    def forward(self, words: Tensor, sentence: Tensor) -> Tensor:
        """Computes the sentence (M, width) from words (M, T, V), padding included, and a sentence (M, D)."""
        return self.words(words.mean(1)) + self.project(sentence)


class Gated(nn.Module):
    """Sentence of the ResNet release: the mean new word is added through a gate that starts closed."""

    def __init__(self, channels: int, text: int, width: int):
        super().__init__()
        self.narrow = nn.Identity() if channels == width else nn.Linear(channels, width)
        self.gate = nn.Parameter(torch.zeros(1))
        self.words = nn.Linear(width, width)
        self.project = nn.Linear(text, width)

    def forward(self, words: Tensor, sentence: Tensor) -> Tensor:
        """Computes the sentence; shapes as in `Sum`."""
        original = self.project(sentence)
        return self.words(self.gate * self.narrow(words.mean(1)) + original) + original


class Modulate(nn.Module):
    """Eq. (6): product of a map and the language features of its pixels, between two projections."""

    def __init__(self, channels: int, activation: str):
        super().__init__()
        self.visual = nn.Linear(channels, channels)
        self.mix = nn.Linear(channels, channels)
        self.activation = {"relu": nn.ReLU, "gelu": nn.GELU}[activation]()

    def forward(self, x: Tensor, language: Tensor) -> Tensor:
        """Modulates a map (M, C, h, w) by language (M, N, C)."""
        return map_of(self.activation(self.mix(self.activation(self.visual(pixels_of(x))) * language)), x)


def read_words(attention: Tensor, value: Tensor) -> Tensor:
    """Computes the language features (M, N, V) of pixels from attention (M, heads, N, T) and words (M, T, V)."""
    value = value.unflatten(-1, (attention.shape[1], -1)).transpose(1, 2)
    return (attention.to(value.dtype) @ value).transpose(1, 2).flatten(2)


def pixels_of(x: Tensor) -> Tensor:
    """Flattens a map (M, C, h, w) to pixels (M, N, C)."""
    return x.flatten(2).mT


def map_of(pixels: Tensor, like: Tensor) -> Tensor:
    """Reshapes pixels (M, N, C) to a map (M, C, h, w) of the size of `like`."""
    return pixels.mT.unflatten(-1, like.shape[-2:])


def expand_to_expressions(x: Tensor, image_of_expression: Tensor) -> Tensor:
    """Returns the map (M, C, h, w) of each expression's image, without a copy for a single image."""
    return x.expand(image_of_expression.shape[0], -1, -1, -1) if x.shape[0] == 1 else x[image_of_expression]
