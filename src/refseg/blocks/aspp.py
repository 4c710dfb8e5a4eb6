"""Atrous spatial pyramid pooling (ASPP)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from refseg.blocks.convolution import conv_norm


class ASPP(nn.Module):
    """A 1 x 1 convolution, 3 x 3 convolutions of several dilations and, optionally, global pooling, in parallel.

    Args:
        channels: of the map.
        branch: channels of each convolution.
        outputs: channels of the result.
        rates: dilations.
        bias: Whether convolutions have one.
        pooled: Whether there is a branch of the map's mean; its batch norm needs at least two maps in training.
    """

    def __init__(
        self, channels: int, branch: int, outputs: int, rates: Sequence[int], bias: bool = True, pooled: bool = False
    ):
        super().__init__()
        widened = [conv_norm(channels, branch, 3, dilation=rate, bias=bias) for rate in rates]
        self.branches = nn.ModuleList([conv_norm(channels, branch, 1, bias=bias), *widened])
        self.pool = conv_norm(channels, branch, 1, bias=bias) if pooled else None
        self.project = conv_norm(branch * (len(self.branches) + pooled), outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (M, C, h, w) to (M, outputs, h, w)."""
        x = x.contiguous()  # cheaper than the copy of weights that channels last would cause
        results = [branch(x) for branch in self.branches]
        if self.pool is not None:
            results.append(self.pool(x.mean((-2, -1), keepdim=True)).expand(-1, -1, *x.shape[-2:]))
        return self.project(torch.cat(results, 1))
