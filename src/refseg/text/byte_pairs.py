"""CLIP's byte pairs."""

from __future__ import annotations

import gzip
import html
import unicodedata
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

if TYPE_CHECKING:
    import tokenizers


VOCABULARY = Path(__file__).parent / "clip_byte_pairs.txt.gz"


START, END = "<|startoftext|>", "<|endoftext|>"


WORD_END = "</w>"


_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


_STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201b": "'", "\u201c": '"', "\u201d": '"'})


class BytePairs:
    """CLIP's tokenizer: start, lower-case byte pairs, end, padding; long expressions are truncated before the end.

    Id 0 is a "!" before other characters; in "a !=" it is taken for padding, as in the published networks.

    >>> tokens, word_mask = BytePairs(max_words=6)(["A giraffe!"])
    >>> tokens.tolist(), word_mask.sum().item()
    ([[49406, 320, 22826, 256, 49407, 0]], 5)
    """

    def __init__(self, max_words: int = 17):
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers

        self.max_words = max_words
        lines = gzip.decompress(VOCABULARY.read_bytes()).decode().splitlines()
        merges = [(first, second) for first, second in map(str.split, lines)]
        letters = [chr(code) for code in _byte_codes()]
        pieces = [*letters, *(letter + WORD_END for letter in letters), *map("".join, merges), START, END]
        vocabulary = {piece: i for i, piece in enumerate(pieces)}
        self._start, self._end = vocabulary[START], vocabulary[END]
        self._tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix=WORD_END))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )

    def __len__(self) -> int:
        """Number of pieces, start and end included."""
        return self._tokenizer.get_vocab_size()

    def ids(self, expression: str) -> list[int]:
        """Returns at most `max_words` ids, start and end included; a longer expression is truncated before the end.

        Raises:
            InvalidInput: if the expression has no words.
        """
        require_words(expression)
        return [self._start, *self._read(expression).ids[: self.max_words - 2], self._end]

    def pieces(self, expression: str) -> list[str]:
        """Returns the byte pairs of an expression, start and end included; the last one of a word is marked."""
        return [START, *self._read(expression).tokens[: self.max_words - 2], END]

    def remarks(self, expression: str) -> list[str]:
        """Returns warnings about parts of an expression that are not read."""
        excess = len(self._read(expression).ids) + 2 - self.max_words
        if excess <= 0:
            return []
        return [f"{expression!r} is cut: these weights read {self.max_words} pieces, it has {excess} more; shorten it"]

    def unknown_words(self, expression: str) -> list[str]:
        """Returns no words, since every word is made of pieces."""
        return []

    def __call__(self, expressions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Returns tokens (M, max_words) int64, 0 on padding, and word_mask (M, max_words) bool."""
        tokens = torch.zeros(len(expressions), self.max_words, dtype=torch.int64)
        for row, expression in zip(tokens, expressions, strict=True):
            ids = self.ids(expression)
            row[: len(ids)] = torch.tensor(ids)
        return tokens, tokens != 0

    def _read(self, expression: str) -> tokenizers.Encoding:
        text = html.unescape(html.unescape(expression)).translate(_STRAIGHT)
        return self._tokenizer.encode(" ".join(unicodedata.normalize("NFC", text).split()).lower())


def _byte_codes() -> list[int]:
    """Returns the character for each byte, itself if it is printable, in CLIP's order."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("\xa1"), ord("\xac") + 1), *range(ord("\xae"), ord("\xff") + 1)]
    return seen + [256 + i for i in range(256 - len(seen))]
