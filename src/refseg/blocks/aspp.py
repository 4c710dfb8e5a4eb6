"""Atrous spatial pyramid pooling: a map seen at several rates."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from refseg.blocks.convolution import conv_norm


class ASPP(nn.Module):
    """A 1 x 1 convolution beside 3 x 3 ones of several dilations, and what is common to the whole map.

    Args:
        channels: of the map.
        branch: channels of each convolution.
        outputs: channels of the result.
        rates: dilations.
        bias: whether convolutions have one.
        pooled: whether the mean of the map is looked at too; its batch norm needs two maps to train on.
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
        """(M, C, h, w) to (M, outputs, h, w)."""
        x = x.contiguous()  # of so small a map, less is copied than of the weights if it has channels last
        seen = [branch(x) for branch in self.branches]
        if self.pool is not None:
            seen.append(self.pool(x.mean((-2, -1), keepdim=True)).expand(-1, -1, *x.shape[-2:]))
        return self.project(torch.cat(seen, 1))
