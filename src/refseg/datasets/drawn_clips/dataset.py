"""Drawn clips: moving drawn scenes with expressions about what their objects do.

Source     drawn by this package, any amount, no files; the objects, looks and noun phrases are those of the drawn
           scenes, an expression's program is evaluated on the clip, so its referents are certain.
Licence    Apache-2.0, as the package.
Splits     train (unlimited), val 1,000 clips, test 2,000; 5 to 16 frames and about 7 expressions a clip.
Read with  motions.py (what objects do), twins.py (who does it, where), sentences.py (words and meaning).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
from typing_extensions import override

from refseg.array_types import LabelImage, Mask, RgbImage
from refseg.counting import counted
from refseg.datasets.dataset import Dataset
from refseg.datasets.drawn_clips.motions import FRAMES, LEFT, MOTIONS, RIGHT
from refseg.datasets.drawn_clips.sentences import KINDS, LOOKS, Doing, World, sentences_about_looks
from refseg.datasets.drawn_clips.twins import Twins, draw_twins
from refseg.datasets.drawn_scenes.balanced_sentences import object_ids
from refseg.datasets.drawn_scenes.dataset import DRAWN_LICENCE, DRAWN_UNCHECKABLE, DrawnScenes
from refseg.datasets.drawn_scenes.layout import Layout, rasterise
from refseg.datasets.drawn_scenes.objects import SeededRandom
from refseg.datasets.drawn_scenes.rendering import Look, draw_noise
from refseg.errors import InvalidInput, choose_one, option
from refseg.samples import Clip, Expression, KnownObjects

__all__ = ["KINDS", "MOTIONS", "SHOWN_FRAMES", "SPLITS", "VERSION", "DrawnClip", "DrawnClips"]

VERSION = 1
"""Raised with every change of a drawn byte or sentence, those of drawn scenes included; checkpoints carry it."""

SPLITS = {"train": 2**31, "val": 1000, "test": 2000}
"""Clips of each split."""

MOST_FRAMES = 240
"""Most frames of a clip: half a minute at 8 a second."""

MOST_LOOKS = 32

SHOWN_FRAMES = 25, 32
"""Fewest and most frames of clips that are drawn to be looked at: three to four seconds."""

CLIPS_WITH_ALL_WORDS = 500
"""Clips of split train whose expressions hold every word."""

MIRRORED_MOTIONS = np.arange(len(MOTIONS))
MIRRORED_MOTIONS[[LEFT, RIGHT]] = RIGHT, LEFT
"""The motion that each is in a mirrored clip."""

Annotated = Literal["middle", "all"]


class DrawnClip(Clip):
    """A drawn clip; frames are drawn on access, and masks are known for all of them.

    Attributes:
        clip_id: split and number, for example "val-17".
        expressions: sentences; their targets are object numbers as in `labels`.
        attributes: (n, 4) int64, indices into SHAPES, COLOURS, SIZES, MATERIALS.
        motions: (n,) int64, indices into MOTIONS.
        programs: what each sentence means, in the order of `expressions`.
        side: of the square canvas in pixels.
    """

    frame_rate = 8.0

    def __init__(self, clips: "DrawnClips", index: int, twins: Twins):
        number, which = divmod(index, 2)
        self.clip_id, self.side, self._annotated = f"{clips.split}-{index}", clips.side, clips.annotated
        self._twins, self._which = twins, which
        self._pixels = "clip", clips.seed, clips.split, clips.side, number  # those of its twin, too
        self.attributes = np.array([mover.middle.attributes for mover in twins.movers], np.int64)
        self.motions = np.array(twins.motions[which], np.int64)
        sentences = [(sentence, answers[which]) for sentence, answers in twins.sentences]
        if clips.looks:
            world = World(rasterise([mover.middle for mover in twins.movers], self.side), twins.motions[which])
            sentences += sentences_about_looks(world, clips.looks, SeededRandom("looks", *self._pixels, which))
        self.expressions = tuple(
            Expression(sentence.text, object_ids(referents), sentence.type, sentence.kind)
            for sentence, referents in sentences
        )
        self.programs: tuple[Doing, ...] = tuple(sentence.program for sentence, _ in sentences)
        self._layouts: dict[int, Layout] = {}

    def __len__(self) -> int:
        return self._twins.frames

    @property
    def middle(self) -> int:
        """Number of the middle frame, which the clip shares with its twin, so that it gives nothing away."""
        return len(self) // 2

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width."""
        return self.side, self.side

    def frame(self, t: int) -> RgbImage:
        """Draws frame t, counted from 0: (H, W, 3) uint8, RGB."""
        return self._look.draw(self.layout(t), draw_noise(SeededRandom("noise", *self._pixels, t)))

    def layout(self, t: int) -> Layout:
        """Returns the positions and masks of all objects in frame t."""
        if not 0 <= t < len(self):
            raise IndexError(f"frame {t} of {len(self)}")
        if t not in self._layouts:
            moved = zip(self._twins.movers, self._twins.motions[self._which], strict=True)
            self._layouts[t] = rasterise([mover.at(motion, t - self.middle) for mover, motion in moved], self.side)
        return self._layouts[t]

    def labels(self, t: int) -> LabelImage:
        """Returns the visible pixels (H, W) of frame t: 0 = background, k = object k."""
        return self.layout(t).id_map

    def annotated_frames(self, index: int) -> tuple[int, ...]:
        """Returns the middle frame, or all frames, as `annotated` says."""
        return (self.middle,) if self._annotated == "middle" else tuple(range(len(self)))

    def mask(self, index: int, t: int) -> Mask:
        """Returns the visible pixels (H, W) of all referents of expression `index` in frame t, annotated or not."""
        return np.isin(self.labels(t), self.expressions[index].targets)

    @override
    def known_objects(self, t: int, mirrored: bool = False) -> KnownObjects:
        """Returns the objects in frame t; their last attribute is the motion."""
        motions = MIRRORED_MOTIONS[self.motions] if mirrored else self.motions
        labels = self.labels(t)[:, ::-1] if mirrored else self.labels(t)
        circles = np.array([(thing.x, thing.y, thing.radius) for thing in self.layout(t).objects], np.float32)
        if mirrored:
            circles[:, 0] = self.side - 1 - circles[:, 0]
        return KnownObjects(labels, np.column_stack([self.attributes, motions]), circles)

    @cached_property
    def _look(self) -> Look:
        return Look(self.layout(self.middle), SeededRandom("look", *self._pixels))


