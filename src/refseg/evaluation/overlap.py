"""Pixels of sets of objects, counted from one small table an image and without building a mask.

C[q, k] is the number of pixels that have id q in one id map and id k in the other. If an answer is a set of the one's
objects and the truth a set of the other's, then intersection and union are sums over C: exact, at any number of
expressions.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from refseg.metrics import Counts


def overlap(predicted: NDArray[np.integer], true: NDArray[np.integer], found: int, objects: int) -> NDArray[np.int64]:
    """The table C (found + 1, objects + 1) of two id maps (H, W), in which 0 is the background."""
    pairs = predicted.astype(np.int64).ravel() * (objects + 1) + true.ravel()
    return np.bincount(pairs, minlength=(found + 1) * (objects + 1)).reshape(found + 1, objects + 1)


def count_sets(table: NDArray[np.int64], chosen: NDArray[np.bool_], meant: NDArray[np.bool_]) -> Counts:
    """Counts of M answers that are sets of objects.

    Args:
        table: (Q + 1, n + 1) from `overlap`.
        chosen: (M, Q), which predicted objects each answer unites.
        meant: (M, n), which true objects each expression refers to; none in a row = no target.
    """
    answers, truths = chosen.astype(np.int64), meant.astype(np.int64)
    intersection = ((answers @ table[1:, 1:]) * truths).sum(1)
    predicted = answers @ table[1:].sum(1)
    true = truths @ table[:, 1:].sum(0)
    union = predicted + true - intersection
    return Counts(*map(torch.from_numpy, (intersection, union, meant.any(1), predicted > 0)))
