"""COCO's run-length code: encoding, decoding, checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from refseg.array_types import Mask
from refseg.errors import InvalidInput
from refseg.preprocessing.images import LARGEST_MEGAPIXELS


@dataclass(frozen=True, slots=True)
class Rle:
    """Run lengths: COCO's compressed string, and the size of the mask."""

    counts: bytes
    size_hw: tuple[int, int]


def encode_rle(mask: Mask) -> dict[str, Any]:
    """Encodes a mask (H, W) in COCO's compressed run-length code: {"size": [H, W], "counts": str}."""
    code = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(size) for size in code["size"]], "counts": code["counts"].decode()}


def parse_rle(rle: Mapping[str, Any]) -> Rle:
    """Parses and checks run lengths {"counts": list, str or bytes, "size": [height, width]}.

    Raises:
        InvalidInput: if they are not that, or do not add up to the size.
    """
    try:
        counts, (height, width) = rle["counts"], map(int, rle["size"])
        if isinstance(counts, str | bytes):
            compressed = counts.encode("ascii") if isinstance(counts, str) else counts
            runs = decompress_runs(compressed)
        else:
            runs, compressed = np.array(counts, np.int64).reshape(-1), None
    except InvalidInput:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput('run lengths are {"counts": ..., "size": [height, width]}, in COCO\'s two ways') from error
    check_size((height, width))
    check_total(runs, (height, width))
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


def decode_rle(rle: Rle) -> Mask:
    """Decodes run lengths to a mask (H, W), contiguous by rows.

    Several times faster than pycocotools, which visits every pixel.

    Raises:
        InvalidInput: if the run lengths do not add up to the size.
    """
    height, width = rle.size_hw
    mask = np.zeros((height, width), np.bool_)
    runs = decompress_runs(rle.counts)
    check_total(runs, (height, width))
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


def check_total(runs: NDArray[np.int64], size_hw: tuple[int, int]) -> None:
    """Checks that run lengths add up to the number of pixels; pycocotools leaves its memory where they do not.

    Raises:
        InvalidInput: if they do not.
    """
    height, width = size_hw
    if (len(runs) and (runs.min() < 0 or runs.max() > height * width)) or int(runs.sum()) != height * width:
        raise InvalidInput(f"run lengths do not add up to {height} x {width} pixels")


def decompress_runs(compressed: bytes) -> NDArray[np.int64]:
    """Decompresses COCO's string to run lengths.

    Each letter has 5 bits of a number, low ones first; from the third on, numbers are differences to the last but one.

    Raises:
        InvalidInput: if it is not such a string.
    """
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
