"""What every word encoder offers: words, and of these the sentence."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class WordEncoder(nn.Module, ABC):
    """Tokens to words.

    Attributes:
        channels: of the words.
        sentence_channels: of the sentence.
    """

    channels: int
    sentence_channels: int

    @abstractmethod
    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Words (M, L, D) of tokens (M, L), with word_mask (M, L)."""

    def sentence(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """The sentence (M, S) of words (M, L, D) with word_mask (M, L): their mean, where an encoder has no other."""
        known = word_mask[..., None].to(words.dtype)
        return (words * known).sum(1) / known.sum(1)
