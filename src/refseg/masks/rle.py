"""COCO's run lengths: encoded, decoded, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from refseg.array_types import Mask
from refseg.errors import InvalidInput
from refseg.preprocessing.images import LARGEST_MEGAPIXELS


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


@dataclass(frozen=True, slots=True)
class Rle:
    """Run lengths: COCO's compressed string, and the size of the mask."""

    counts: bytes
    size_hw: tuple[int, int]


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
    except InvalidInput:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput('run lengths are {"counts": ..., "size": [height, width]}, in COCO\'s two ways') from error
    check_size((height, width))
    _check_sum(runs, (height, width))
    if compressed is None:
        compressed = coco.frPyObjects({"counts": runs.tolist(), "size": [height, width]}, height, width)["counts"]
    return Rle(compressed, (height, width))


def check_size(size_hw: tuple[int, int]) -> None:
    """Checks that an image of this size may be read.

    Raises:
        InvalidInput: if the size is negative, or has more than `LARGEST_MEGAPIXELS`.
    """
    height, width = size_hw
    if height < 0 or width < 0 or height * width > LARGEST_MEGAPIXELS * 1e6:
        shown = f"{width} x {height} pixels" if max(abs(height), abs(width)) < 1e9 else "so many pixels"
        raise InvalidInput(f"a size of {shown} is not allowed; at most {LARGEST_MEGAPIXELS} megapixels are read")


def _decode(rle: dict[str, Any]) -> Mask:
    """A mask (H, W), row by row in memory; several times faster than pycocotools, which walks over every pixel."""
    height, width = rle["size"]
    mask = np.zeros((height, width), np.bool_)
    runs = _runs(rle["counts"])
    _check_sum(runs, (height, width))
    ends = runs.cumsum()
    starts, stops = ends[:-1:2], ends[1::2]
    if not len(stops) or not mask.size:
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


def _check_equal(what: str, size_hw: tuple[int, ...], image_hw: tuple[int, int]) -> None:
    if size_hw != image_hw:
        raise InvalidInput(
            f"{what}: {size_hw[1]} x {size_hw[0]} pixels, and its image is {image_hw[1]} x {image_hw[0]}"
        )


def _check_sum(runs: NDArray[np.int64], size_hw: tuple[int, int]) -> None:
    height, width = size_hw  # pycocotools reads and writes beyond its memory where they do not add up
    if (len(runs) and (runs.min() < 0 or runs.max() > height * width)) or int(runs.sum()) != height * width:
        raise InvalidInput(f"run lengths do not add up to {height} x {width} pixels")


def _runs(compressed: bytes) -> NDArray[np.int64]:
    """Run lengths of COCO's string: 5 bits a letter, low ones first, from the third on as differences to two before."""
    letters = np.frombuffer(compressed, np.uint8).astype(np.int64) - 48
    if not len(letters):
        return letters
    last = (letters & 32) == 0
    if letters.min() < 0 or letters.max() > 63 or not last[-1]:
        raise InvalidInput("this is not COCO's string of run lengths")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise InvalidInput("a run is longer than any image")
    places = np.arange(len(letters)) - np.repeat(starts, lengths)
    values = np.add.reduceat((letters & 31) << (5 * places), starts)
    values -= np.where(letters[ends] & 16, 1 << (5 * lengths), 0)
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values
