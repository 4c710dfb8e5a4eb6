"""Image to network size, and what the network says back to the image's own size."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from refseg.config import Config

Size = tuple[int, int]  # height, width
Rgb = tuple[float, float, float]
IMAGENET_MEAN: Rgb = (123.675, 116.28, 103.53)
IMAGENET_STD: Rgb = (58.395, 57.12, 57.375)
CLIP_MEAN: Rgb = (122.7709383, 116.7460125, 104.09373615)
CLIP_STD: Rgb = (68.5005327, 66.6321579, 70.32316305)


@dataclass(frozen=True)
class Geometry:
    """Where an image went: its own size, its size for the network, and that with padding.

    Attributes:
        scale: of an image in the middle of the padding, whose resized size is rounded: pixel i of n is at
            scale * i + (padded - scale * n) / 2; None: the padding is at the right and bottom.
    """

    own_hw: Size
    resized_hw: Size
    padded_hw: Size
    scale: float | None = None


class Preprocessing(Config):
    """Resizes to the scale a network was trained at, normalises, pads with the mean.

    Attributes:
        resize: "keep" keeps the image's shape; "square" does not, as most published networks were trained and scored;
            "letterbox" keeps it and puts the image into the middle of a square, as CRIS.
        side: of the square that the image becomes or is put into, or that has as many pixels as the image that keeps
            its shape.
        mean, std: of the pixels, 0 to 255, for red, green and blue, or one number for the three.
        multiple_of: the padded height and width are multiples of this.
        longest_side: pixels that neither side of the resized image exceeds.
        padding: what colour the padding has.
    """

    resize: Literal["keep", "square", "letterbox"] = "keep"
    side: int = Field(default=128, ge=1, le=4096)
    mean: Rgb = (118.0, 118.0, 118.0)
    std: Rgb = (60.0, 60.0, 60.0)
    multiple_of: int = Field(default=16, ge=1, le=256)
    longest_side: int = Field(default=512, ge=1, le=16384)
    padding: Literal["mean", "black"] = "mean"

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _for_each_channel(cls, value: Any) -> Any:
        return (value,) * 3 if isinstance(value, int | float) else value

    @field_validator("std")
    @classmethod
    def _std_above_0(cls, value: Rgb) -> Rgb:
        if min(value) <= 0:
            raise ValueError(f"std {value} must be above 0")
        return value

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Tensor, Geometry]:
        """An image (H, W, 3) uint8 as (3, h, w) float32 for the network, and the way back."""
        geometry = self.geometry((image.shape[0], image.shape[1]))
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        darkest, brightest = (self.normalise(torch.full((1, 3, 1, 1), value)) for value in (0, 255))
        ground = darkest if self.padding == "black" else torch.zeros_like(darkest)
        if geometry.scale is not None:
            warped = _sample(self.normalise(pixels) - ground, _warp(geometry), "zeros") + ground
            return warped.clamp(darkest, brightest)[0], geometry  # a cubic goes beyond what it joins
        if geometry.resized_hw != geometry.own_hw:
            # The same as torchvision's v2 resize, without the seconds that importing torchvision takes.
            pixels = F.interpolate(pixels, geometry.resized_hw, mode="bilinear", antialias=True)
        (height, width), (padded_height, padded_width) = geometry.resized_hw, geometry.padded_hw
        normalised = (self.normalise(pixels) - ground)[0]
        return F.pad(normalised, (0, padded_width - width, 0, padded_height - height)) + ground[0], geometry

    def geometry(self, own_hw: Size) -> Geometry:
        """Sizes of an image on its way.

        >>> Preprocessing().geometry((480, 640))
        Geometry(own_hw=(480, 640), resized_hw=(111, 148), padded_hw=(112, 160), scale=None)
        """
        height, width = own_hw
        side = min(self.side, self.longest_side)
        if self.resize == "letterbox":
            side = self._padded(side)
            scale = side / max(own_hw)
            return Geometry(own_hw, (max(1, round(height * scale)), max(1, round(width * scale))), (side, side), scale)
        if self.resize == "square":
            resized = side, side
        else:
            scale = min(self.side / (height * width) ** 0.5, self.longest_side / max(own_hw))
            resized = max(1, round(height * scale)), max(1, round(width * scale))
        return Geometry(own_hw, resized, (self._padded(resized[0]), self._padded(resized[1])))

    def normalise(self, images: Tensor) -> Tensor:
        """Images of 0 to 255, (B, 3, H, W) or (B, H, W, 3), as (B, 3, H, W) float32 around 0."""
        if images.shape[1] != 3:
            images = images.permute(0, 3, 1, 2)
        mean, std = (torch.tensor(value, device=images.device).view(3, 1, 1) for value in (self.mean, self.std))
        return (images.float() - mean) / std

    def colours(self, normalised: Tensor) -> NDArray[np.uint8]:
        """A normalised image (3, H, W) as it looked, (H, W, 3) uint8."""
        mean, std = (torch.tensor(value, device=normalised.device).view(3, 1, 1) for value in (self.mean, self.std))
        pixels: NDArray[np.uint8] = (
            (normalised * std + mean).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        )
        return pixels

    def _padded(self, size: int) -> int:
        return -(-size // self.multiple_of) * self.multiple_of


def without_padding(logits: Tensor, geometry: Geometry) -> Tensor:
    """Logits (M, N, h, w) of the padded image, at whatever resolution, cut to (M, N, *resized_hw)."""
    (height, width), (padded_height, padded_width) = geometry.resized_hw, geometry.padded_hw
    logits = enlarge(logits, geometry.padded_hw)
    if geometry.scale is None:
        return logits[..., :height, :width]
    top, left = (padded_height - height) // 2, (padded_width - width) // 2
    return logits[..., top : top + height, left : left + width]


def enlarge(logits: Tensor, size_hw: Size) -> Tensor:
    """Logits (M, N, h, w) at another size, bilinear."""
    if logits.shape[-2:] == size_hw:
        return logits
    return F.interpolate(logits.float(), size_hw, mode="bilinear", align_corners=False)


def restore(logits: Tensor, geometry: Geometry) -> Tensor:
    """Mask logits (M, 1, h, w) of the network at the image's own size (M, H, W).

    Out of a letterbox they come as the image went in, bicubic. CRIS does this to probabilities, which moves an edge by
    a fraction of a pixel.
    """
    if geometry.scale is not None:
        return _sample(enlarge(logits, geometry.padded_hw).float(), _warp_back(geometry), "border")[:, 0]
    return enlarge(without_padding(logits, geometry), geometry.own_hw)[:, 0]


def _warp(geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Row and column of the image's own that each row and each column of the padded one shows."""
    assert geometry.scale is not None
    scale, sizes = geometry.scale, zip(geometry.own_hw, geometry.padded_hw, strict=True)
    rows, columns = ((torch.arange(padded) - (padded - scale * own) / 2) / scale for own, padded in sizes)
    return rows, columns


