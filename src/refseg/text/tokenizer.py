"""Tokenizer: the interface of tokenizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Tokenizer(Protocol):
    """Converts expressions to tokens; id 0 is padding.

    Attributes:
        max_words: largest number of ids of an expression.
    """

    max_words: int

    def __len__(self) -> int:
        """Number of ids."""

    def ids(self, expression: str) -> list[int]:
        """Returns the ids of an expression without padding; raises InvalidInput if it cannot be read."""

    def pieces(self, expression: str) -> list[str]:
        """Returns the word or word piece of each id."""

    def unknown_words(self, expression: str) -> list[str]:
        """Returns the words of an expression outside of the vocabulary."""

    def remarks(self, expression: str) -> list[str]:
        """Returns warnings about parts of an expression that are not understood."""

    def __call__(self, expressions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Returns tokens (M, L) int64 and word_mask (M, L) bool, True on words."""
