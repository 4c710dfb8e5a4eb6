"""Masks as data sets write them: polygons, run lengths, MATLAB and PNG files; drawn as their union.

The order of run lengths is COCO's: down the columns, first how many pixels are outside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from refseg import extras
from refseg.errors import InvalidInput, MissingFile

Mask = NDArray[np.bool_]
CoveredTwice = Literal["kept", "lost"]
FARTHEST = 1e5
"""Pixels; a polygon with a corner farther away is refused, since drawing takes memory by its length."""
_MOST_PIXELS = 1e8


@dataclass(frozen=True, slots=True)
class Rle:
    """Run lengths: COCO's compressed string, and the size of the mask."""

    counts: bytes
    size_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A file with a mask: MATLAB (.mat of ReferIt) or any image, where the region is white, or black if `inverted`."""

    path: str
    inverted: bool = False


Polygon = NDArray[np.float64]
"""(2 n,): x and y of n >= 3 corners in pixels."""
Piece = Polygon | Rle | MaskFile
"""A mask is a union of pieces."""


def pieces_of(segmentation: Any) -> list[Piece]:
    """The pieces of a segmentation as COCO writes it: polygons, run lengths (either kind), or a list of those.

    Polygons of fewer than 3 points, which COCO has, are left out.

    Raises:
        InvalidInput: if it is none of these.
    """
    if isinstance(segmentation, Mapping):
        return [rle_of(segmentation)]
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str | bytes):
        raise InvalidInput(f"a segmentation is a list of polygons or run lengths, not {_shown(segmentation)}")
    pieces: list[Piece] = []
    for part in segmentation:
        piece = rle_of(part) if isinstance(part, Mapping) else polygon_of(part)
        if piece is not None:
            pieces.append(piece)
    return pieces


def polygon_of(corners: Any) -> Polygon | None:
    """A polygon from [x, y, x, y, ...] or [[x, y], ...]; None if it has fewer than 3 points.

    Raises:
        InvalidInput: if it is not that, or goes beyond `FARTHEST`.
    """
    try:
        polygon = np.array(corners, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a polygon is [x, y, x, y, ...] or [[x, y], ...], not {_shown(corners)}") from error
    if polygon.size and (polygon.ndim > 2 or polygon.size % 2 or (polygon.ndim == 2 and polygon.shape[1] != 2)):
        raise InvalidInput(f"a polygon is [x, y, x, y, ...] or [[x, y], ...], not {_shown(corners)}")
    if not (np.abs(polygon) <= FARTHEST).all():  # also NaN
        raise InvalidInput(f"a polygon has a corner that is not a number or lies beyond {FARTHEST:g} pixels")
    return polygon.reshape(-1) if polygon.size >= 6 else None


def rle_of(rle: Mapping[str, Any]) -> Rle:
    """Run lengths from {"counts": list, str or bytes, "size": [height, width]}, checked.

    Raises:
        InvalidInput: if they are not that, or do not add up to the size.
    """
    try:
        counts, (height, width) = rle["counts"], map(int, rle["size"])
        if isinstance(counts, str | bytes):
            compressed = counts.encode("ascii") if isinstance(counts, str) else counts
            runs = _runs(compressed)
        else:
            runs, compressed = np.array(counts, np.int64).reshape(-1), None
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput('run lengths are {"counts": ..., "size": [height, width]}, in COCO\'s two ways') from error
    if height < 0 or width < 0 or height * width > _MOST_PIXELS:
        raise InvalidInput(f"run lengths of a mask of {width} x {height} pixels are not allowed")
    # pycocotools reads and writes beyond its memory where they do not add up.
    if len(runs) and (runs.min() < 0 or runs.max() > height * width) or int(runs.sum()) != height * width:
        raise InvalidInput(f"run lengths do not add up to {height} x {width} pixels")
    if compressed is None:
        compressed = coco.frPyObjects({"counts": runs.tolist(), "size": [height, width]}, height, width)["counts"]
    return Rle(compressed, (height, width))


def draw(pieces: Sequence[Piece], size_hw: tuple[int, int], covered_twice: CoveredTwice = "kept") -> Mask:
    """The mask (H, W) of an object: the union of its pieces.

    Args:
        pieces: of one object.
        size_hw: of the image.
        covered_twice: "lost" leaves out pixels that lie in two pieces, as the released code of LAVT and others does
            (it adds the pieces up and keeps the ones).

    Raises:
        MissingFile, InvalidInput: if a mask's file is missing, cannot be read or is of another size.
    """
    polygons = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    rles = list(coco.frPyObjects(polygons, *size_hw)) if polygons else []
    masks: list[Mask] = []
    for piece in pieces:
        if isinstance(piece, Rle):
            _check_size("run lengths", piece.size_hw, size_hw)
            rles.append({"counts": piece.counts, "size": list(size_hw)})
        elif isinstance(piece, MaskFile):
            mask = read_mask(Path(piece.path))
            _check_size(piece.path, mask.shape, size_hw)
            masks.append(~mask if piece.inverted else mask)
    if covered_twice == "lost":
        masks += [_decode(rle) for rle in rles]
        return np.sum(masks, axis=0, dtype=np.int64) == 1 if masks else np.zeros(size_hw, np.bool_)
    union = _decode(rles[0] if len(rles) == 1 else coco.merge(rles)) if rles else np.zeros(size_hw, np.bool_)
    for mask in masks:
        union |= mask
    return union


def draw_at(
    pieces: Sequence[Piece], size_hw: tuple[int, int], at_hw: tuple[int, int], covered_twice: CoveredTwice = "kept"
) -> Mask:
    """The mask of an object at another size: its polygons are scaled and drawn there, other pieces go to nearest."""
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
    """The mask (H, W) in a file: of an image, all that is not black (index 0 of a palette); of ReferIt's .mat, zeros.

    Raises:
        MissingFile, InvalidInput: if it is missing or cannot be read.
    """
    if not path.is_file():
        raise MissingFile(f"{path} is missing; docs/datasets.md says where the masks are looked for")
    if path.suffix == ".mat":
        return np.ascontiguousarray(read_matlab(path, "segimg_t", "ReferIt") == 0)  # the region is 0, all else is not
    try:
        with Image.open(path) as image:
            values: NDArray[Any] = np.asarray(image)
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise InvalidInput(f"{path} cannot be decoded as an image ({error}); is it damaged?") from error
    if values.ndim == 3:
        colours = values.shape[-1] - (values.shape[-1] in (2, 4))  # without alpha
        return np.asarray(values[..., :colours].any(-1))
    return values != 0


def read_matlab(path: Path, name: str, of: str) -> NDArray[Any]:
    """The array of that name in a MATLAB file.

    Raises:
        InvalidInput: if SciPy is not installed, or this is no such file of the data set `of`.
    """
    matlab = extras.library("scipy.io", f"{path}: reading MATLAB files needs SciPy", "formats")
    try:
        return np.asarray(matlab.loadmat(path, variable_names=[name])[name])
    except KeyError as error:
        raise InvalidInput(f"{path} has no {name}; it is not a mask of {of}") from error
    except Exception as error:
        raise InvalidInput(f"{path} cannot be read as a MATLAB file ({error}); is it damaged?") from error


def _decode(rle: dict[str, Any]) -> Mask:
    """A mask (H, W), row by row in memory; several times faster than pycocotools, which walks over every pixel."""
    height, width = rle["size"]
    mask = np.zeros((height, width), np.bool_)
    runs = _runs(rle["counts"])
    ends = runs.cumsum()
    starts, stops = ends[:-1:2], ends[1::2]
    if not len(stops):
        return mask
    inside = np.zeros(len(runs), np.bool_)
    inside[1::2] = True
    columns = inside.repeat(runs).reshape(width, height)
    left, right = starts[0] // height, -(-stops[-1] // height)
    tops = starts % height
    top, bottom = tops.min(), (tops + runs[1::2]).max()
    if bottom > height:  # a run goes on in the next column
        top, bottom = 0, height
    mask[top:bottom, left:right] = columns[left:right, top:bottom].T
    return mask


def _check_size(what: str, size_hw: tuple[int, ...], image_hw: tuple[int, int]) -> None:
    if size_hw != image_hw:
        raise InvalidInput(
            f"{what}: {size_hw[1]} x {size_hw[0]} pixels, and its image is {image_hw[1]} x {image_hw[0]}"
        )


def _runs(compressed: bytes) -> NDArray[np.int64]:
    """Run lengths of COCO's string: 5 bits a letter, low ones first, from the third on as differences to two before."""
    letters = np.frombuffer(compressed, np.uint8).astype(np.int64) - 48
    if not len(letters):
        return letters
    last = (letters & 32) == 0
    if letters.min() < 0 or letters.max() > 63 or not last[-1]:
        raise ValueError("not a string of run lengths")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise ValueError("a run is too long")
    places = np.arange(len(letters)) - np.repeat(starts, lengths)
    values = np.add.reduceat((letters & 31) << (5 * places), starts)
    values -= np.where(letters[ends] & 16, 1 << (5 * lengths), 0)
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
