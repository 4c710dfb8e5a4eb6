"""WordEncoder: the interface of word encoders, features of words and of the sentence."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class WordEncoder(nn.Module, ABC):
    """Encodes tokens to words.

    Attributes:
        channels: of the words.
        sentence_channels: of the sentence.
    """

    channels: int
    sentence_channels: int

    @property
    @abstractmethod
    def table(self) -> nn.Embedding:
        """The vectors of words, one for each token id."""

    @abstractmethod
    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) with word_mask (M, L) to words (M, L, D)."""

    def sentence(self, words: Tensor, word_mask: Tensor) -> Tensor:
        """Returns the sentence (M, S) of words (M, L, D) with word_mask (M, L), by default their mean."""
        known = word_mask[..., None].to(words.dtype)
        return (words * known).sum(1) / known.sum(1)
