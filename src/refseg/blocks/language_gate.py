"""A gate between what a stage saw of the words and what the next stage takes."""

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """Adds to each channel of a pixel as much of what it saw as that itself decides.

    Args:
        channels: of the pixels.
        start: first weights, normal with std 0.02 ("small") or PyTorch's.
    """

    def __init__(self, channels: int, start: str | None):
        super().__init__()
        first, second = (nn.Linear(channels, channels, bias=False) for _ in range(2))
        if start == "small":
            nn.init.trunc_normal_(first.weight, std=0.02)
            nn.init.trunc_normal_(second.weight, std=0.02)
        self.layers = nn.Sequential(first, nn.ReLU(), second, nn.Tanh())

    def forward(self, pixels: Tensor, attended: Tensor) -> Tensor:
        """Two of (M, N, D) to one."""
        return torch.addcmul(pixels, self.layers(attended), attended)
