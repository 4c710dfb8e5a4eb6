"""Samples: images or videos with their expressions, as data sets provide them.

A sample is one image with all its expressions, since the image side of most networks is computed once for all of them.
A clip is that for a video.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.array_types import Box, LabelImage, Mask, RgbImage
from refseg.masks.boxes import mask_box


@dataclass(frozen=True, slots=True)
class Expression:
    """A sentence about an image and its referents.

    Attributes:
        text: the sentence as a person would type it.
        targets: ids of its referents, unique within the sample; empty when it refers to nothing.
        type: form of the sentence ("attribute", "location", ...); a no-target sentence keeps its form. May be "".
        kind: kind of relation ("left", "nearest", ...) where the type is "relation", otherwise "".
        id: unique within the data set; "" where there is none to know.
    """

    text: str
    targets: tuple[int, ...]
    type: str = ""
    kind: str = ""
    id: str = ""


class KnownObjects(NamedTuple):
    """All N objects of an image, as drawn data knows them.

    Attributes:
        id_map: (H, W) uint8, the visible pixels: 0 = background, k = object k.
        attributes: (N, A) int64, class indices of the objects' attributes.
        circles: (N, 3) float32, x, y and radius of the circle around each in pixels.
    """

    id_map: LabelImage
    attributes: NDArray[np.int64]
    circles: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AnnotatedObject:
    """One object of an image, as a data set annotates it.

    Attributes:
        name: of its class.
        box_xyxy: left, top, right, bottom in pixels.
        mask: (H, W).
        words: probability of each attribute that is annotated, for example {"striped": 1.0, "dotted": 0.0}.
        centre_xy: true centre in pixels, if it is not that of the box.
        size: true size in any unit, if it is not that of the mask.
        layer: drawing order, larger in front; None where there is none.
    """

    name: str
    box_xyxy: Box
    mask: Mask
    words: Mapping[str, float] = field(default_factory=dict)
    centre_xy: tuple[float, float] | None = None
    size: float | None = None
    layer: int | None = None


class AnnotatedObjects(NamedTuple):
    """All objects of an image that a data set annotates, whether an expression names them or not.

    Attributes:
        objects: in any order.
        classes: names of all classes that the data set annotates, in this image or not.
    """

    objects: tuple[AnnotatedObject, ...]
    classes: tuple[str, ...]


class Sample(ABC):
    """An image with its expressions.

    Attributes:
        image_id: name that is unique within the data set.
        image: (H, W, 3) uint8, RGB.
        expressions: the sentences about this image.
        part: part of the split, where that has parts, as "held_out" of drawn scenes.
    """

    image_id: str
    image: RgbImage
    expressions: tuple[Expression, ...]
    part: str = ""

    @abstractmethod
    def mask(self, index: int) -> Mask:
        """Returns the true mask (H, W) of expression `index`: all its referents together, empty if there is none."""

    def expression_id(self, index: int) -> str:
        """Returns the id of expression `index`, unique within the data set: its own, else the image's and `index`."""
        return self.expressions[index].id or f"{self.image_id}/{index}"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width; read from the image unless the data set knows them."""
        return self.image.shape[0], self.image.shape[1]

    def referents(self, index: int) -> Mask:
        """Returns the true masks (K, H, W) of expression `index`, one for each referent that is annotated by itself."""
        mask = self.mask(index)
        return mask[None] if self.expressions[index].targets else np.empty((0, *mask.shape), np.bool_)

    def others(self, index: int) -> Iterable[Mask]:
        """Yields the masks (H, W) of known objects that expression `index` does not refer to."""
        return ()

    def ignored(self, index: int) -> Mask | None:
        """Returns the pixels (H, W) that are not scored for expression `index`, none of its mask; None if all are."""
        return None

    def known_objects(self, mirrored: bool = False) -> KnownObjects | None:
        """Returns all objects of the image, or of its mirror image; None where the data set does not know them."""
        return None

    def annotated_objects(self) -> AnnotatedObjects | None:
        """Returns all objects of the image with their classes; None where the data set does not annotate them."""
        return None

    def mask_at(self, index: int, size_hw: tuple[int, int]) -> Mask:
        """Returns the true mask at another size: known polygons are scaled, other masks resized to nearest."""
        height, width = size_hw
        return np.array(Image.fromarray(self.mask(index)).resize((width, height), Image.Resampling.NEAREST))

    def box(self, index: int) -> tuple[float, float, float, float] | None:
        """Returns left, top, right, bottom in pixels around all referents of expression `index`; None without any."""
        return mask_box(self.mask(index))


class Clip(ABC):
    """A video with its expressions; frames are read on access.

    Attributes:
        clip_id: name that is unique within the data set.
        expressions: the sentences about this video.
        frame_rate: frames a second; None where it is not known.
    """

    clip_id: str
    expressions: tuple[Expression, ...]
    frame_rate: float | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abstractmethod
    def frame(self, t: int) -> RgbImage:
        """Returns frame t, counted from 0: (H, W, 3) uint8, RGB."""

    @abstractmethod
    def annotated_frames(self, index: int) -> tuple[int, ...]:
        """Returns the frames with ground truth for expression `index`; none where it is not published."""

    @abstractmethod
    def mask(self, index: int, t: int) -> Mask:
        """Returns the true mask (H, W) of expression `index` in frame t: all its referents, empty if none is there."""

    def known_objects(self, t: int, mirrored: bool = False) -> KnownObjects | None:
        """Returns all objects in frame t, or in its mirror image; None where the data set does not know them."""
        return None

    def frame_name(self, t: int) -> str:
        """Returns the stem of the names of files about frame t."""
        return f"{t:05d}"

    def expression_id(self, index: int) -> str:
        """Returns the id of expression `index`, unique within the data set: its own, else the clip's and `index`."""
        return self.expressions[index].id or f"{self.clip_id}/{index}"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width; read from the first frame unless the data set knows them."""
        height, width, _ = self.frame(0).shape
        return height, width
