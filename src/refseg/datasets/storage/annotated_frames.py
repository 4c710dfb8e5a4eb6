"""Annotated frames of clips as samples, for training and validation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from typing_extensions import override

from refseg.array_types import Mask, RgbImage
from refseg.datasets.dataset import Dataset
from refseg.samples import Clip, Expression, KnownObjects, Sample


class AnnotatedFrame(Sample):
    """A frame of a clip with the expressions that are annotated there; those whose mask is empty have no target.

    Attributes:
        clip: the frame's.
        t: its number.
        asked: numbers of the expressions in the clip.
    """

    def __init__(self, clip: Clip, t: int, asked: Sequence[int]):
        self.clip, self.t, self.asked = clip, t, tuple(asked)
        self.image_id = f"{clip.clip_id}/{clip.frame_name(t)}"

    @property
    def image(self) -> RgbImage:  # type: ignore[override]
        """(H, W, 3) uint8, RGB."""
        return self.clip.frame(self.t)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.clip.size_hw

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:  # type: ignore[override]
        """Expressions of the frame; without targets where their mask is empty."""
        expressions = (self.clip.expressions[number] for number in self.asked)
        return tuple(
            one if mask.any() else replace(one, targets=()) for one, mask in zip(expressions, self._masks, strict=True)
        )

    def mask(self, index: int) -> Mask:
        """Returns the true mask (H, W) of expression `index` of this frame."""
        return self._masks[index]

    @override
    def known_objects(self, mirrored: bool = False) -> KnownObjects | None:
        return self.clip.known_objects(self.t, mirrored)

    @cached_property
    def _masks(self) -> list[Mask]:
        return [self.clip.mask(number, self.t) for number in self.asked]


def iter_annotated_frames(clip: Clip) -> Iterator[AnnotatedFrame]:
    """Yields the annotated frames of a clip in their order, each with the expressions that are annotated there."""
    known = [frozenset(clip.annotated_frames(index)) for index in range(len(clip.expressions))]
    for t in sorted(frozenset().union(*known)):  # one at a time: they keep their masks
        yield AnnotatedFrame(clip, t, [index for index, frames in enumerate(known) if t in frames])


class AnnotatedFrames(Dataset, Sequence[AnnotatedFrame]):
    """All annotated frames of clips, clip after clip, each with the expressions that are annotated there."""

    def __init__(self, clips: Any):
        self.clips = clips
        self._places = [
            (number, frame.t, frame.asked) for number, clip in enumerate(clips) for frame in iter_annotated_frames(clip)
        ]

    @property
    @override
    def kinds(self) -> tuple[str, ...]:  # type: ignore[override]
        kinds: tuple[str, ...] = self.clips.kinds
        return kinds

    @property
    @override
    def all_have_words(self) -> bool:  # type: ignore[override]
        return bool(self.clips.all_have_words)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        number, t, asked = self._places[index]
        return AnnotatedFrame(self.clips[number], t, asked)
