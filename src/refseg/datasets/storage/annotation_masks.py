"""Masks in the forms of annotations: polygons, run lengths, MATLAB and image files; drawn as their union.

The order of run lengths is COCO's: down the columns, first how many pixels are outside.
"""

import os
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from refseg.array_types import Mask, Polygon
from refseg.datasets.matlab import read_array
from refseg.errors import InvalidInput, MissingFile, first_line, shortened, unreadable
from refseg.masks.rle import Rle, check_total, decode_rle, decompress_runs, parse_rle
from refseg.preprocessing.images import open_image

CoveredTwice = Literal["kept", "lost"]


MAX_COORDINATE = 1e5
"""Pixels; a polygon with a corner farther away is refused."""


MAX_OUTLINE_LENGTH = 2e6
"""Pixels along all outlines of an object, since drawing takes memory and time by them."""


MAX_LABELS, MAX_LABEL = 12, 64
"""Different values in an image of labels, black among them; where there are more, none of them is higher."""


_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")


_BETWEEN_OF_IMAGE, _BETWEEN_OF_MASK = 0.1, 0.75


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A file with a mask: MATLAB (.mat of ReferIt) or any image, where the region is white, or black if `inverted`."""

    path: str
    inverted: bool = False


Piece = Polygon | Rle | MaskFile
"""A mask is a union of pieces."""


def parse_segmentation(segmentation: Any) -> list[Piece]:
    """Parses a segmentation of COCO: polygons, run lengths (either kind), or a list of those.

    Polygons of fewer than 3 points, which COCO has, are left out.

    Raises:
        InvalidInput: if it is none of these.
    """
    if isinstance(segmentation, Mapping):
        return [parse_rle(segmentation)]
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str | bytes):
        raise InvalidInput(f"a segmentation is a list of polygons or run lengths, not {_shown(segmentation)}")
    pieces: list[Piece] = []
    for part in segmentation:
        piece = parse_rle(part) if isinstance(part, Mapping) else parse_polygon(part)
        if piece is not None:
            pieces.append(piece)
    return pieces


def parse_polygon(corners: Any) -> Polygon | None:
    """Parses a polygon [x, y, x, y, ...] or [[x, y], ...]; None if it has fewer than 3 points.

    Raises:
        InvalidInput: if it is not that, or goes beyond `MAX_COORDINATE`.
    """
    try:
        polygon = np.array(corners, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"a polygon is [x, y, x, y, ...] or [[x, y], ...], not {_shown(corners)}") from error
    if polygon.size and (polygon.ndim > 2 or polygon.size % 2 or (polygon.ndim == 2 and polygon.shape[1] != 2)):
        raise InvalidInput(f"a polygon is [x, y, x, y, ...] or [[x, y], ...], not {_shown(corners)}")
    if not (np.abs(polygon) <= MAX_COORDINATE).all():  # also NaN
        raise InvalidInput(f"a polygon has a corner that is not a number or lies beyond {MAX_COORDINATE:g} pixels")
    return polygon.reshape(-1) if polygon.size >= 6 else None


def draw(pieces: Sequence[Piece], size_hw: tuple[int, int], covered_twice: CoveredTwice = "kept") -> Mask:
    """Draws the mask (H, W) of an object: the union of its pieces.

    Args:
        pieces: of one object.
        size_hw: of the image.
        covered_twice: "lost" leaves out pixels that lie in two pieces, as the released code of LAVT and others does
            (it adds the pieces up and keeps the ones).

    Raises:
        MissingFile: if a mask's file is missing.
        InvalidInput: if it cannot be read, run lengths do not add up, a mask is of another size, or an outline is
            longer than `MAX_OUTLINE_LENGTH` within the image.
    """
    polygons = _drawable([piece for piece in pieces if isinstance(piece, np.ndarray)], size_hw)
    rles = list(coco.frPyObjects(polygons, *size_hw)) if polygons else []
    masks: list[Mask] = []
    for piece in pieces:
        if isinstance(piece, Rle):
            _check_same_size("run lengths", piece.size_hw, size_hw)
            if len(pieces) > 1:  # before they are merged, or else when they are decoded
                check_total(decompress_runs(piece.counts), size_hw)
            rles.append({"counts": piece.counts, "size": list(size_hw)})
        elif isinstance(piece, MaskFile):
            mask = read_mask(Path(piece.path))
            _check_same_size(piece.path, mask.shape, size_hw)
            masks.append(~mask if piece.inverted else mask)
    if covered_twice == "lost":
        masks += [decode_rle(Rle(rle["counts"], size_hw)) for rle in rles]
        return np.sum(masks, axis=0, dtype=np.int64) == 1 if masks else np.zeros(size_hw, np.bool_)
    if rles:
        merged = rles[0] if len(rles) == 1 else coco.merge(rles)
        union = decode_rle(Rle(merged["counts"], size_hw))
    else:
        union = np.zeros(size_hw, np.bool_)
    for mask in masks:
        union |= mask
    return union


def draw_at(
    pieces: Sequence[Piece], size_hw: tuple[int, int], at_hw: tuple[int, int], covered_twice: CoveredTwice = "kept"
) -> Mask:
    """Draws the mask of an object at another size: polygons are scaled, other pieces resized to nearest."""
    (height, width), (new_height, new_width) = size_hw, at_hw
    scale = new_width / width, new_height / height  # as detectron2 does it, which ReLA's evaluation uses
    scaled = [(piece.reshape(-1, 2) * scale).reshape(-1) for piece in pieces if isinstance(piece, np.ndarray)]
    drawn = draw(scaled, at_hw, covered_twice)
    others = [piece for piece in pieces if not isinstance(piece, np.ndarray)]
    if others:
        mask = Image.fromarray(draw(others, size_hw, covered_twice))
        drawn |= np.asarray(mask.resize((new_width, new_height), Image.Resampling.NEAREST))
    return drawn


def read_mask(path: Path) -> Mask:
    """Reads the mask (H, W) in a file: an image, by `extract_mask`, or ReferIt's .mat, whose region is 0.

    Raises:
        MissingFile, InvalidInput: if it is missing or cannot be read.
    """
    if not os.path.isfile(path):
        raise MissingFile(f"{path} is missing; docs/datasets.md says where the masks are looked for")
    if path.suffix == ".mat":
        values = read_matlab(path, "segimg_t", "ReferIt")
        if values.ndim != 2:
            raise InvalidInput(f"{path}: segimg_t has {values.ndim} axes; a mask has 2")
        return np.ascontiguousarray(values == 0)  # the region is 0, all else is not
    try:
        with open_image(path) as image:
            return extract_mask(image, str(path))
    except InvalidInput:
        raise
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise InvalidInput(f"{path} cannot be decoded as an image ({first_line(error)}); is it damaged?") from error


def extract_mask(image: Image.Image, what: str, labels: bool = True) -> Mask:
    """Extracts the mask (H, W) from an opened image.

    Of a palette, index 0 is outside. Where the alpha channel leaves a part transparent, what is opaque is inside.
    Otherwise what is not black is inside, if there is one value besides black, or if there are labels: a few values
    in flat regions. Soft edges and the noise of JPEG are cut at half of the largest value, as long as few pixels are
    neither dark nor bright: a tenth of the image, three quarters of what is inside.

    Args:
        image: whose pixels are read.
        what: its name, for the error.
        labels: whether more than one value besides black may be labels, all of which are inside.

    Raises:
        InvalidInput: if it has more than two values and is neither of these.
    """
    labels = labels and image.format not in _LOSSY
    if image.mode == "P" and labels:
        return np.asarray(image) != 0
    if image.mode in ("LA", "La", "RGBA", "RGBa") or (image.mode in ("L", "RGB") and image.has_transparency_data):
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min() < alpha.max() / 2:
            return _cut(alpha, what, labels=False)
    if image.mode in ("1", "L", "P", "F") or image.mode.startswith("I"):
        return _cut(np.asarray(image), what, labels)
    return _cut(np.asarray(image.convert("RGB")).max(-1), what, labels)


def has_more_values(image: Image.Image) -> bool:
    """Whether a mask, which can be read, has more than two values; of a cut-out its alpha counts."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        return bool(((values != 0) & (values != values.max())).any())
    colours = image.convert("RGBA")
    alpha = colours.getchannel("A")
    low, high = alpha.getextrema()
    return (alpha if low != high else colours).getcolors(maxcolors=2) is None


