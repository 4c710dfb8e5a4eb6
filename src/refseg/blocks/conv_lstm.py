"""Convolutional LSTM with norms and peepholes over a sequence of maps of one size.

Source     X. Shi et al. "Convolutional LSTM Network". NeurIPS 2015. https://arxiv.org/abs/1506.04214
Departs    The convolution is 1 x 1, and gates and state are normalised, as in CMPC's release.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks.resize import resize_map
from refseg.blocks.whole_map_norm import JointNorm

Peephole = Literal["position", "channel", "none"]
FORGET_BIAS = 1.0


class ConvLSTM(nn.Module):
    """Reads maps in order and returns the last hidden state.

    Args:
        inputs: channels of the maps.
        state: channels of the state.
        peephole: whether gates have a weight for each position and channel of the cell, one for each channel, or none.
        grid_hw: size of the maps for which weights of positions are stored; they are resized for other sizes.
    """

    def __init__(self, inputs: int, state: int, peephole: Peephole, grid_hw: tuple[int, int]):
        super().__init__()
        self.inputs, self.state = inputs, state
        self.gates = nn.Linear(inputs + state, 4 * state, bias=False)  # rows: candidate j, input i, forget f, output o
        nn.init.xavier_uniform_(self.gates.weight)
        shapes = {"position": (*grid_hw, state), "channel": (state,)}
        kept = "" if peephole == "none" else "ifo"
        self.peepholes = nn.ParameterDict({gate: glorot(shapes[peephole]) for gate in kept})
        self.norms = nn.ModuleDict({part: JointNorm(state) for part in "jifoc"})

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Encodes a sequence of maps (M, h, w, C) to (M, h, w, D)."""
        of_input, of_hidden = self.gates.weight.split([self.inputs, self.state], dim=1)
        norm, peepholes = self.norms, self._peepholes(maps[0].shape[1:3])
        hidden: Tensor | None = None
        cell: Tensor | None = None
        for x in maps:
            gates = F.linear(x, of_input)
            if hidden is not None:
                gates = gates + F.linear(hidden, of_hidden)
            j, i, f, o = gates.chunk(4, dim=-1)
            if cell is not None and peepholes:
                i, f = i + peepholes["i"] * cell, f + peepholes["f"] * cell
            new = norm["i"](i).sigmoid() * norm["j"](j).tanh()
            cell = new if cell is None else cell * (norm["f"](f) + FORGET_BIAS).sigmoid() + new
            if peepholes:
                o = o + peepholes["o"] * cell
            gate, cell = norm["o"](o).sigmoid(), norm["c"](cell)
            hidden = gate * cell.tanh()
        assert hidden is not None, "there is at least one map"
        return hidden

    def _peepholes(self, size_hw: Sequence[int]) -> dict[str, Tensor]:
        """Returns the peephole weights of each gate for maps of this size."""
        return {gate: resize_peephole(weight, size_hw) for gate, weight in self.peepholes.items()}


def resize_peephole(weight: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Resizes weights of positions (h, w, D) to another size; those of channels (D,) are returned unchanged."""
    return weight if weight.ndim == 1 else resize_map(weight.permute(2, 0, 1)[None], size_hw)[0].permute(1, 2, 0)


def glorot(shape: tuple[int, ...]) -> nn.Parameter:
    """Returns a parameter with Glorot uniform weights; axes before the last two count as a kernel."""
    inputs, outputs = (shape * 2)[-2:]
    fans = math.prod(shape[:-2]) * (inputs + outputs)
    return nn.Parameter(torch.empty(shape).uniform_(-1, 1) * math.sqrt(6 / fans))
