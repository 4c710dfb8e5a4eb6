"""Kinds of error: what is wrong with an answer, one word for each expression, read at the image's own size.

P is the answer and T the truth under protocol `standard`; R_k are the single referents and O_j the other objects, where
the data set knows them. Precision = |P and T| / |P|, recall = |P and T| / |T|. An object is taken in when at least half
of it lies in P. The first line that fits is the kind:

correct             IoU at least 0.9; for an expression that refers to nothing, an empty answer
invented one        the expression refers to nothing, and is answered by something
missed altogether   the answer is empty, and there is a referent
boundary only       IoU at least 0.5, and every wrong pixel is within 1 % of the diagonal (at least 1 pixel) of T's edge
wrong object        precision and recall below 0.5: most of the answer is elsewhere, and most of T is not in it
missed one of many  of several referents some are taken in and some are not
invented one        recall at least 0.5, and an object is taken in that T holds less than half of
part missing        more pixels are missing than too many
too much            the rest
"""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import Mask
from refseg.masks.boxes import mask_box
from refseg.samples import Sample

CORRECT, MISSED, INVENTED, WRONG = "correct", "missed altogether", "invented one", "wrong object"
MISSED_ONE, PART, TOO_MUCH, BOUNDARY = "missed one of many", "part missing", "too much", "boundary only"
KINDS = (CORRECT, BOUNDARY, PART, TOO_MUCH, MISSED_ONE, INVENTED, WRONG, MISSED)

CORRECT_FROM = 0.9  # IoU
HALF = 0.5
EDGE = 0.01  # of the diagonal


def kind_of_error(
    intersection: int,
    union: int,
    true: int,
    has_target: bool,
    referents_in: Callable[[], Iterable[float]],
    others_in: Callable[[], Iterable[float]],
    at_edge: Callable[[], bool],
) -> str:
    """The kind of error of one answer; what is dear to know is asked for only where it matters.

    Args:
        intersection: pixels of both answer and truth.
        union: pixels of either.
        true: pixels of the truth.
        has_target: does the expression refer to anything? What it refers to may be hidden.
        referents_in: the share of each referent that lies in the answer.
        others_in: the same of the other objects that the truth holds less than half of.
        at_edge: are all wrong pixels near the truth's edge? See `is_at_edge`.
    """
    predicted = intersection + union - true
    if not has_target:
        return INVENTED if predicted else CORRECT
    if intersection >= CORRECT_FROM * union:
        return CORRECT
    if predicted == 0:
        return MISSED
    if intersection >= HALF * union and at_edge():
        return BOUNDARY
    recall = intersection / max(true, 1)
    if intersection < HALF * predicted and recall < HALF:
        return WRONG
    taken_in = [share >= HALF for share in referents_in()]
    if any(taken_in) and not all(taken_in):
        return MISSED_ONE
    if recall >= HALF and any(share >= HALF for share in others_in()):
        return INVENTED
    return PART if true - intersection > predicted - intersection else TOO_MUCH


def kind_of_mask(
    sample: Sample, index: int, answer: Mask, truth: Mask, intersection: int, union: int, true: int
) -> str:
    """The kind of error of the answer (H, W) to expression `index` of a sample, whose truth is (H, W).

    `intersection`, `union` and `true`, pixels of the truth, are as in `kind_of_error`.
    """
    return kind_of_error(
        intersection,
        union,
        true,
        bool(sample.expressions[index].targets),
        lambda: shares_in(answer, sample.referents(index)) if len(sample.expressions[index].targets) > 1 else (),
        lambda: shares_in(answer, not_mostly_in(truth, sample.others(index))),
        lambda: is_at_edge(answer, truth),
    )


def not_mostly_in(truth: Mask, objects: Iterable[Mask]) -> Iterator[Mask]:
    """Those objects (H, W) of which less than half lies in the truth (H, W): annotations of one thing may overlap."""
    return (one for one in objects if np.count_nonzero(one & truth) < HALF * np.count_nonzero(one))


def shares_in(answer: Mask, objects: Iterable[Mask]) -> Iterator[float]:
    """The share of each object (H, W) that lies in the answer (H, W), one after the other."""
    sizes = ((np.count_nonzero(answer & one), np.count_nonzero(one)) for one in objects)
    return (inside / size for inside, size in sizes if size)


def is_at_edge(answer: Mask, truth: Mask) -> bool:
    """Is every pixel in which two masks (H, W) differ near the edge of the true one?"""
    width = max(1, math.ceil(EDGE * math.hypot(*truth.shape)))
    wrong = answer ^ truth
    if (box := mask_box(wrong)) is None:
        return True
    left, top, right, bottom = box
    near = slice(max(top - width, 0), bottom + width), slice(max(left - width, 0), right + width)
    truth, wrong = truth[near], wrong[near]
    return not (wrong & (_around(2 - truth.view(np.uint8), width) != (1 | 2))).any()


def _around(bits: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """All bits (H, W) of the pixels that are at most `width` rows and columns away from each, put together."""
    height, breadth = bits.shape
    joined = np.zeros((height + 2 * width, breadth + 2 * width), np.uint8)
    joined[width : width + height, width : width + breadth] = bits
    size, wanted = 1, 2 * width + 1
    while size < wanted:  # each pixel holds those of `size` rows and columns from its own on
        step = min(size, wanted - size)
        joined = joined[step:] | joined[:-step]
        joined = joined[:, step:] | joined[:, :-step]
        size += step
    return joined
