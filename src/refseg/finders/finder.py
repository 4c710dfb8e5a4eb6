"""Finder: the interface of object finders, and what they return."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar

from refseg.array_types import Box, Mask, RgbImage
from refseg.errors import InvalidInput, shown
from refseg.samples import AnnotatedObjects


@dataclass(frozen=True, eq=False)
class Detection:
    """One object that a finder found.

    Attributes:
        box_xyxy: left, top, right, bottom in pixels, within the image.
        class_name: one of the finder's `classes`.
        score: of the finder, in [0, 1]; scores of different finders are not comparable.
        finder: name of the finder.
        draw_mask: computes the mask.
        words: probability of each attribute that the finder judges, such as "striped"; {} if it judges none.
        centre_xy: centre in pixels, if it is not that of the box.
        size: true size in any unit, if it is not that of the mask.
        layer: drawing order, larger in front; None where there is none.
    """

    box_xyxy: Box
    class_name: str
    score: float
    finder: str
    draw_mask: Callable[[], Mask] = field(repr=False)
    words: Mapping[str, float] = field(default_factory=dict)
    centre_xy: tuple[float, float] | None = None
    size: float | None = None
    layer: int | None = None

    @cached_property
    def mask(self) -> Mask:
        """The mask (H, W) at the image's size, computed when it is first asked for."""
        return self.draw_mask()


Search = Callable[[Sequence[str]], list[Detection]]
"""Finds the things of these names in one image, the highest score first; names are nouns in the singular."""


class Finder(ABC):
    """Finds objects of known classes in an image; its class has `load(**settings)`, as `finders.load_finder` says.

    Attributes:
        name: of the finder.
        classes: names of the classes that it knows; it never finds anything else, unless it is of open vocabulary.
        open_vocabulary: whether it has no classes, but looks for whatever things are named (`search`).
        threshold: lowest score of what it finds, unless another is asked for.
        finds_masks: whether masks are found with the objects, and not drawn from their boxes.
        needs_annotations: whether it does not look at images, but is given the objects of a data set (`given`).
        same_object_iou: IoU of two boxes of different classes from which on they are one object.
    """

    name: ClassVar[str]
    classes: tuple[str, ...]
    threshold: float
    finds_masks: ClassVar[bool] = False
    needs_annotations: ClassVar[bool] = False
    open_vocabulary: ClassVar[bool] = False
    same_object_iou: ClassVar[float] = 0.85

    def given(self, annotated: AnnotatedObjects) -> "Finder":
        """Returns a finder of exactly these objects, for `needs_annotations`."""
        raise NotImplementedError

    @property
    def networks(self) -> Sequence[Any]:
        """Its networks that move to another device with the network of which it is a part."""
        return ()

    def search(self, image: RgbImage, threshold: float | None = None) -> Search:
        """Returns a search for things by their names in an image, which is encoded once; for `open_vocabulary`.

        A detection's class is the name that was asked for.
        """
        raise NotImplementedError

    @abstractmethod
    def find(self, image: RgbImage, threshold: float | None = None) -> list[Detection]:
        """Finds the objects of an image, the highest score first.

        An object may be found as several classes, with one detection for each.

        Args:
            image: (H, W, 3) uint8 RGB.
            threshold: lowest score; by default the finder's own.
        """


def known_mask(mask: Mask) -> Callable[[], Mask]:
    """Returns the `draw_mask` of a detection whose mask was found with it."""
    return partial(_identity, mask)  # not a lambda, so that detections can be pickled


def _identity(mask: Mask) -> Mask:
    return mask


def check_threshold(threshold: float) -> float:
    """Returns a threshold of scores as it is.

    Raises:
        InvalidInput: if it is not in [0, 1].
    """
    if not 0 <= threshold <= 1:  # NaN too
        raise InvalidInput(f"threshold {shown(threshold)} is not a score; it is between 0 and 1")
    return threshold


def check_no_settings(name: str, others: Mapping[str, object]) -> None:
    """Raises InvalidInput if a finder that brings its masks is given further settings, such as a masker."""
    if others:
        raise InvalidInput(f"the finder {name!r} has no {', '.join(others)}: it finds masks; leave it out")
