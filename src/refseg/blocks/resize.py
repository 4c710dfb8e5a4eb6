"""Maps of another size, interpolated bilinearly with corners not aligned (`align_corners=False`)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def resize_map(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Resizes a map (M, C, h, w); one of that size is returned itself."""
    if tuple(x.shape[-2:]) == tuple(size_hw):
        return x
    return F.interpolate(x, tuple(size_hw), mode="bilinear", align_corners=False)


def upsample(x: Tensor) -> Tensor:
    """Upsamples a map (M, C, h, w) to twice its size."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
