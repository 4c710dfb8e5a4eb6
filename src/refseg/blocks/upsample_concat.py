"""A step of a decoder from coarse to fine: two maps side by side through two convolutions."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks import cpu_convolution as fast
from refseg.blocks.autocast import full_precision
from refseg.blocks.convolution import conv_norm


class JoinScales(nn.Module):
    """A coarse map, interpolated corner to corner, and a finer one; twice 3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(conv_norm(inputs, width), conv_norm(width, width))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(M, width, h, w) of maps (M, C, h', w') and (M, D, h, w)."""
        if self.in_strips(fine):
            return fast.whole(self.strips(coarse, fine), fine)
        if coarse.shape[-2:] != fine.shape[-2:]:
            coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=True)
        both = torch.cat([coarse, fine], dim=1)
        return self.layers(both.contiguous())  # with channels last, weights would be copied, which are larger here

    def read(self, coarse: Tensor, fine: Tensor, head: nn.Module) -> Tensor:
        """What a head makes of each pixel of the result, (M, h, w, K) of (M, h, w, width).

        At inference on a CPU the result itself never exists as a whole.
        """
        if self.in_strips(fine):
            strips = (map(head, each) for each in self.strips(coarse, fine))
            return fast.whole(strips, fine).permute(0, 2, 3, 1)
        return head(self(coarse, fine).permute(0, 2, 3, 1))

    def in_strips(self, fine: Tensor) -> bool:
        """Whether it is worth while to compute `strips`, for a finer map (M, D, h, w)."""
        return fast.pays(fine) and not self.training

    def strips(self, coarse: Tensor, fine: Tensor) -> Iterator[Iterator[Tensor]]:
        """What `forward` gives, of each of the M pairs as strips of rows (r, w, width)."""
        dtype = fast.precision(fine)
        channels = coarse.shape[1] if coarse.shape[-2:] != fine.shape[-2:] else 0  # that are interpolated
        with full_precision(fine):
            weight, bias = fast.folded(self.layers[0])
            first = fast.convolution(weight[:, channels:], bias, dtype)
            of_coarse = fast.taps_by_row(weight[:, :channels], dtype)
            del weight
            second = fast.convolution(*fast.folded(self.layers[1]), dtype)
        for one, other in zip(coarse, fine, strict=True):
            if channels:
                doubled = fast.DoubledConvolution(one, of_coarse, other.shape[-2:])
                strips = fast.joined([other], first, doubled, dtype)
            else:
                strips = fast.joined([one, other], first, None, dtype)
            yield (rows.relu_() for rows in fast.convolved(strips, second))