def read_matlab(path: Path, name: str, of: str) -> NDArray[Any]:
    """Reads the array of that name in a MATLAB file.

    Raises:
        InvalidInput: if this is no such file of the data set `of`.
    """
    try:
        found = read_array(path, name)
    except InvalidInput as error:
        raise InvalidInput(f"{path} cannot be read as a MATLAB file ({error})") from error
    except OSError as error:
        raise unreadable(path, error) or error from error
    if found is None:
        raise InvalidInput(f"{path} has no {name}; it is not a mask of {of}")
    return found


def _cut(values: NDArray[Any], what: str, labels: bool) -> Mask:
    """Extracts the mask of values (H, W), by the rules of `extract_mask`."""
    if values.dtype == np.bool_:
        return values
    most, inside = values.max(), values != 0
    if not (values.min() >= 0 and np.isfinite(most)):
        raise InvalidInput(f"{what} has values that are negative or no numbers; a mask is black and one other value")
    if not most or np.count_nonzero(inside) == np.count_nonzero(values == most):
        return inside
    if labels and _are_labels(values):
        return inside
    upper = values >= most / 2
    low, high = values <= most / 4, values >= most * 0.75
    between = values.size - np.count_nonzero(low) - np.count_nonzero(high)
    few = min(_BETWEEN_OF_IMAGE * values.size, _BETWEEN_OF_MASK * np.count_nonzero(upper))
    if between > few or (between and not low.any()):
        raise InvalidInput(
            f"{what} has more than two values ({between / values.size:.0%} of its pixels are neither dark nor bright); "
            "a mask is black and one other, such as 0 and 255"
        )
    return upper


