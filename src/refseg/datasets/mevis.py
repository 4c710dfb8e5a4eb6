"""MeViS: expressions about motions in videos; an expression may name several objects.

SPLIT/meta_expressions.json              as in Refer-YouTube-VOS, with lists of objects (obj_id) and of masks (anno_id)
SPLIT/mask_dict.json                     anno_id -> run lengths of every frame, or null; not given out for valid
SPLIT/JPEGImages/VIDEO/FRAME.jpg

Source     https://github.com/henghuiding/MeViS; H. Ding et al. "MeViS: A Large-scale Benchmark for Video Segmentation
           with Motion Expressions". ICCV 2023.
Licence    CC BY-NC-SA 4.0, non-commercial research.
Splits     train 1,662 videos and 23,051 expressions, valid_u 50 and 793 (scored here), valid 140 and 2,236 (scored by
           the challenge's server); the 154 videos of test are not given out.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from refseg.array_types import Mask
from refseg.counting import counted
from refseg.datasets.storage.annotation_masks import draw
from refseg.datasets.storage.challenge_submission import SubmittedClips
from refseg.datasets.storage.clip_dataset import ClipOfFiles, SplitFolders, Video, read_meta_expressions, referent_ids
from refseg.datasets.storage.frame_files import FrameFiles, StoredFrames, find_frame
from refseg.datasets.storage.index import Index, IndexBuilder, open_index
from refseg.datasets.storage.reading import error_context, read_plain
from refseg.errors import InvalidInput
from refseg.masks.rle import parse_rle

FEWEST_FRAMES = 2  # of a video of split train


class MeViSClip(ClipOfFiles):
    """A video of MeViS."""

    def __init__(self, video: Video, frames: StoredFrames, masks: "Masks | None"):
        super().__init__(video, frames)
        self._masks = masks

    def annotated_frames(self, index: int) -> tuple[int, ...]:
        """Returns all frames; none where ground truth is not published."""
        return () if self.video.annotations[index] is None else tuple(range(len(self)))

    def mask(self, index: int, t: int) -> Mask:
        """Returns the true mask (H, W) of expression `index` in frame t: the union of its referents' masks.

        Raises:
            InvalidInput: if the truth is not given out, or a mask is missing or of another size.
        """
        union = np.zeros(self.size_hw, np.bool_)
        for object_id in referent_ids(self.video, index):
            union |= self._draw(object_id, t)
        return union

    def visible(self, t: int, asked: Sequence[int]) -> list[bool]:
        """Whether each expression has a referent in frame t; each mask is drawn once for all expressions."""
        objects = [referent_ids(self.video, index) for index in asked]
        there = {object_id: bool(self._draw(object_id, t).any()) for object_id in set(chain(*objects))}
        return [any(there[object_id] for object_id in ids) for ids in objects]

    def _draw(self, object_id: str, t: int) -> Mask:
        assert self._masks is not None
        with error_context(f"mask {object_id} of {self.clip_id}, frame {t}"):
            return self._masks.draw(object_id, t, self.size_hw)


class MeViS(SplitFolders, SubmittedClips):
    """MeViS; the split is train, valid_u or valid."""

    name = folder = "mevis"
    splits = ("train", "valid_u", "valid")

    def videos(self) -> list[Video]:
        """Returns the videos of the split; for train, without those of a single frame."""
        path = self.find_meta()
        self._masks = self._open_masks()
        videos = read_meta_expressions(path, ids="anno_id")
        fewest = FEWEST_FRAMES if self.split == "train" else 1
        return [video for video in videos if len(video.frames) >= fewest]

    def clip(self, video: Video) -> MeViSClip:
        """Opens a video as a clip."""
        folder = self.root / self.split / "JPEGImages" / video.id
        if self._masks is None:
            video = replace(video, annotations=(None,) * len(video.expressions))
        return MeViSClip(video, FrameFiles([find_frame(folder, name) for name in video.frames], self.name), self._masks)

    def _open_masks(self) -> "Masks | None":
        path = self.root / self.split / "mask_dict.json"
        if not path.is_file():
            if self.split == "valid":
                return None
            raise self.missing(path)
        return Masks(path)


class Masks:
    """The masks of a mask_dict.json, through an index that processes share, since the file is large."""

    def __init__(self, path: Path):
        self._path = path
        self.index: Index = open_index("mevis-masks", [path], self._read)
        self._numbers = {self.index.text("expression_id", number): number for number in range(len(self.index))}

    def draw(self, object_id: str, t: int, size_hw: tuple[int, int]) -> Mask:
        """Draws the mask (H, W) of an object in frame t; empty if it is not there.

        Raises:
            InvalidInput: if it has no masks, or they are of another size.
        """
        if object_id not in self._numbers:
            raise InvalidInput(f"{self._path} has no such mask; are the files of one release?")
        frames: Sequence[int] = self.index.targets(self._numbers[object_id])
        if t >= len(frames):
            raise InvalidInput(f"{self._path} has {counted(len(frames), 'frame')} of it")
        return draw(self.index.pieces(frames[t]), size_hw)

    def _read(self, builder: IndexBuilder) -> None:
        """Fills an index: run lengths are objects of one image, an id is an expression that names its objects."""

        def compact(entry: dict[str, Any]) -> Any:
            return parse_rle(entry) if "counts" in entry else entry

        image = builder.image("", "")
        masks = read_plain(self._path, each=compact)
        if not isinstance(masks, dict):
            raise InvalidInput(f"{self._path} holds a {type(masks).__name__}, not {{anno_id: [run lengths, ...]}}")
        for object_id, frames in masks.items():
            with error_context(f"{self._path}: mask {object_id}"):
                numbers = [builder.object(image, object_id, [] if rle is None else [rle]) for rle in frames]
                builder.expression(image, object_id, "", targets=numbers)
