"""Layer norm over positions and channels, as in TensorFlow's `contrib` library."""

import torch
from torch import Tensor, nn

EPS = 1e-12


class JointNorm(nn.Module):
    """Normalises each sample over positions and channels together, then scales and shifts each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalises (M, ..., C), in float32 at least."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        everything = tuple(range(1, x.ndim))
        centred = x - x.mean(everything, keepdim=True)
        return centred * (centred.square().mean(everything, keepdim=True) + EPS).rsqrt() * self.weight + self.bias
