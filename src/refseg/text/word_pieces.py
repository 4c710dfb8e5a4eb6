"""BERT's word pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refseg.lazy import LazyModule
from refseg.text.vocabulary import require_words

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

VOCABULARY = Path(__file__).parent / "bert_base_uncased.txt"


class WordPieces:
    """BERT's tokenizer: [CLS], lower-case word pieces, [SEP], padding; long expressions are truncated.

    >>> tokens, word_mask = WordPieces(max_words=8)(["A giraffe!"])
    >>> tokens.tolist(), word_mask.sum().item()
    ([[101, 1037, 21025, 27528, 7959, 999, 102, 0]], 7)
    """

    def __init__(self, max_words: int = 20):
        from tokenizers.implementations import BertWordPieceTokenizer

        self.max_words = max_words
        self._tokenizer = BertWordPieceTokenizer(str(VOCABULARY), lowercase=True)

    def __len__(self) -> int:
        """Number of word pieces."""
        return self._tokenizer.get_vocab_size()

    def ids(self, expression: str) -> list[int]:
        """Returns at most `max_words` ids, the two special ones included; truncation also removes [SEP].

        Raises:
            InvalidInput: if the expression has no words.
        """
        require_words(expression)
        return self._tokenizer.encode(expression).ids[: self.max_words]

    def pieces(self, expression: str) -> list[str]:
        """Returns the word pieces of an expression, the two special ones included."""
        return self._tokenizer.encode(expression).tokens[: self.max_words]

    def remarks(self, expression: str) -> list[str]:
        """Returns warnings about parts of an expression that are not read."""
        excess = len(self._tokenizer.encode(expression).ids) - self.max_words
        if excess <= 0:
            return []
        return [
            f"{expression!r} is cut: these weights read {self.max_words} word pieces, it has {excess} more; shorten it"
        ]

    def unknown_words(self, expression: str) -> list[str]:
        """Returns no words, since every word is made of pieces."""
        return []

    def __call__(self, expressions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Returns tokens (M, max_words) int64, 0 on padding, and word_mask (M, max_words) bool."""
        tokens = torch.zeros(len(expressions), self.max_words, dtype=torch.int64)
        word_mask = torch.zeros_like(tokens, dtype=torch.bool)
        for m, expression in enumerate(expressions):
            ids = self.ids(expression)
            tokens[m, : len(ids)] = torch.tensor(ids)
            word_mask[m, : len(ids)] = True
        return tokens, word_mask
