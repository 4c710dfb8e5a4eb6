"""Layer norm over everything of a sample, as TensorFlow's `contrib` library had it."""

import torch
from torch import Tensor, nn

EPS = 1e-12


class JointNorm(nn.Module):
    """A sample's mean is 0 and its variance 1, over positions and channels together; then each channel has its gain."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(M, ..., C) to the same, in float32 at least."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        everything = tuple(range(1, x.ndim))
        centred = x - x.mean(everything, keepdim=True)
        return centred * (centred.square().mean(everything, keepdim=True) + EPS).rsqrt() * self.weight + self.bias
