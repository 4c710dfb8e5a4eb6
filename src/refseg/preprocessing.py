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


@dataclass(frozen=True)
class Geometry:
    """Where an image went: its own size, its size for the network, and that with padding at the right and bottom."""

    own_hw: Size
    resized_hw: Size
    padded_hw: Size


class Preprocessing(Config):
    """Resizes to the scale a network was trained at, normalises, pads with the mean.

    Attributes:
        resize: "keep" keeps the image's shape; "square" does not, as most published networks were trained and scored.
        side: of the square that the image becomes, or that has as many pixels as the image that keeps its shape.
        mean, std: of the pixels, 0 to 255, for red, green and blue, or one number for the three.
        multiple_of: the padded height and width are multiples of this.
        longest_side: pixels that neither side of the resized image exceeds.
    """

    resize: Literal["keep", "square"] = "keep"
    side: int = Field(default=128, ge=1, le=4096)
    mean: Rgb = (118.0, 118.0, 118.0)
    std: Rgb = (60.0, 60.0, 60.0)
    multiple_of: int = Field(default=16, ge=1, le=256)
    longest_side: int = Field(default=512, ge=1, le=16384)

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
        if geometry.resized_hw != geometry.own_hw:
            # The same as torchvision's v2 resize, without the seconds that importing torchvision takes.
            pixels = F.interpolate(pixels, geometry.resized_hw, mode="bilinear", antialias=True)
        (height, width), (padded_height, padded_width) = geometry.resized_hw, geometry.padded_hw
        normalised = self.normalise(pixels)[0]
        return F.pad(normalised, (0, padded_width - width, 0, padded_height - height)), geometry

    def geometry(self, own_hw: Size) -> Geometry:
        """Sizes of an image on its way.

        >>> Preprocessing().geometry((480, 640))
        Geometry(own_hw=(480, 640), resized_hw=(111, 148), padded_hw=(112, 160))
        """
        height, width = own_hw
        if self.resize == "square":
            resized = min(self.side, self.longest_side), min(self.side, self.longest_side)
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

    def _padded(self, size: int) -> int:
        return -(-size // self.multiple_of) * self.multiple_of


def without_padding(logits: Tensor, geometry: Geometry) -> Tensor:
    """Logits (M, N, h, w) of the padded image, at whatever resolution, cut to (M, N, *resized_hw)."""
    if logits.shape[-2:] != geometry.padded_hw:
        logits = enlarge(logits, geometry.padded_hw)
    return logits[..., : geometry.resized_hw[0], : geometry.resized_hw[1]]


def enlarge(logits: Tensor, size_hw: Size) -> Tensor:
    """Logits (M, N, h, w) at another size, bilinear."""
    if logits.shape[-2:] == size_hw:
        return logits
    return F.interpolate(logits.float(), size_hw, mode="bilinear", align_corners=False)


def restore(logits: Tensor, geometry: Geometry) -> Tensor:
    """Mask logits (M, 1, h, w) of the network at the image's own size (M, H, W)."""
    return enlarge(without_padding(logits, geometry), geometry.own_hw)[:, 0]


def photographs(side: int) -> Preprocessing:
    """What the published networks do to a photograph: a square, normalised as ImageNet."""
    return Preprocessing(
        resize="square", side=side, mean=IMAGENET_MEAN, std=IMAGENET_STD, multiple_of=32, longest_side=max(side, 512)
    )
