"""Maps as rows of pixels and back, the norm of each channel over them, and two classes as a mask."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5  # of instance norms


def instance_norm(pixels: Tensor) -> Tensor:
    """Each channel of pixels (M, N, D) with mean 0 and variance 1 over them, in float32 at least."""
    # Not F.instance_norm: with channels last it copies, and takes 2.5 times as long (14400 x 128, float32, one thread).
    pixels = pixels.to(torch.promote_types(pixels.dtype, torch.float32))
    centred = pixels - pixels.mean(1, keepdim=True)
    return centred * (centred.square().mean(1, keepdim=True) + EPS).rsqrt()


def as_pixels(x: Tensor) -> Tensor:
    """A map (M, D, h, w) as pixels (M, h * w, D); with channels last in memory, nothing is copied."""
    return x.flatten(2).mT.contiguous()


def as_map(pixels: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Pixels (M, h * w, D) as a map (M, D, h, w); nothing is copied."""
    return pixels.mT.unflatten(-1, size_hw)


def to_image(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Logits (M, h, w, 2) of background and referent, as their difference (M, 1, H, W)."""
    difference = (logits[..., 1].float() - logits[..., 0].float()).unsqueeze(1)
    return F.interpolate(difference, size_hw, mode="bilinear", align_corners=True)
