"""Word vectors and a bidirectional GRU, equal to Keras'.

Source     K. Cho et al. "Learning Phrase Representations using RNN Encoder-Decoder". EMNLP 2014.
           https://arxiv.org/abs/1406.1078
Departs    Not PyTorch's GRU, which applies the reset gate after the product with the state, Keras before.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from refseg.encoders.configs import GruConfig
from refseg.encoders.word_encoder import WordEncoder
from refseg.text.vocabulary import PADDING


class GruWords(WordEncoder):
    """The sum of the states of both directions as words; padding is read as zero vectors."""

    def __init__(self, config: GruConfig, vocabulary_size: int):
        super().__init__()
        self.channels = self.sentence_channels = config.width
        self.vectors = nn.Embedding(vocabulary_size, config.vector, padding_idx=PADDING)
        self.vectors.requires_grad_(config.learn_vectors)
        self.ahead = Direction(config)
        self.back = Direction(config)

    @property
    @override
    def table(self) -> nn.Embedding:
        return self.vectors

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) with word_mask (M, L) to words (M, L, D)."""
        return self.read(self.vectors(tokens.masked_fill(~word_mask, PADDING)))

    def read(self, vectors: Tensor) -> Tensor:
        """Encodes word vectors (M, L, V) to words (M, L, D)."""
        return self.ahead(vectors) + self.back(vectors.flip(1)).flip(1)


class Direction(nn.Module):
    """One direction; rows of the weights are the gates z (update) and r (reset), and the candidate n."""

    def __init__(self, config: GruConfig):
        super().__init__()
        self.dropout = config.dropout
        self.weight_input = nn.Parameter(torch.empty(3 * config.width, config.vector))
        self.weight_hidden = nn.Parameter(torch.empty(3 * config.width, config.width))
        self.bias = nn.Parameter(torch.zeros(3 * config.width))
        nn.init.xavier_uniform_(self.weight_input)
        nn.init.orthogonal_(self.weight_hidden)

    def forward(self, vectors: Tensor) -> Tensor:
        """Returns the states (M, L, D) after each word vector of (M, L, V)."""
        width = self.weight_hidden.shape[1]
        vectors = vectors * F.dropout(
            torch.ones_like(vectors[:, :1]), self.dropout, self.training
        )  # the same for all words
        said = F.linear(vectors, self.weight_input, self.bias)
        of_gates, of_new = self.weight_hidden.split([2 * width, width])
        state, states = torch.zeros_like(said[:, 0, :width]), []
        for word in said.unbind(1):
            word_gates, word_new = word.split([2 * width, width], dim=-1)
            keep, reset = (word_gates + F.linear(state, of_gates)).sigmoid().chunk(2, dim=-1)
            new = (word_new + F.linear(reset * state, of_new)).tanh()
            state = keep * state + (1 - keep) * new
            states.append(state)
        return torch.stack(states, dim=1)
