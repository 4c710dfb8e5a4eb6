"""Order of the objects of a label image: left to right."""

import numpy as np

from refseg.array_types import LabelImage
from refseg.masks.boxes import mask_box
from refseg.preprocessing.images import strips


def left_to_right(labels: LabelImage) -> LabelImage:
    """Returns a label image (H, W) whose objects are numbered 1, 2, ... by the centres of their boxes, left to right.

    Of two centres in one column the upper one comes first; numbers without a pixel are left out.

    >>> left_to_right(np.array([[2, 2, 0, 5, 1]], np.uint8))
    array([[1, 1, 0, 2, 3]], dtype=uint8)
    """
    boxes = {k: mask_box(labels == k) for k in range(1, int(labels.max(initial=0)) + 1)}
    centres = {k: (box[0] + box[2], box[1] + box[3]) for k, box in boxes.items() if box is not None}
    order = sorted(centres, key=centres.__getitem__)
    if order == list(range(1, len(boxes) + 1)):
        return labels
    numbers = np.zeros(256, np.uint8)
    numbers[order] = np.arange(1, len(order) + 1)
    ordered = np.empty_like(labels)
    height, width = labels.shape
    for rows in strips(slice(0, height), width):
        ordered[rows] = numbers[labels[rows]]
    return ordered