def _warp_back(geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Row and column of the padded image that each row and each column of the image's own shows."""
    assert geometry.scale is not None
    scale, sizes = geometry.scale, zip(geometry.own_hw, geometry.padded_hw, strict=True)
    rows, columns = (scale * torch.arange(own) + (padded - scale * own) / 2 for own, padded in sizes)
    return rows, columns


def _sample(maps: Tensor, rows_columns: tuple[Tensor, Tensor], beyond: Literal["zeros", "border"]) -> Tensor:
    """Maps (M, C, h, w) at rows (H,) and columns (W,), (M, C, H, W): bicubic, pixels where their numbers say."""
    rows, columns = (
        ((2 * place + 1) / size - 1).to(maps.device)  # -1 and 1 are the edges of the first and the last pixel
        for place, size in zip(rows_columns, maps.shape[-2:], strict=True)
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, grid, mode="bicubic", padding_mode=beyond, align_corners=False)


def photographs(side: int) -> Preprocessing:
    """What the published networks do to a photograph: a square, normalised as ImageNet."""
    return Preprocessing(
        resize="square", side=side, mean=IMAGENET_MEAN, std=IMAGENET_STD, multiple_of=32, longest_side=max(side, 512)
    )


def clip_photographs(side: int) -> Preprocessing:
    """What CRIS does to a photograph: in the middle of a square, normalised as CLIP."""
    return Preprocessing(
        resize="letterbox", side=side, mean=CLIP_MEAN, std=CLIP_STD, multiple_of=32, longest_side=max(side, 512)
    )
