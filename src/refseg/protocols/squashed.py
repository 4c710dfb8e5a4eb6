"""The square of 480 x 480 pixels into which LAVT, DMMI, CMIRNet and ReLA squash image and mask before they compare."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.resampling import resample

SIDE = 480


def squashed_logits(logits: Tensor, geometry: Geometry, align_corners: bool) -> Tensor:
    """Logits (N, 1, h', w') of a network on the square (N, 480, 480).

    First to the size of the network's input, as in the releases. That is the square already if the network squashes to
    480 itself; what another one saw of the image is squashed bilinearly, without its padding.
    """
    if logits.shape[-2:] != geometry.padded_hw:
        logits = F.interpolate(logits, geometry.padded_hw, mode="bilinear", align_corners=align_corners)
    if geometry.resized_hw == geometry.padded_hw == (SIDE, SIDE):
        return logits[:, 0]
    rows, columns = ((torch.arange(SIDE).double() + 0.5) * own / SIDE - 0.5 for own in geometry.own_hw)
    return resample(logits, *geometry.taps((rows, columns), geometry.padded_hw))[:, 0]


def squashed_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W) on the square.

    By Pillow's nearest, which adds up steps of W / 480 and so meets ties at 320, 640 and 1280 that no formula repeats.
    """
    square = Image.fromarray(mask.view(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return np.asarray(square).astype(np.bool_)


def squashed_masks(masks: Tensor) -> Tensor:
    """Masks (N, H, W) bool on the square, as the true ones go there."""
    if not len(masks):
        return masks.new_zeros(0, SIDE, SIDE)
    return torch.from_numpy(np.stack([squashed_mask(mask) for mask in masks.cpu().numpy()])).to(masks.device)
