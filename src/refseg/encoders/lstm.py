"""Word vectors and an LSTM, equal to that of CMPC's release in TensorFlow.

Source     S. Hochreiter, J. Schmidhuber. "Long Short-Term Memory". Neural Computation 1997.
           https://doi.org/10.1162/neco.1997.9.8.1735
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from refseg.encoders.configs import LstmConfig
from refseg.encoders.word_encoder import WordEncoder

FORGET_BIAS = 1.0  # in addition to the learned bias
INITIAL_RANGE = 0.1  # of word vectors that are not read from a file


class LstmWords(WordEncoder):
    """The hidden state after each token as words; padding, at any place, does not change the state."""

    def __init__(self, config: LstmConfig, vocabulary_size: int):
        super().__init__()
        self.channels = self.sentence_channels = width = config.width
        self.vectors = nn.Embedding(vocabulary_size, config.vector)
        nn.init.normal_(self.vectors.weight, std=INITIAL_RANGE)
        self.weight = nn.Parameter(torch.empty(4 * width, config.vector + width))  # rows: gates i, j, f, o
        self.bias = nn.Parameter(torch.zeros(4 * width))
        nn.init.xavier_uniform_(self.weight)

    @property
    @override
    def table(self) -> nn.Embedding:
        return self.vectors

    def forward(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
        """Encodes tokens (M, L) with word_mask (M, L) to words (M, L, D), 0 on padding."""
        vectors, width = self.vectors(tokens), self.channels
        of_vector, of_hidden = self.weight.split([vectors.shape[-1], width], dim=1)
        said = F.linear(vectors, of_vector, self.bias)
        hidden = cell = torch.zeros_like(said[:, 0, :width])
        states = []
        for word, is_word in zip(said.unbind(1), word_mask.unsqueeze(-1).unbind(1), strict=True):
            i, j, f, o = (word + F.linear(hidden, of_hidden)).chunk(4, dim=-1)
            new = cell * (f + FORGET_BIAS).sigmoid() + i.sigmoid() * j.tanh()
            cell = torch.where(is_word, new, cell)
            hidden = torch.where(is_word, o.sigmoid() * new.tanh(), hidden)
            states.append(hidden * is_word)
        return torch.stack(states, dim=1)
