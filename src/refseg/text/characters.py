"""Whole expressions as bytes, for readers that take sentences apart by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from refseg.counting import counted
from refseg.lazy import LazyModule
from refseg.text.vocabulary import PADDING, require_words

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


class Characters:
    """Keeps expressions as they are: the ids are the bytes of their UTF-8, plus 1; what is too long is cut.

    >>> characters = Characters()
    >>> characters.text(characters.ids("the café"))
    'the café'
    """

    def __init__(self, max_words: int = 1000):
        self.max_words = max_words

    def __len__(self) -> int:
        """Number of ids: padding and 256 bytes."""
        return 257

    def ids(self, expression: str) -> list[int]:
        """Returns the ids of an expression.

        Raises:
            InvalidInput: if it has no words.
        """
        require_words(expression)
        return [byte + 1 for byte in expression.encode("utf-8", "replace")[: self.max_words]]

    def text(self, ids: Sequence[int]) -> str:
        """Returns the expression of ids without padding, the inverse of `ids`."""
        return bytes(one - 1 for one in ids).decode("utf-8", "ignore")

    def pieces(self, expression: str) -> list[str]:
        """Returns the character of each id; of a character of several bytes, the others are empty."""
        letters = [(letter, len(letter.encode("utf-8", "replace"))) for letter in expression]
        return [piece for letter, count in letters for piece in (letter, *[""] * (count - 1))][: self.max_words]

    def unknown_words(self, expression: str) -> list[str]:
        """Returns none: what is not understood is known once the expression is read."""
        return []

    def remarks(self, expression: str) -> list[str]:
        """Returns a warning about an expression that was cut."""
        size = len(expression.encode("utf-8", "replace"))
        if size <= self.max_words:
            return []
        return [
            f"the expression has {counted(size, 'byte')}, of which the first {self.max_words:,} are read; shorten it"
        ]

    def __call__(self, expressions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Returns tokens (M, L) int64 and word_mask (M, L) bool; errors as in `ids`."""
        rows = [self.ids(expression) for expression in expressions]
        tokens = torch.full((len(rows), max(map(len, rows), default=0)), PADDING)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        return tokens, tokens != PADDING
