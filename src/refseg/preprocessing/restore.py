"""Resizing of logits and masks to the image's own size."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from refseg.lazy import LazyModule
from refseg.preprocessing.above import find_above
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.resampling import MapTaps, Taps, resample

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
else:
    torch = LazyModule("torch")
    F = LazyModule("torch.nn.functional")


def crop_padding(logits: Tensor, geometry: Geometry) -> Tensor:
    """Resizes logits (M, N, h, w) of the padded image, of any size, and crops them to (M, N, *resized_hw)."""
    (height, width), (top, left) = geometry.resized_hw, geometry.offset_hw or (0, 0)
    return resize_logits(logits, geometry.padded_hw)[..., top : top + height, left : left + width]


def resize_logits(logits: Tensor, size_hw: Size) -> Tensor:
    """Resizes logits (M, N, h, w) bilinearly to (M, N, *size_hw)."""
    if logits.shape[-2:] == size_hw:
        return logits
    return F.interpolate(logits.float(), size_hw, mode="bilinear", align_corners=False)


def to_image_size(
    logits: Tensor, geometry: Geometry, rows: slice = slice(None), columns: slice = slice(None)
) -> Tensor:
    """Resizes mask logits (M, 1, h, w) to the image's own size (M, H, W), or to some of its rows and columns.

    They are interpolated once, bilinearly, without the padding.
    """
    if geometry.is_grid((logits.shape[-2], logits.shape[-1])):
        return logits[:, 0, rows, columns].float()
    down, across = _taps(geometry, (logits.shape[-2], logits.shape[-1]))
    down, across = Taps(down.pixels[rows], down.weight[rows]), Taps(across.pixels[columns], across.weight[columns])
    first, last = int(down.pixels.min()), int(down.pixels.max())
    read = logits[..., first : last + 1, :].float()
    return resample(read, Taps(down.pixels - first, down.weight), across)[:, 0]


def mask_at_image_size(logits: Tensor, geometry: Geometry) -> Tensor:
    """Thresholds `to_image_size` at 0 to masks (M, H, W) bool on the CPU, computed around positive logits only."""
    if geometry.is_grid((logits.shape[-2], logits.shape[-1])):
        return (logits[:, 0].detach() > 0).cpu()
    steps = [_map_taps(geometry, (logits.shape[-2], logits.shape[-1]))]
    masks = np.zeros((len(logits), *geometry.own_hw), np.bool_)
    for k, grid in enumerate(logits[:, 0].detach().float().cpu().numpy()):
        masks[k] = find_above(grid, steps, threshold=0.0, reach=0.0)
    return torch.from_numpy(masks)


@lru_cache(maxsize=64)
def _taps(geometry: Geometry, grid_hw: Size) -> tuple[Taps, Taps]:
    """Returns the taps that each row and each column of the image reads of the logits."""
    with torch.inference_mode(False):  # cached tensors outlive the caller's mode
        height, width = geometry.own_hw
        return geometry.taps((torch.arange(height), torch.arange(width)), grid_hw)


@lru_cache(maxsize=64)
def _map_taps(geometry: Geometry, grid_hw: Size) -> tuple[MapTaps, MapTaps]:
    rows, columns = _taps(geometry, grid_hw)
    return MapTaps.of(rows), MapTaps.of(columns)
