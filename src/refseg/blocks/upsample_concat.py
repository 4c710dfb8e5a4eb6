"""A decoder step: upsample, concatenate, two convolutions."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.blocks import cpu_convolution as fast
from refseg.blocks.autocast import full_precision
from refseg.blocks.convolution import conv_norm


class JoinScales(nn.Module):
    """Upsamples a coarse map (aligned corners), concatenates a finer one, and applies two conv-norm-ReLU layers."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(conv_norm(inputs, width), conv_norm(width, width))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Fuses maps (M, C, h', w') and (M, D, h, w) to (M, width, h, w)."""
        if self.in_strips(fine):
            return fast.whole(self.strips(coarse, fine), fine)
        if coarse.shape[-2:] != fine.shape[-2:]:
            coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=True)
        both = torch.cat([coarse, fine], dim=1)
        return self.layers(both.contiguous())  # channels last would copy the weights, which are larger

    def read(self, coarse: Tensor, fine: Tensor, head: nn.Module) -> Tensor:
        """Applies a head to each pixel of the result: (M, h, w, width) to (M, h, w, K).

        At inference on a CPU the result is never stored as a whole.
        """
        if self.in_strips(fine):
            strips = (map(head, each) for each in self.strips(coarse, fine))
            return fast.whole(strips, fine).permute(0, 2, 3, 1)
        return head(self(coarse, fine).permute(0, 2, 3, 1))

    def in_strips(self, fine: Tensor) -> bool:
        """Whether `strips` is faster for a finer map (M, D, h, w)."""
        return fast.is_faster(fine) and not self.training

    def strips(self, coarse: Tensor, fine: Tensor) -> Iterator[Iterator[Tensor]]:
        """Yields the result of each of the M pairs as strips of rows (r, w, width)."""
        dtype = fast.precision(fine)
        channels = coarse.shape[1] if coarse.shape[-2:] != fine.shape[-2:] else 0  # to be interpolated
        with full_precision(fine):
            weight, bias = fast.folded(self.layers[0])
            first = fast.convolution(weight[:, channels:], bias, dtype)
            coarse_taps = fast.taps_by_row(weight[:, :channels], dtype)
            del weight
            second = fast.convolution(*fast.folded(self.layers[1]), dtype)
        for one, other in zip(coarse, fine, strict=True):
            if channels:
                doubled = fast.DoubledConvolution(one, coarse_taps, other.shape[-2:])
                strips = fast.joined([other], first, doubled, dtype)
            else:
                strips = fast.joined([one, other], first, None, dtype)
            yield (rows.relu_() for rows in fast.convolved(strips, second))
