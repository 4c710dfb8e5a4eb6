"""What every tokenizer offers: an expression as the ids that its network reads."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Tokenizer(Protocol):
    """Expressions to tokens; id 0 is padding.

    Attributes:
        max_words: most ids that an expression may have.
    """

    max_words: int

    def __len__(self) -> int:
        """Number of ids."""

    def ids(self, expression: str) -> list[int]:
        """The ids of an expression, without padding; InvalidInput if the network cannot read it."""

    def pieces(self, expression: str) -> list[str]:
        """What each of the ids stands for."""

    def unknown_words(self, expression: str) -> list[str]:
        """The words of an expression that the network has never seen."""

    def remarks(self, expression: str) -> list[str]:
        """What is lost of an expression, a line for people each."""

    def __call__(self, expressions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokens (M, L) int64 and word_mask (M, L) bool, True on words."""