class DrawnClips(Dataset):
    """A split of the drawn clips; clip i is the same on every machine.

    Clips 2 * i and 2 * i + 1 are twins: their middle frames are the same, their sentences, too, and no sentence has the
    same answer in both.

    Args:
        split: one of SPLITS.
        count: number of clips; the whole split by default. For train it must be given.
        side: side of the square canvas in pixels, 128 or 256.
        seed: another seed gives another benchmark; published figures use 0.
        annotated: which frames are scored and trained on, the middle one or all. In the first and the last one, place,
            size and rotation tell half of the motions.
        frames: fewest and most frames of a clip; published figures use 5 to 16.
        looks: number of further expressions of each clip that say what things look like, and not what they do; in
            published figures there are none. Twins have others, and the same answer to each is right in both.

    Raises:
        InvalidInput: if one of them is not allowed.
    """

    of_clips = True
    seed: int
    version = VERSION
    kinds: tuple[str, ...] = KINDS
    all_have_words = True
    familiar_images = "drawn clips only: coloured, patterned shapes that move on a plain ground; no filmed videos"
    object_classes = {**DrawnScenes.object_classes, "motion": len(MOTIONS)}
    licence = DRAWN_LICENCE
    uncheckable = DRAWN_UNCHECKABLE

    def __init__(
        self,
        split: str,
        count: int | None = None,
        side: int = 128,
        seed: int = 0,
        annotated: Annotated = "middle",
        frames: tuple[int, int] = FRAMES,
        looks: int = 0,
    ):
        if split not in SPLITS:
            raise InvalidInput(f"unknown split {split!r} of drawn_clips; {choose_one(split, SPLITS)}")
        if side not in (128, 256):
            raise InvalidInput(f"the side of a drawn clip is 128 or 256 pixels, not {side}")
        if annotated not in ("middle", "all"):
            raise InvalidInput(f"unknown annotated {annotated!r} of drawn_clips; choose middle or all")
        if count is None and split == "train":
            raise InvalidInput(f"split train of drawn_clips has no end; say how many: {option('count', 1000)}")
        self.count = SPLITS[split] if count is None else count
        if not 1 <= self.count <= SPLITS[split]:
            raise InvalidInput(f"split {split} of drawn_clips has 1 to {counted(SPLITS[split], 'clip')}, not {count}")
        low, high = frames
        if not FRAMES[0] <= low <= high <= MOST_FRAMES:
            raise InvalidInput(
                f"drawn clips have {FRAMES[0]} to {MOST_FRAMES} frames, not {low} to {high}; say the fewest and the "
                "most, for example frames=[24,32]"
            )
        if not 0 <= looks <= MOST_LOOKS:
            raise InvalidInput(f"a drawn clip has 0 to {MOST_LOOKS} expressions about looks, not {looks}")
        self.split, self.side, self.seed, self.annotated, self.frames = split, side, seed, annotated, (low, high)
        self.looks, self.kinds = looks, (*KINDS, LOOKS) if looks else KINDS
        self._twins: tuple[int, Twins] | None = None

    @classmethod
    @override
    def texts_with_all_words(cls) -> Iterator[str]:
        return (
            expression.text for clip in cls("train", CLIPS_WITH_ALL_WORDS, looks=4) for expression in clip.expressions
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> DrawnClip:
        """Returns clip `index`."""
        if not -self.count <= index < self.count:
            raise IndexError(f"clip {index} of {self.count}")
        index %= self.count
        number = index // 2
        if self._twins is None or self._twins[0] != number:
            self._twins = number, draw_twins(self.seed, self.split, self.side, number, self.frames)
        return DrawnClip(self, index, self._twins[1])

    def __iter__(self) -> Iterator[DrawnClip]:
        return (self[i] for i in range(self.count))
