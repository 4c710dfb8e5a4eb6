"""Logits and masks squashed to 480 x 480 pixels, as LAVT, DMMI, CMIRNet and ReLA compare them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.lazy import LazyModule
from refseg.preprocessing.above import Step, threshold_maps, to_steps
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.resampling import interpolation, resample

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
    if _is_square(geometry):
        return logits[:, 0]
    return resample(logits, *geometry.taps(_square_places(geometry), geometry.padded_hw))[:, 0]


def squashed_above(
    logits: Tensor, geometry: Geometry, align_corners: bool, in_full: Callable[[Tensor], Tensor]
) -> Tensor:
    """Returns where `squashed_logits` of (N, 1, h', w') are above 0, (N, 480, 480) bool, computed around that alone.

    Args:
        logits: from the network.
        geometry: position of the image in its input.
        align_corners: as of `squashed_logits`.
        in_full: function of `squashed_logits` that decides where rounding could.
    """
    steps = _steps(geometry, (logits.shape[-2], logits.shape[-1]), align_corners)
    return threshold_maps(
        logits[:, 0], steps, 0.0, 0.0, lambda some: in_full(squashed_logits(some[:, None], geometry, align_corners))
    )


@lru_cache(maxsize=64)
def _steps(geometry: Geometry, grid_hw: Size, align_corners: bool) -> list[Step]:
    """Returns the interpolations of `squashed_logits`."""
    steps = []
    if grid_hw != geometry.padded_hw:
        rows, columns = (
            interpolation(side, cells, "bilinear", align_corners)
            for side, cells in zip(geometry.padded_hw, grid_hw, strict=True)
        )
        steps.append((rows, columns))
    if not _is_square(geometry):
        steps.append(geometry.taps(_square_places(geometry), geometry.padded_hw))
    return to_steps(steps)


def _is_square(geometry: Geometry) -> bool:
    return geometry.resized_hw == geometry.padded_hw == (SIDE, SIDE)


def _square_places(geometry: Geometry) -> tuple[Tensor, Tensor]:
    rows, columns = ((torch.arange(SIDE).double() + 0.5) * own / SIDE - 0.5 for own in geometry.own_hw)
    return rows, columns


def squashed_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Resizes a mask (H, W) to the square by nearest neighbour.

    Pillow adds up steps of W / 480, so that its ties at 320, 640 and 1280 follow no formula.
    """
    if mask.shape == (SIDE, SIDE):
        return mask
    square = Image.fromarray(mask.view(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return np.asarray(square).astype(np.bool_)


def squashed_masks(masks: Tensor) -> Tensor:
    """Resizes masks (N, H, W) bool to the square in the same way as the true ones."""
    if not len(masks):
        return masks.new_zeros(0, SIDE, SIDE)
    return torch.from_numpy(np.stack([squashed_mask(mask) for mask in masks.cpu().numpy()])).to(masks.device)
