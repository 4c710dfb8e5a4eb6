"""TensorFlow's "SAME" padding."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Pads maps (B, C, ...) with zeros so that a layer's result has their size divided by its stride, rounded up.

    The larger part of uneven padding is at the end.
    """
    sides: list[int] = []
    for size, taps, step in zip(x.shape[2:], kernel, stride, strict=True):
        more = max((-(-size // step) - 1) * step + taps - size, 0)
        sides = [more // 2, more - more // 2, *sides]  # F.pad takes the last axis first
    return F.pad(x, sides) if any(sides) else x
