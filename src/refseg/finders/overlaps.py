"""Non-maximum suppression."""

import numpy as np
from numpy.typing import NDArray


def suppress_overlaps(boxes: NDArray[np.floating], labels: NDArray[np.integer], max_iou: float) -> NDArray[np.bool_]:
    """Greedy non-maximum suppression: which boxes (N,) overlap no better box of their class that is kept.

    Args:
        boxes: (N, 4), left, top, right, bottom; the best first.
        labels: (N,), the class of each.
        max_iou: IoU above which the worse box is dropped.

    >>> boxes = np.array([[0, 0, 4, 4], [0, 1, 4, 4], [0, 1, 4, 4]])
    >>> suppress_overlaps(boxes, np.array([1, 1, 2]), 0.45)
    array([ True, False,  True])
    """
    rivals = np.triu((box_ious(boxes) > max_iou) & (labels[:, None] == labels), 1)  # (better, worse)
    kept = np.ones(len(boxes), np.bool_)
    while True:  # round k settles the k best at least, since each depends on better ones only
        new = ~(rivals & kept[:, None]).any(0)
        if (new == kept).all():
            return kept
        kept = new


def box_ious(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns the IoU of each two of N boxes, (N, N); 0 where both are empty."""
    start = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (end - start).clip(0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1)
    union = areas[:, None] + areas - shared
    return np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)
