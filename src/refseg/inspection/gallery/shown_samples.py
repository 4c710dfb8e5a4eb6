"""Images and the expressions that a gallery asks about them: of data sets, of videos one frame each, of one's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from pycocotools import mask as coco
from typing_extensions import override

from refseg.array_types import Mask, RgbImage
from refseg.datasets.storage.annotated_frames import AnnotatedFrame
from refseg.datasets.tools.mask_ids import mask_id
from refseg.errors import InvalidInput
from refseg.masks.rle import decode_rle, encode_rle, parse_rle
from refseg.preprocessing.images import read_image
from refseg.samples import AnnotatedObjects, Clip, Expression, Sample


class Photograph(Sample):
    """An image file with expressions of one's own, whose ground truth is not known."""

    def __init__(self, path: Path, expressions: Sequence[str]):
        self.path, self.image_id = path, str(path)
        self.expressions = tuple(Expression(text, ()) for text in expressions)

    @property
    @override
    def image(self) -> RgbImage:  # type: ignore[override]
        return read_image(self.path)

    @override
    def mask(self, index: int) -> Mask:
        raise InvalidInput(f"the ground truth of {self.path} is not known")

    @override
    def expression_id(self, index: int) -> str:
        return photograph_id(self.path, self.expressions[index].text)


class SomeExpressions(Sample):
    """A sample with some of its expressions.

    Args:
        sample: all of it.
        chosen: numbers of the expressions.
    """

    def __init__(self, sample: Sample, chosen: Sequence[int]):
        self._sample, self._chosen = sample, tuple(chosen)
        self.image_id, self.part = sample.image_id, sample.part
        self.expressions = tuple(sample.expressions[index] for index in chosen)

    @property
    @override
    def image(self) -> RgbImage:  # type: ignore[override]
        return self._sample.image

    @property
    @override
    def size_hw(self) -> tuple[int, int]:
        return self._sample.size_hw

    @override
    def mask(self, index: int) -> Mask:
        return self._sample.mask(self._chosen[index])

    @override
    def expression_id(self, index: int) -> str:
        return self._sample.expression_id(self._chosen[index])

    @override
    def ignored(self, index: int) -> Mask | None:
        return self._sample.ignored(self._chosen[index])

    @override
    def annotated_objects(self) -> AnnotatedObjects | None:
        return self._sample.annotated_objects()


class MiddleFrames(Sequence[AnnotatedFrame]):
    """The middle one of the annotated frames of each clip, with the expressions that are annotated there.

    Raises:
        InvalidInput: if no frame of any clip is annotated.
    """

    def __init__(self, clips: Sequence[Clip]):
        self._clips, self._frames = clips, list[tuple[int, int]]()
        for number, clip in enumerate(clips):
            known = [frozenset(clip.annotated_frames(index)) for index in range(len(clip.expressions))]
            if frames := sorted(frozenset().union(*known)):
                self._frames.append((number, frames[len(frames) // 2]))
        if not self._frames:
            raise InvalidInput(
                "the ground truth of this split is not given out, so no frame of it stands for a video; save frames as "
                "images and give these"
            )

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> AnnotatedFrame: ...

    @overload
    def __getitem__(self, index: slice) -> list[AnnotatedFrame]: ...

    def __getitem__(self, index: int | slice) -> AnnotatedFrame | list[AnnotatedFrame]:
        if isinstance(index, slice):
            return [self[k] for k in range(len(self))[index]]
        number, t = self._frames[index]
        clip = self._clips[number]
        return AnnotatedFrame(clip, t, [k for k in range(len(clip.expressions)) if t in clip.annotated_frames(k)])


def select_expressions(sample: Sample, chosen: Sequence[int]) -> Sample:
    """Returns a sample with some of its expressions, by their numbers."""
    if isinstance(sample, AnnotatedFrame):  # networks of clips look at the frames around it
        return AnnotatedFrame(sample.clip, sample.t, [sample.asked[index] for index in chosen])
    if isinstance(sample, Photograph):
        return Photograph(sample.path, [sample.expressions[index].text for index in chosen])
    return SomeExpressions(sample, chosen)


def photograph_id(path: Path, expression: str) -> str:
    """Returns the id of an expression about an image file, by which stored answers are found."""
    return f"{path.resolve()}: {expression}"


def get_id(sample: Sample, index: int) -> str:
    """Returns the id of an expression, by which stored masks are found."""
    if isinstance(sample, AnnotatedFrame):
        return mask_id(sample.clip, sample.asked[index], sample.t)
    return sample.expression_id(index)


def list_ids(sample: Sample) -> list[str]:
    """Returns the ids of a sample's expressions."""
    return [get_id(sample, index) for index in range(len(sample.expressions))]


def get_truth(sample: Sample, index: int) -> Mask | None:
    """Returns the true mask (H, W) of an expression; None where it is not known, or known as boxes only."""
    try:
        return sample.mask(index)
    except InvalidInput:
        return None


def encode_ignored(sample: Sample, index: int) -> dict[str, Any] | None:
    """Returns the run-length code of the pixels that are not scored for an expression; None if all are."""
    ignored = sample.ignored(index)
    return None if ignored is None else encode_rle(ignored)


def leave_out(rle: Mapping[str, Any], ignored: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Returns the run-length code of a mask without the pixels of another."""
    if ignored is None:
        return rle
    mask, other = (decode_rle(parse_rle(one)) for one in (rle, ignored))
    return encode_rle(mask & ~other)


def rle_iou(first: Any, second: Any) -> float:
    """Returns the IoU of two run-length codes of one size, 1 where both are empty, as protocol `standard` has it.

    >>> import numpy as np
    >>> empty, left = (coco.encode(np.asfortranarray(mask, np.uint8)) for mask in ([[0, 0]], [[1, 0]]))
    >>> rle_iou(empty, empty), rle_iou(left, empty), rle_iou(left, left)
    (1.0, 0.0, 1.0)
    """
    union = int(coco.area(coco.merge([first, second])))
    return int(coco.area(coco.merge([first, second], intersect=True))) / union if union else 1.0
