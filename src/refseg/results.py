"""What the answer to one expression is, and the forms that others want it in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from refseg.boxes import Box, mask_box
from refseg.images import strips
from refseg.outlines import Polygon, polygons
from refseg.preprocessing import enlarge

Mask = NDArray[np.bool_]
COLOURS = ((255, 64, 64), (64, 160, 255), (64, 208, 96), (255, 176, 32), (192, 96, 255), (0, 208, 208), (255, 96, 192))


@dataclass(eq=False, repr=False)
class Result:
    """The answer to one expression about one image of H x W pixels.

    Attributes:
        expression: what was asked.
        image: (H, W, 3) uint8, RGB.
        mask: (H, W) bool, True on what the expression refers to; empty when nothing matches.
        exists: probability that the expression refers to anything.
        logits: (h, w) mask logits at the network's resolution, without padding.
        instance_map: (H, W) uint8, 0 outside of the mask, k on its k-th object; None if the network knows no objects.
        warnings: one line each: why the answer may be worthless.
        unknown_words: words of the expression that the network has never seen.
        source: what the image is, for those who get the result as a file; "" if nobody has said.
    """

    expression: str
    image: NDArray[np.uint8]
    mask: Mask
    exists: float
    logits: Tensor
    instance_map: NDArray[np.uint8] | None = None
    warnings: tuple[str, ...] = ()
    unknown_words: tuple[str, ...] = ()
    source: str = ""

    def __repr__(self) -> str:
        found = f"{len(self.boxes)} found, {self.area} px ({self.share:.1%})" if self.found else "nothing matches"
        doubt = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"Result({self.expression!r}: {found}, exists {self.exists:.2f}{doubt})"

    @cached_property
    def found(self) -> bool:
        """Whether the mask has any pixel."""
        return bool(self.mask.any())

    @cached_property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))

    @property
    def share(self) -> float:
        """Part of the image that the mask covers, 0 to 1."""
        return self.area / self.mask.size

    @property
    def probability(self) -> NDArray[np.float32]:
        """(H, W) float32: probability of each pixel, above 0.5 in the mask; computed anew each time."""
        height, width = self.mask.shape
        values: NDArray[np.float32] = enlarge(self.logits[None, None], (height, width))[0, 0].sigmoid().numpy()
        return values

    @property
    def instances(self) -> list[Mask]:
        """(H, W) bool, one mask for each object; together they are the mask. Empty if the network knows no objects."""
        return list(self._instances())

    @cached_property
    def box(self) -> Box | None:
        """Left, top, right, bottom of the mask in pixels (right and bottom just outside); None when nothing matches."""
        return mask_box(self.mask)

    @cached_property
    def boxes(self) -> list[Box]:
        """As `box`, for each object; for the whole mask where the network knows no objects."""
        masks = self._instances() if self.instance_map is not None else [self.mask]
        return [box for box in map(mask_box, masks) if box is not None]

    def overlay(self) -> Image.Image:
        """The image with the mask's objects coloured and outlined."""
        return Image.fromarray(
            coloured(self.image, self._instances() if self.instance_map is not None else [self.mask])
        )

    def rle(self) -> dict[str, Any]:
        """The mask in COCO's compressed run-length code: {"size": [H, W], "counts": str}."""
        return run_lengths(self.mask)

    def polygons(self) -> list[Polygon]:
        """The outlines [x, y, x, y, ...] of the mask's connected parts in pixels; holes as `outlines.polygons` says."""
        return polygons(self.mask)

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, ready for JSON."""
        return {
            "expression": self.expression,
            "found": self.found,
            "exists": round(self.exists, 6),
            "size": list(self.mask.shape),
            "area": self.area,
            "box": list(self.box) if self.box else None,
            "rle": self.rle(),
            "instances": [
                {"box": list(box), "area": int(np.count_nonzero(mask)), "rle": run_lengths(mask)}
                for box, mask in zip(self.boxes, self._instances(), strict=False)
            ],
            "warnings": list(self.warnings),
            "unknown_words": list(self.unknown_words),
            **({"source": self.source} if self.source else {}),
        }

    def _instances(self) -> Iterator[Mask]:
        """One after the other: of a large image they take much memory."""
        if self.instance_map is not None:
            yield from (self.instance_map == k for k in range(1, int(self.instance_map.max()) + 1))


@dataclass(eq=False, repr=False)
class FrameResult(Result):
    """The answer to one expression about one frame of a video.

    Attributes:
        index: of the frame, from 0.
        seconds: from the beginning of the video.
    """

    index: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, ready for JSON."""
        return {"frame": self.index, "seconds": round(self.seconds, 6), **super().to_dict()}


def coloured(image: NDArray[np.uint8], regions: Iterable[Mask]) -> NDArray[np.uint8]:
    """The image (H, W, 3) with regions (H, W) coloured and outlined, each in the next colour; a copy."""
    pixels = image.copy()
    for k, region in enumerate(regions):
        _tint(pixels, region, COLOURS[k % len(COLOURS)])
    return pixels


def tinted(image: NDArray[np.uint8], region: Mask, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The image (H, W, 3) with a region (H, W) coloured and outlined; a copy."""
    pixels = image.copy()
    _tint(pixels, region, colour)
    return pixels


def _tint(pixels: NDArray[np.uint8], region: Mask, colour: tuple[int, int, int]) -> None:
    box = mask_box(region)
    if box is None:
        return
    left, top, right, bottom = box
    thickness = max(1, round(max(region.shape) / 400))
    region = region[top:bottom, left:right]
    inner = _eroded(region, thickness)
    part = pixels[top:bottom, left:right]
    for rows in strips(slice(0, bottom - top), right - left):
        inside, outline = inner[rows], region[rows] & ~inner[rows]
        part[rows][inside] = (part[rows][inside].astype(np.uint16) + np.array(colour, np.uint16)) // 2
        part[rows][outline] = colour


def _eroded(region: Mask, thickness: int) -> Mask:
    """The pixels of a region (H, W) that are farther than so many rows and columns from all others."""
    inner = np.pad(region, thickness)
    for across in (False, True):
        inner, seen = inner.T if across else inner, 1
        while seen < 2 * thickness + 1:  # each pixel stands for those that it sees, twice as many each time
            step = min(seen, 2 * thickness + 1 - seen)
            inner, seen = inner[:-step] & inner[step:], seen + step
    return inner.T


def mask_of(run_lengths: Mapping[str, Any]) -> Mask:
    """The mask (H, W) of COCO's compressed run-length code."""
    from pycocotools import mask as coco

    mask: Mask = coco.decode({**run_lengths, "counts": run_lengths["counts"].encode()}).astype(bool)
    return mask


def run_lengths(mask: Mask) -> dict[str, Any]:
    """A mask (H, W) in COCO's compressed run-length code: {"size": [H, W], "counts": str}."""
    from pycocotools import mask as coco

    code = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(size) for size in code["size"]], "counts": code["counts"].decode()}
