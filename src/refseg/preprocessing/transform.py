"""Preprocessing: resizes, normalises and pads images for a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from refseg.array_types import RgbValues
from refseg.config import Config
from refseg.lazy import LazyModule
from refseg.preprocessing.geometry import Geometry, Size
from refseg.preprocessing.resampling import Taps, cubic, linear, resample

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
else:
    torch = LazyModule("torch")
    F = LazyModule("torch.nn.functional")

IMAGENET_MEAN: RgbValues = (123.675, 116.28, 103.53)
IMAGENET_STD: RgbValues = (58.395, 57.12, 57.375)
CLIP_MEAN: RgbValues = (122.7709383, 116.7460125, 104.09373615)
CLIP_STD: RgbValues = (68.5005327, 66.6321579, 70.32316305)


class ClipSampling(Config):
    """Frames of a video that make the clip around each frame.

    Attributes:
        offsets: of the clip's frames from the segmented one, ascending; 0 is among them.
    """

    offsets: tuple[Annotated[int, Field(ge=-10_000, le=10_000)], ...] = Field((0,), max_length=256)

    @field_validator("offsets")
    @classmethod
    def _in_order_around_0(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if 0 not in value or list(value) != sorted(set(value)):
            raise ValueError(f"offsets {value} must grow, and 0 must be among them")
        return value

    def around(self, index: int, frames: int) -> list[int]:
        """Returns the frames of the clip around frame `index` in a video of `frames`; its ends are repeated.

        >>> ClipSampling(offsets=(-8, -4, 0, 4, 7)).around(2, 8)
        [0, 0, 2, 6, 7]
        """
        return [min(max(index + offset, 0), frames - 1) for offset in self.offsets]


class Preprocessing(Config):
    """Resizes an image to the scale of the network's training, normalises and pads it.

    Attributes:
        resize: "keep" keeps the aspect ratio; "square" does not, as in most published networks; a letterbox keeps it
            and centres the image in a square: "letterbox" by one cubic warp, as CRIS, "letterbox_rounded" resized
            linearly to rounded sides, as CMPC, "letterbox_truncated" by cubic interpolation, as VLT; "none" leaves the
            image as it is, without padding, for networks that resize it by themselves.
        side: side in pixels of the square, or of a square of the same area as the resized image with "keep".
        mean, std: of the pixels, 0 to 255, for red, green and blue, or one number for all.
        multiple_of: divisor of the padded height and width.
        longest_side: largest side of the resized image in pixels.
        padding: colour of the padding.
        clip: frames of a clip, for networks that take clips.
    """

    resize: Literal["keep", "square", "letterbox", "letterbox_rounded", "letterbox_truncated", "none"] = "keep"
    side: int = Field(default=128, ge=1, le=4096)
    mean: RgbValues = (118.0, 118.0, 118.0)
    std: RgbValues = (60.0, 60.0, 60.0)
    multiple_of: int = Field(default=16, ge=1, le=256)
    longest_side: int = Field(default=512, ge=1, le=16384)
    padding: Literal["mean", "black", "grey"] = "mean"
    clip: ClipSampling = ClipSampling()

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _for_each_channel(cls, value: Any) -> Any:
        return (value,) * 3 if isinstance(value, int | float) else value

    @field_validator("std")
    @classmethod
    def _std_above_0(cls, value: RgbValues) -> RgbValues:
        if min(value) <= 0:
            raise ValueError(f"std {value} must be above 0")
        return value

    def __call__(self, image: NDArray[np.uint8]) -> tuple[Tensor, Geometry]:
        """Converts an image (H, W, 3) uint8 to the network's input (3, h, w) float32, and returns its geometry."""
        geometry = self.geometry((image.shape[0], image.shape[1]))
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        darkest, grey, brightest = (self.normalise(torch.full((1, 3, 1, 1), value)) for value in (0, 127.5, 255))
        ground = {"mean": torch.zeros_like(grey), "black": darkest, "grey": grey}[self.padding]
        if geometry.scale is not None:
            rows, columns = _warp(geometry)
            pixels, rows = _read_rows(pixels, rows)
            warped = resample(self.normalise(pixels) - ground, rows, columns) + ground
            return warped.clamp(darkest, brightest)[0], geometry  # cubic interpolation overshoots
        if geometry.offset_hw is not None:
            pixels = self._resized(pixels, geometry)
        elif geometry.resized_hw != geometry.own_hw:
            # the same as torchvision's v2 resize, which takes seconds to import
            pixels = F.interpolate(pixels, geometry.resized_hw, mode="bilinear", antialias=True)
        pixels = pixels.contiguous()  # normalising channel by channel takes half the time
        if geometry.resized_hw == geometry.padded_hw:
            return self.normalise(pixels)[0], geometry
        (height, width), (padded_height, padded_width) = geometry.resized_hw, geometry.padded_hw
        top, left = geometry.offset_hw or (0, 0)
        normalised = (self.normalise(pixels) - ground)[0]
        around = left, padded_width - width - left, top, padded_height - height - top
        return F.pad(normalised, around) + ground[0], geometry

    def geometry(self, own_hw: Size) -> Geometry:
        """Computes the geometry of an image of height and width `own_hw`.

        >>> Preprocessing().geometry((480, 640))
        Geometry(own_hw=(480, 640), resized_hw=(111, 148), padded_hw=(112, 160), offset_hw=None, scale=None)
        """
        if self.resize == "none":
            return Geometry(own_hw, own_hw, own_hw)
        height, width = own_hw
        side = min(self.side, self.longest_side)
        if self.resize.startswith("letterbox"):
            side = self._padded(side)
            scale = side / max(own_hw)
            whole = int if self.resize == "letterbox_truncated" else round
            resized = max(1, whole(height * scale)), max(1, whole(width * scale))
            offset = (side - resized[0]) // 2, (side - resized[1]) // 2
            return Geometry(own_hw, resized, (side, side), offset, scale if self.resize == "letterbox" else None)
        if self.resize == "square":
            resized = side, side
        else:
            scale = min(self.side / (height * width) ** 0.5, self.longest_side / max(own_hw))
            resized = max(1, round(height * scale)), max(1, round(width * scale))
        return Geometry(own_hw, resized, (self._padded(resized[0]), self._padded(resized[1])))

    def normalise(self, images: Tensor) -> Tensor:
        """Normalises images of 0 to 255, (B, 3, H, W) or (B, H, W, 3), to (B, 3, H, W) float32."""
        if images.shape[1] != 3:
            images = images.permute(0, 3, 1, 2)
        mean, std = (torch.tensor(value, device=images.device).view(3, 1, 1) for value in (self.mean, self.std))
        return images.to(torch.float32, copy=True).sub_(mean).div_(std)

    def denormalise(self, normalised: Tensor) -> NDArray[np.uint8]:
        """Converts a normalised image (3, H, W) to pixels (H, W, 3) uint8."""
        mean, std = (torch.tensor(value, device=normalised.device).view(3, 1, 1) for value in (self.mean, self.std))
        pixels: NDArray[np.uint8] = (
            (normalised * std + mean).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        )
        return pixels

    def _resized(self, pixels: Tensor, geometry: Geometry) -> Tensor:
        """Resizes pixels (1, 3, H, W) uint8 for a letterbox, rounded and without antialiasing, as in the releases."""
        cubics, sizes = self.resize == "letterbox_truncated", zip(geometry.own_hw, geometry.resized_hw, strict=True)
        axes = ((own, (torch.arange(n).double() + 0.5) * own / n - 0.5) for own, n in sizes)
        rows, columns = (cubic(at, own) if cubics else linear(at, own, "zeros") for own, at in axes)
        pixels, rows = _read_rows(pixels, rows)
        return resample(pixels.float(), rows, columns).round().clamp(0, 255)

    def _padded(self, size: int) -> int:
        return -(-size // self.multiple_of) * self.multiple_of


def _read_rows(pixels: Tensor, rows: Taps) -> tuple[Tensor, Taps]:
    """Selects the rows of pixels (1, 3, H, W) that are read, and returns the taps on these; most may be unread."""
    read, places = rows.pixels.unique(return_inverse=True)
    return pixels.index_select(-2, read), Taps(places, rows.weight)


def _warp(geometry: Geometry) -> tuple[Taps, Taps]:
    """Returns the taps that each row and column of the padded image reads of the image."""
    axes = zip(geometry.placed(), geometry.own_hw, geometry.padded_hw, strict=True)
    rows, columns = (cubic((torch.arange(n) - start) / slope, own, "zeros") for (slope, start), own, n in axes)
    return rows, columns


def photographs(side: int) -> Preprocessing:
    """Returns the usual preprocessing of published networks: a square, normalised as for ImageNet."""
    return Preprocessing(
        resize="square", side=side, mean=IMAGENET_MEAN, std=IMAGENET_STD, multiple_of=32, longest_side=max(side, 512)
    )


def clip_photographs(side: int) -> Preprocessing:
    """Returns CRIS's preprocessing: a letterbox, normalised as for CLIP."""
    return Preprocessing(
        resize="letterbox", side=side, mean=CLIP_MEAN, std=CLIP_STD, multiple_of=32, longest_side=max(side, 512)
    )
