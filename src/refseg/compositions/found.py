"""Objects that a finder found in an image, as a reader takes them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from refseg.array_types import Box, Mask, RgbImage
from refseg.finders.finder import Detection, Finder
from refseg.finders.overlaps import box_ious
from refseg.readers.colours import REGIONS, object_colours
from refseg.readers.objects import FoundObject, FoundObjects


class PixelColours(Mapping[str, Mapping[str, float]]):
    """Named colours of an object's regions, which are looked at when a sentence first asks for one."""

    def __init__(self, image: RgbImage, box_xyxy: Box, mask: Mask | None):
        self._image, self._box, self._mask = image, box_xyxy, mask

        self._found: dict[str, Mapping[str, float]] = {}

    def __getitem__(self, region: str) -> Mapping[str, float]:
        if region not in self._found:
            self._found |= object_colours(self._image, self._box, self._mask, (region,))
        return self._found[region]

    def __iter__(self) -> Iterator[str]:
        return iter(REGIONS)

    def __len__(self) -> int:
        return len(REGIONS)


class FoundImage:
    """The objects of one image, found once for all expressions; each object's mask is drawn when it is first needed.

    Attributes:
        objects: what the reader evaluates programs on.
    """

    def __init__(self, finder: Finder, image: RgbImage):
        self._detections = _by_object(finder.find(image), finder.same_object_iou)
        things = (_object(same, image, finder.finds_masks) for same in self._detections)
        self.objects = FoundObjects(tuple(things), (image.shape[0], image.shape[1]), frozenset(finder.classes))

    def mask(self, k: int) -> Mask:
        """Returns the mask (H, W) of object k."""
        return self._detections[k][0].mask


def _by_object(detections: Sequence[Detection], same_iou: float) -> list[list[Detection]]:
    """Groups detections of different classes whose boxes are nearly the same: one object, found as several classes.

    Args:
        detections: the best first.
        same_iou: IoU with the best detection of an object from which on a further one is of it.
    """
    ious = box_ious(np.array([detection.box_xyxy for detection in detections], np.float64).reshape(-1, 4))
    groups: list[list[int]] = []
    for k, detection in enumerate(detections):
        for group in groups:
            if ious[group[0], k] >= same_iou and all(detections[i].class_name != detection.class_name for i in group):
                group.append(k)
                break
        else:
            groups.append([k])
    return [[detections[k] for k in group] for group in groups]


def _object(same: list[Detection], image: RgbImage, finds_masks: bool) -> FoundObject:
    """The object of detections of one thing: its score is the best one's, its classes are in proportion to it."""
    first, best = same[0], max(detection.score for detection in same)
    mask = first.mask if finds_masks else None
    return FoundObject(
        box_xyxy=first.box_xyxy,
        mask=mask,
        classes={detection.class_name: float(detection.score / best) for detection in same} if best else {},
        score=float(best),
        words=first.words,
        colours=PixelColours(image, first.box_xyxy, mask),
        centre_xy=first.centre_xy,
        size=first.size,
        layer=first.layer,
    )
