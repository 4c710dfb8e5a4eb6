"""annotations: the objects that a data set annotates, in place of found ones: figures of the choice alone."""

from typing import Any, ClassVar, Self

from typing_extensions import override

from refseg.array_types import RgbImage
from refseg.errors import InvalidInput, for_caller
from refseg.finders.finder import Detection, Finder, known_mask
from refseg.samples import AnnotatedObjects


class Annotations(Finder):
    """Finds what it is given (`given`), whatever the image shows."""

    name: ClassVar[str] = "annotations"
    finds_masks = True
    needs_annotations = True
    same_object_iou = float("inf")

    def __init__(self, annotated: AnnotatedObjects | None = None):
        self.annotated, self.threshold = annotated, 0.0
        self.classes = annotated.classes if annotated is not None else ()

    @classmethod
    def load(cls, **settings: Any) -> Self:
        """Returns it without objects; it has no settings."""
        if settings:
            raise InvalidInput(f"the finder {cls.name!r} has no {', '.join(settings)}; leave it out")
        return cls()

    @override
    def given(self, annotated: AnnotatedObjects) -> Finder:
        return Annotations(annotated)

    @override
    def find(self, image: RgbImage, threshold: float | None = None) -> list[Detection]:
        if self.annotated is None:
            raise InvalidInput(
                "the finder 'annotations' takes the objects that a data set annotates, so it answers in an evaluation "
                f"only; take another finder, for example {for_caller('--set finder=coco80', 'reader:finder=coco80')}"
            )
        return [
            Detection(
                box_xyxy=thing.box_xyxy,
                class_name=thing.name,
                score=1.0,
                finder=self.name,
                draw_mask=known_mask(thing.mask),
                words=thing.words,
                centre_xy=thing.centre_xy,
                size=thing.size,
                layer=thing.layer,
            )
            for thing in self.annotated.objects
        ]
