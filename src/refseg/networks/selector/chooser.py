"""Selector's chooser: words and objects to a score for each object.

In the order of the data: `Chooser` (the whole), `WordEncoder`, `WordMatch` (words against objects), `Block` (attention
to words, then among objects, biased by their pairs), and the attention layers of both.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from refseg.errors import InvalidInput
from refseg.networks.selector.config import SelectorConfig
from refseg.networks.selector.finder import pair_features

MASKED = -1e4  # attention logit of a missing key


class Words(NamedTuple):
    """Words of M expressions, as objects attend to them.

    Attributes:
        context: (M, L, D) words in their sentence.
        bias: (M, 1, 1, L) attention bias that masks padding.
        static: (M, L, D) words on their own, without their sentence; None without `config.word_match`.
        match: (M, Q, L) how far each word applies to each object, in [0, 1]; None likewise.
    """

    context: Tensor
    bias: Tensor
    static: Tensor | None = None
    match: Tensor | None = None


class Chooser(nn.Module):
    """Scores of objects, and of existence, for an expression."""

    def __init__(self, config: SelectorConfig, vocabulary_size: int):
        super().__init__()
        self.config = config
        width = config.width
        self.words = WordEncoder(config, vocabulary_size)
        self.word_match = WordMatch(width) if config.word_match else None
        if config.relations == "pairs":
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
    ) -> list[Tensor]:
        """Computes the objects (M, Q, D) as each expression sees them, after every block; the last are for `answer`.

        Args:
            objects: tokens (B, Q, D) of the objects, as in `FoundObjects`.
            valid: (B, Q).
            pairs: (B, Q, Q, P).
            words: (M, L, D) or (M, L, 2 D), from the word encoder.
            word_mask: (M, L).
            image_of_expression: (M,) index of the B images.
        """
        bias, pair_values = self.read_pairs(pairs, valid)
        biases = bias[image_of_expression].chunk(len(self.blocks), dim=1)
        pair_values = pair_values[image_of_expression]
        read = self.read_words(objects, words, word_mask, image_of_expression)
        x = objects[image_of_expression]
        states: list[Tensor] = []
        for block, block_bias in zip(self.blocks, biases, strict=True):
            x = block(x, read, block_bias, pair_values)
            states.append(x)
        return states

    def read_pairs(self, pairs: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the attention bias (B, blocks * heads, Q, Q) of pairs (B, Q, Q, P), and values (B, Q, Q, V) of them.

        Without pairs (`config.relations`) the bias masks what is not valid (B, Q), and V is 0.
        """
        if self.config.relations != "pairs":
            slots = pairs.new_zeros(1, len(self.blocks) * self.config.heads, valid.shape[1], 1)
            return slots.masked_fill(~valid[:, None, None], MASKED), pairs[..., :0]
        hidden = self.pair_hidden(pairs)
        bias = self.pair_bias(hidden).permute(0, 3, 1, 2)
        return bias.masked_fill(~valid[:, None, None], MASKED), self.pair_value(hidden)

    def read_words(self, objects: Tensor, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Words:
        """Computes the words that the objects attend to; arguments as in `forward`."""
        bias = key_bias(word_mask, words)
        if self.word_match is None:
            return Words(words, bias)
        context, static = words.chunk(2, dim=-1)
        return Words(context, bias, static, self.word_match(objects, static, image_of_expression))

    def answer(self, objects: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Computes scores (M, Q) and existence (M,), float32 logits, of objects (M, Q, D) after the last block."""
        x = self.norm(objects)
        most = x.masked_fill(~valid.unsqueeze(-1), MASKED).amax(1)
        return self.score(x).squeeze(-1).float(), self.exists(most).squeeze(-1).float()


class WordEncoder(nn.Module):
    """Word embeddings with self-attention; with `config.word_match` also the words without their sentence."""

    def __init__(self, config: SelectorConfig, vocabulary_size: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, config.width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.positions = nn.Parameter(torch.empty(config.max_words, config.width).normal_(std=0.02))
        self.layers = nn.ModuleList([WordLayer(config) for _ in range(config.word_layers)])
        self.norm = nn.LayerNorm(config.width)
        self.static_norm = nn.LayerNorm(config.width) if config.word_match else None
        self.word_dropout = config.word_dropout

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) as words (M, L, D), in their sentence.

        With `config.word_match` the words (M, L, 2 D) are first in their sentence, then on their own. In training a
        share of them is hidden from their sentence alone, so that its part in it is read from the words around it.

        Raises:
            InvalidInput: for no words, or more than `max_words`.
        """
        length, most = tokens.shape[1], len(self.positions)
        if not 1 <= length <= most:
            raise InvalidInput(f"the expression has {length} words, Selector reads 1 to {most}")
        words = static = self.embedding(tokens)
        if self.training and self.word_dropout:
            words = static * (torch.rand_like(static[..., :1]) >= self.word_dropout)
        words = words + self.positions[:length]
        bias = key_bias(word_mask, words)
        for layer in self.layers:
            words = layer(words, bias)
        words = self.norm(words)
        return words if self.static_norm is None else torch.cat([words, self.static_norm(static)], dim=-1)


class WordMatch(nn.Module):
    """How far each word, whatever its part in the sentence, applies to each object."""

    def __init__(self, width: int):
        super().__init__()
        self.scale = width**-0.5
        self.objects, self.words = nn.Linear(width, width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.tensor([-1.0]))  # most words apply to few objects

    def forward(self, objects: Tensor, words: Tensor, image_of_expression: Tensor) -> Tensor:
        """Computes the match (M, Q, L) in [0, 1] of objects (B, Q, D) and words (M, L, D)."""
        return (self.objects(objects)[image_of_expression] @ self.words(words).mT * self.scale + self.bias).sigmoid()


class WordLayer(nn.Module):
    """Self-attention among words, then feed-forward."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.attend_norm, self.attend = nn.LayerNorm(config.width), Attention(config)
        self.feed_norm, self.feed = nn.LayerNorm(config.width), feed_forward(config.width)

    def forward(self, words: Tensor, bias: Tensor) -> Tensor:
        """Updates words (M, L, D)."""
        normed = self.attend_norm(words)
        words = words + self.attend(normed, normed, bias)
        return words + self.feed(self.feed_norm(words))


class Block(nn.Module):
    """Attention of objects to words, then among objects, then feed-forward."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.cross_norm = nn.LayerNorm(config.width)
        self.cross = (MatchedWordAttention if config.word_match else WordAttention)(config)
        self.among: RelationAttention | None = None
        if config.relations != "none":
            self.among_norm, self.among = nn.LayerNorm(config.width), RelationAttention(config)
        self.feed_norm, self.feed = nn.LayerNorm(config.width), feed_forward(config.width)

    def forward(self, x: Tensor, words: Words, pair_bias: Tensor, pair_values: Tensor) -> Tensor:
        """Updates objects (M, Q, D); arguments as in `Chooser` and `RelationAttention`."""
        x = x + self.cross(self.cross_norm(x), words)
        if self.among is not None:
            x = x + self.among(self.among_norm(x), pair_bias, pair_values)
        return x + self.feed(self.feed_norm(x))


class Attention(nn.Module):
    """Multi-head attention, written out: faster on a CPU than the fused kernel in bfloat16."""

    def __init__(self, config: SelectorConfig):
        super().__init__()
        self.heads = config.heads
        self.scale = (config.width // config.heads) ** -0.5
        self.q = nn.Linear(config.width, config.width)
        self.kv = nn.Linear(config.width, 2 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.seen = nn.Identity()

    def forward(self, x: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
        """Attends from x (M, n, D) to keys (M, k, D); bias is added to the attention logits (M, heads, n, k)."""
        weights, values = self.compute_weights(x, keys, bias)
        return self.join(weights @ values)

    def split(self, x: Tensor) -> Tensor:
        """Splits x (M, n, D) into heads (M, heads, n, D / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """Joins heads (M, heads, n, D / heads), and projects them: (M, n, D)."""
        joined: Tensor = self.out(x.transpose(1, 2).flatten(2))
        return joined

    def compute_weights(self, x: Tensor, keys: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Computes attention weights (M, heads, n, k) and values (M, heads, k, D / heads)."""
        q = self.split(self.q(x))
        k, v = self.kv(keys).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.seen((q @ k.mT * self.scale + bias).softmax(-1)), v


class WordAttention(Attention):
    """Attention of objects to words in their sentence."""

    def forward(self, x: Tensor, words: Words) -> Tensor:  # type: ignore[override]
        """Attends from x (M, Q, D) to words."""
        return super().forward(x, words.context, words.bias)


class MatchedWordAttention(WordAttention):
    """The same, to words on their own as well; what a word says depends on whether it applies to the object."""

    def __init__(self, config: SelectorConfig):
        super().__init__(config)
        self.static, self.matched = nn.Linear(config.width, config.width), nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, words: Words) -> Tensor:  # type: ignore[override]
        """Attends from x (M, Q, D) to words."""
        assert words.static is not None and words.match is not None
        weights, values = self.compute_weights(x, words.context, words.bias)
        values = values + self.split(self.static(words.static))
        read = weights @ values + (weights * words.match.unsqueeze(1)) @ self.split(self.matched(words.context))
        return self.join(read)


class RelationAttention(Attention):
    """Attention among objects that also reads values of their pairs."""

    def __init__(self, config: SelectorConfig):
        super().__init__(config)
        self.place = nn.Linear(config.heads * config.pair_value, config.width) if config.relations == "pairs" else None

    def forward(self, x: Tensor, bias: Tensor, pair_values: Tensor) -> Tensor:  # type: ignore[override]
        """Updates objects (M, Q, D); pair_values (M, Q, Q, pair_value) describe k relative to q."""
        weights, values = self.compute_weights(x, x, bias)
        attended = self.join(weights @ values)
        if self.place is None:
            return attended
        relations = weights.transpose(1, 2) @ pair_values  # (M, Q, heads, pair_value)
        return attended + self.place(relations.flatten(2))


def feed_forward(width: int) -> nn.Sequential:
    """Returns two layers for each token."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


def key_bias(mask: Tensor, like: Tensor) -> Tensor:
    """Returns an attention bias (M, 1, 1, L) that masks the keys where the mask (M, L) is False."""
    return torch.zeros(mask.shape, device=like.device, dtype=like.dtype).masked_fill(~mask, MASKED)[:, None, None]
