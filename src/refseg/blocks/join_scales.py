"""A step of a decoder from coarse to fine: two maps side by side through two convolutions."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks import fast_convolution as fast
from refseg.encoders.small import conv_norm


class JoinScales(nn.Module):
    """A coarse map, interpolated corner to corner, and a finer one; twice 3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(conv_norm(inputs, width), conv_norm(width, width))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(M, width, h, w) of maps (M, C, h', w') and (M, D, h, w)."""
        if fast.pays(fine) and not self.training:
            return torch.stack([torch.cat(list(strips)) for strips in self._strips(coarse, fine)]).permute(0, 3, 1, 2)
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=True)
        return self.layers(torch.cat([coarse, fine], dim=1))

    def read(self, coarse: Tensor, fine: Tensor, head: nn.Module) -> Tensor:
        """What a head makes of each pixel of the result, (M, h, w, K) of (M, h, w, width).

        At inference on a CPU the result itself never exists as a whole.
        """
        if fast.pays(fine) and not self.training:
            return torch.stack([torch.cat([head(rows) for rows in strips]) for strips in self._strips(coarse, fine)])
        return head(self(coarse, fine).permute(0, 2, 3, 1))

    def _strips(self, coarse: Tensor, fine: Tensor) -> Iterator[Iterator[Tensor]]:
        """What `forward` gives, of each of the M pairs as strips of rows (r, w, width)."""
        dtype = fast.precision(fine)
        with torch.autocast(fine.device.type, enabled=False):
            (weight, bias), last = (fast.folded(conv, norm) for conv, norm, _ in self.layers)
            of_coarse, of_fine = weight.split([coarse.shape[1], fine.shape[1]], dim=1)
            first, second = fast.Convolution(of_fine, bias, dtype), fast.Convolution(*last, dtype)
        for one, other in zip(coarse, fine, strict=True):
            doubled = fast.DoubledConvolution(fast.rows_of(one, dtype), of_coarse, other.shape[-2:])
            strips = fast.joined(fast.rows_of(other, dtype), first, doubled)
            yield (rows.relu_() for rows in fast.convolved(strips, second))
