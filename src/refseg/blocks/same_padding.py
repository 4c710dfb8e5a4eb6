"""TensorFlow's "SAME" padding, which networks that come from there need."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Maps (B, C, ...) with the zeros that make a layer's result as large as they are, divided by its stride.

    Where a kernel does not fit evenly, the end has the larger share.
    """
    sides: list[int] = []
    for size, taps, step in zip(x.shape[2:], kernel, stride, strict=True):
        more = max((-(-size // step) - 1) * step + taps - size, 0)
        sides = [more // 2, more - more // 2, *sides]  # torch wants the last axis first
    return F.pad(x, sides) if any(sides) else x
