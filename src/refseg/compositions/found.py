"""Objects that a finder found in an image, as a reader takes them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from typing_extensions import override

from refseg.array_types import Box, Mask, RgbImage
from refseg.finders.finder import Detection, Finder, Search
from refseg.finders.overlaps import box_ious
from refseg.readers.colours import REGIONS, object_colours
from refseg.readers.execute import RegionScorer
from refseg.readers.objects import FoundObject, FoundObjects
from refseg.readers.program import Query
from refseg.readers.searching import names_to_search


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
        score_regions: judges what place, size and colours do not tell; None if nothing does.
    """

    def __init__(
        self,
        finder: Finder,
        image: RgbImage,
        score_regions: RegionScorer | None = None,
        named: tuple[Search, Sequence[str]] | None = None,
    ):
        """Looks for the objects of the finder's classes, or searches for the things that are named."""
        self.score_regions = score_regions
        if named is None:
            detections, classes = finder.find(image), finder.classes
        else:
            search, classes = named[0], tuple(named[1])
            detections = search(classes)
        self._detections = _by_object(detections, finder.same_object_iou)
        things = tuple(_object(same, image, finder.finds_masks) for same in self._detections)
        size_hw = (image.shape[0], image.shape[1])
        self.objects = FoundObjects(things, size_hw, frozenset(classes), open_vocabulary=named is not None)

    def about(self, query: Query) -> "FoundImage":
        """Returns the objects that a program is evaluated on."""
        return self

    def mask(self, k: int) -> Mask:
        """Returns the mask (H, W) of object k."""
        return self._detections[k][0].mask


class OpenVocabularyImage(FoundImage):
    """An image in which things are looked for when a program first names them, each name once."""

    def __init__(self, finder: Finder, image: RgbImage, score_regions: RegionScorer | None = None):
        self._finder, self._image, self._search = finder, image, finder.search(image)
        self._about: dict[frozenset[str], FoundImage] = {}
        super().__init__(finder, image, score_regions, (self._search, ()))

    @override
    def about(self, query: Query) -> FoundImage:
        names = names_to_search(query)
        known = frozenset(names)
        if known not in self._about:
            named = self._search, names
            self._about[known] = FoundImage(self._finder, self._image, self.score_regions, named)
        return self._about[known]


def find_objects(finder: Finder, image: RgbImage, score_regions: RegionScorer | None = None) -> FoundImage:
    """Returns the objects of an image, or what will look for them if the finder is of open vocabulary."""
    return (OpenVocabularyImage if finder.open_vocabulary else FoundImage)(finder, image, score_regions)


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
