"""Closed vocabulary of whole words, for networks that learn their own word embedding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from refseg.counting import counted
from refseg.errors import InvalidInput
from refseg.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2  # ids
MAX_WORDS = 24  # of an expression, where nothing else is said
_NOT_WORDS = re.compile(r"[^\w\s-]")


class Vocabulary:
    """A closed vocabulary; id 0 is padding, id 1 any other word, the words follow.

    >>> vocabulary = Vocabulary(["red", "star", "the"])
    >>> vocabulary.ids("The red, huge star!")
    [4, 2, 1, 3]
    >>> vocabulary.unknown_words("The red, huge star!")
    ['huge']
    """

    def __init__(self, words: Sequence[str], max_words: int = MAX_WORDS):
        self.words = tuple(words)
        self.max_words = max_words
        self._id = {word: i for i, word in enumerate(self.words, start=FIRST_WORD)}

    @classmethod
    def of(cls, expressions: Iterable[str], max_words: int = MAX_WORDS) -> Vocabulary:
        """Builds the vocabulary of expressions, with words in alphabetical order."""
        return cls(sorted({word for text in expressions for word in split_words(text)}), max_words)

    def __len__(self) -> int:
        """Number of ids, the two special ones included."""
        return len(self.words) + FIRST_WORD

    def id_of_word(self) -> Mapping[str, int]:
        """Returns the id of each word."""
        return self._id

    def ids(self, expression: str) -> list[int]:
        """Returns one id per word.

        Raises:
            InvalidInput: if the expression has no words, or more than `max_words`.
        """
        words = require_words(expression)
        if len(words) > self.max_words:
            raise InvalidInput(
                f"the expression has {counted(len(words), 'word')}, this network reads at most {self.max_words}; "
                "shorten it"
            )
        return [self._id.get(word, UNKNOWN) for word in words]

    def pieces(self, expression: str) -> list[str]:
        """Returns the words of an expression."""
        return split_words(expression)

    def unknown_words(self, expression: str) -> list[str]:
        """Returns the words of an expression that the vocabulary lacks, in order."""
        return [word for word in split_words(expression) if word not in self._id]

    def remarks(self, expression: str) -> list[str]:
        """Returns warnings about parts of an expression that are not understood."""
        unknown = ", ".join(map(repr, self.unknown_words(expression)))
        return [f"{expression!r}: the weights have never seen {unknown}; say it in other words"] if unknown else []

    def __call__(self, expressions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Returns tokens (M, L) int64 and word_mask (M, L) bool, L being the longest expression; errors as in `ids`."""
        rows = [self.ids(expression) for expression in expressions]
        tokens = torch.full((len(rows), max(map(len, rows), default=0)), PADDING)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        return tokens, tokens != PADDING


def require_words(expression: str) -> list[str]:
    """Returns the words of an expression.

    Raises:
        InvalidInput: if it has none.
    """
    words = split_words(expression)
    if not words:
        raise InvalidInput(f"the expression {expression!r} is empty; say what to segment, for example 'the red star'")
    return words


def split_words(expression: str) -> list[str]:
    """Splits text to lower-case words without punctuation other than hyphens."""
    return _NOT_WORDS.sub(" ", expression.lower()).split()
