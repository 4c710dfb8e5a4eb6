"""LAVT's language gate: a residual connection with a learned tanh gate."""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """Adds attended features to pixels, weighted by a gate computed from them.

    Args:
        channels: of the pixels.
        start: initial weights, truncated normal with std 0.02 ("small") or PyTorch's.
    """

    def __init__(self, channels: int, start: str | None):
        super().__init__()
        first, second = (nn.Linear(channels, channels, bias=False) for _ in range(2))
        if start == "small":
            nn.init.trunc_normal_(first.weight, std=0.02)
            nn.init.trunc_normal_(second.weight, std=0.02)
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.Tanh())

    def forward(self, pixels: Tensor, attended: Tensor) -> Tensor:
        """Fuses pixels and attended features, both (M, N, D)."""
        return torch.addcmul(pixels, self.layers(attended), attended)
