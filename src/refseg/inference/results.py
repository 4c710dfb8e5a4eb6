"""Results: the answer to one expression, and its export formats."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from refseg.array_types import Mask, PixelBox, PolygonList
from refseg.masks.boxes import mask_box
from refseg.masks.overlay import coloured
from refseg.masks.polygons import polygons
from refseg.masks.rle import encode_rle
from refseg.preprocessing.restore import resize_logits


@dataclass(eq=False, repr=False)
class Result:
    """The answer to one expression about one image of H x W pixels.

    Attributes:
        expression: the expression.
        image: (H, W, 3) uint8, RGB.
        mask: (H, W) bool, True on what the expression refers to; empty when nothing matches.
        exists: probability that the expression refers to anything.
        logits: (h, w) mask logits at the network's resolution, without padding.
        instance_map: (H, W) uint8, 0 outside of the mask, k on its k-th object; None if the network knows no objects.
        warnings: one line each: why the answer may be worthless.
        unknown_words: words of the expression that the network has never seen.
        source: what the image is, for those who get the result as a file; "" if unknown.
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
        values: NDArray[np.float32] = resize_logits(self.logits[None, None], (height, width))[0, 0].sigmoid().numpy()
        return values

    @property
    def instances(self) -> list[Mask]:
        """(H, W) bool, one mask for each object; together they are the mask. Empty if the network knows no objects."""
        return list(self._instances())

    @cached_property
    def box(self) -> PixelBox | None:
        """Left, top, right, bottom of the mask in pixels (right and bottom just outside); None when nothing matches."""
        return mask_box(self.mask)

    @cached_property
    def boxes(self) -> list[PixelBox]:
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
        return encode_rle(self.mask)

    def polygons(self) -> list[PolygonList]:
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
                {"box": list(box), "area": int(np.count_nonzero(mask)), "rle": encode_rle(mask)}
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