def _are_labels(values: NDArray[Any]) -> bool:
    """Whether values are labels: few, and in flat regions; soft edges are not flat, and JPEG makes many values."""
    if values.min() > 0 or (values.max() > MAX_LABEL and len(np.unique(values)) > MAX_LABELS):
        return False
    rows = values[1:] == values[:-1]
    squares = rows[:, 1:] & rows[:, :-1] & (values[1:, 1:] == values[1:, :-1])  # of 2 x 2 pixels alike
    flat = np.zeros(values.shape, np.bool_)
    for below in (0, 1):
        for right in (0, 1):
            flat[below : values.shape[0] - 1 + below, right : values.shape[1] - 1 + right] |= squares
    others = (values != 0) & (values != values.max())
    return bool(np.count_nonzero(flat & others) >= np.count_nonzero(others) / 2)


def _check_same_size(what: str, size_hw: tuple[int, ...], image_hw: tuple[int, int]) -> None:
    if size_hw != image_hw:
        raise InvalidInput(
            f"{what}: {size_hw[1]} x {size_hw[0]} pixels, and its image is {image_hw[1]} x {image_hw[0]}"
        )


def _drawable(polygons: list[Polygon], size_hw: tuple[int, int]) -> list[Polygon]:
    """Returns the polygons, clipped to the image if they are very long."""
    if _length(polygons) <= MAX_OUTLINE_LENGTH and all(
        np.abs(polygon).max() <= 10 * MAX_COORDINATE for polygon in polygons
    ):
        return polygons
    height, width = size_hw
    clipped = [_clip(polygon.reshape(-1, 2), (-1, width + 1), (-1, height + 1)) for polygon in polygons]
    polygons = [corners.reshape(-1) for corners in clipped if len(corners) >= 3]
    if (length := _length(polygons)) > MAX_OUTLINE_LENGTH:
        raise InvalidInput(f"an outline is {length:,.0f} pixels long; at most {MAX_OUTLINE_LENGTH:,.0f} are drawn")
    return polygons


def _length(polygons: Iterable[Polygon]) -> float:
    """Computes the pixels along the outlines; a corner counts as one."""
    length = 0.0
    for polygon in polygons:
        corners = polygon.reshape(-1, 2)
        sides = np.abs(corners - np.roll(corners, 1, axis=0)).max(1)
        length += float(sides.sum()) + len(sides)
    return length


def _clip(corners: NDArray[np.float64], *ranges: tuple[float, float]) -> NDArray[np.float64]:
    """Clips a polygon (n, 2) to ranges of x and y, by Sutherland and Hodgman; corners (m, 2)."""
    for axis, (low, high) in enumerate(ranges):
        for depth_of in (lambda along, low=low: along - low, lambda along, high=high: high - along):
            depth = depth_of(corners[:, axis])  # 0 and more is inside
            following, deeper = np.roll(corners, -1, axis=0), np.roll(depth, -1)
            crosses = (depth >= 0) != (deeper >= 0)
            share = np.divide(depth, depth - deeper, out=np.zeros_like(depth), where=crosses)
            crossings = corners + share[:, None] * (following - corners)
            corners = np.stack([corners, crossings], axis=1)[np.stack([depth >= 0, crosses], axis=1)]
    return corners


def _shown(value: Any) -> str:
    try:
        text = reprlib.repr(value)
    except ValueError:  # Python does not write numbers of thousands of digits
        return f"a {type(value).__name__}"
    return shortened(text, 60)
