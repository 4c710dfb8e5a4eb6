"""Samples whose picture is changed, with their masks, objects and words."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

import numpy as np
from typing_extensions import override

from refseg.array_types import Mask, RgbImage
from refseg.masks.boxes import mask_box
from refseg.robustness.pictures.change import Change
from refseg.samples import AnnotatedObject, AnnotatedObjects, Sample
from refseg.text.left_right import mirrored


class ChangedSample(Sample):
    """A sample with a changed picture; pixels are drawn when they are first looked at.

    Attributes:
        original: the sample as it was.
        change: of its picture.
        kept: indices of those expressions of the original whose referents are certainly the same.
        expressions: these expressions, with left and right swapped where the picture is mirrored.
    """

    def __init__(self, original: Sample, change: Change, kept: tuple[int, ...], name: str):
        """Changes a sample; `name` is added to the ids of image and expressions."""
        self.original, self.change, self.kept = original, change, kept
        self.image_id, self.part = f"{original.image_id}/{name}", original.part
        self.expressions = tuple(
            replace(
                original.expressions[i],
                text=mirrored(original.expressions[i].text) if change.mirrors else original.expressions[i].text,
                id=f"{original.expression_id(i)}/{name}",
            )
            for i in kept
        )

    @cached_property
    def image(self) -> RgbImage:  # type: ignore[override]
        """(H, W, 3) uint8."""
        return self.change.draw(self.original.image)

    @override
    def mask(self, index: int) -> Mask:
        return self.change.warp(self.original.mask(self.kept[index]))

    @override
    def referents(self, index: int) -> Mask:
        return self._warp_all(self.original.referents(self.kept[index]))

    @override
    def others(self, index: int) -> Iterable[Mask]:
        return map(self.change.warp, self.original.others(self.kept[index]))

    @override
    def annotated_objects(self) -> AnnotatedObjects | None:
        annotated = self.original.annotated_objects()
        if annotated is None or not self.change.moves:
            return annotated
        return AnnotatedObjects(tuple(map(self._changed_object, annotated.objects)), annotated.classes)

    def _changed_object(self, thing: AnnotatedObject) -> AnnotatedObject:
        mask = self.change.warp(thing.mask)
        if thing.mask.any():
            box = tuple(map(float, mask_box(mask) or (0, 0, 0, 0)))
        else:  # a box alone is known
            left, top, right, bottom = thing.box_xyxy
            corners = [self.change.move(x, y) for x in (left, right) for y in (top, bottom)]
            box = (min(x for x, _ in corners), min(y for _, y in corners)) + (
                max(x for x, _ in corners),
                max(y for _, y in corners),
            )
        centre = self.change.move(*thing.centre_xy) if thing.centre_xy is not None else None
        return replace(thing, box_xyxy=(box[0], box[1], box[2], box[3]), mask=mask, centre_xy=centre)

    def _warp_all(self, masks: Mask) -> Mask:
        if not len(masks):
            return np.empty((0, *self.change.warp(np.zeros(self.original.size_hw, np.bool_)).shape), np.bool_)
        return np.stack([self.change.warp(mask) for mask in masks])
