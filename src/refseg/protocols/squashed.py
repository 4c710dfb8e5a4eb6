"""Logits and masks squashed to 480 x 480 pixels, as LAVT, DMMI, CMIRNet and ReLA compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.lazy import LazyModule
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.resampling import resample

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
else:
    torch = LazyModule("torch")
    F = LazyModule("torch.nn.functional")

SIDE = 480


def squashed_logits(logits: Tensor, geometry: Geometry, align_corners: bool) -> Tensor:
    """Resizes logits (N, 1, h', w') to the square (N, 480, 480).

    They are first resized to the network's input, as in the releases. That is the square already if the network
    squashes to 480 itself; otherwise the image without its padding is squashed bilinearly.
    """
    if logits.shape[-2:] != geometry.padded_hw:
        logits = F.interpolate(logits, geometry.padded_hw, mode="bilinear", align_corners=align_corners)
    if geometry.resized_hw == geometry.padded_hw == (SIDE, SIDE):
        return logits[:, 0]
    rows, columns = ((torch.arange(SIDE).double() + 0.5) * own / SIDE - 0.5 for own in geometry.own_hw)
    return resample(logits, *geometry.taps((rows, columns), geometry.padded_hw))[:, 0]


def squashed_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Resizes a mask (H, W) to the square by nearest neighbour.

    Pillow adds up steps of W / 480, so that its ties at 320, 640 and 1280 follow no formula.
    """
    square = Image.fromarray(mask.view(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return np.asarray(square).astype(np.bool_)


def squashed_masks(masks: Tensor) -> Tensor:
    """Resizes masks (N, H, W) bool to the square in the same way as the true ones."""
    if not len(masks):
        return masks.new_zeros(0, SIDE, SIDE)
    return torch.from_numpy(np.stack([squashed_mask(mask) for mask in masks.cpu().numpy()])).to(masks.device)
