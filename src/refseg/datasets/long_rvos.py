"""Long-RVOS: expressions for objects of videos of a minute, about looks (static), motions (dynamic) or both (hybrid).

SPLIT/meta_expressions.json                     as in Refer-YouTube-VOS, with the type of each expression
SPLIT/JPEGImages/VIDEO/FRAME.jpg
SPLIT/Annotations/VIDEO/OBJECT/FRAME.png        the object's mask, white; no file where it is not in sight

Source     https://github.com/iSEE-Laboratory/Long_RVOS; T. Liang et al. "Long-RVOS: A Comprehensive Benchmark for
           Long-term Referring Video Object Segmentation". 2025.
Licence    Apache-2.0, as https://huggingface.co/datasets/iSEE-Laboratory/Long-RVOS says.
Splits     train, valid, test; 2,193 videos in all, not counted by us. Where a split has no Annotations its truth is not
           given out.
"""

from pathlib import Path

import numpy as np

from refseg.array_types import Mask
from refseg.datasets.storage.clip_dataset import ClipOfFiles, SplitFolders, Video, read_meta_expressions, referent_ids
from refseg.datasets.storage.frame_files import FrameFiles, find_frame, read_from_image
from refseg.files.names import path_inside


class LongRVOSClip(ClipOfFiles):
    """A video of Long-RVOS.

    Attributes:
        masks: folder of its masks; None where the truth is not given out.
    """

    def __init__(self, video: Video, frames: FrameFiles, masks: Path | None):
        super().__init__(video, frames)
        self.masks, self._anchor = masks, frames.anchor

    def annotated_frames(self, index: int) -> tuple[int, ...]:
        """Returns all frames; none where the truth is not given out."""
        return () if self.video.annotations[index] is None or self.masks is None else tuple(range(len(self)))

    def mask(self, index: int, t: int) -> Mask:
        """Returns the true mask (H, W) of expression `index` in frame t; empty if its object is not in sight.

        Raises:
            InvalidInput: if the truth is not given out, or a mask cannot be read or is of another size.
        """
        union = np.zeros(self.size_hw, np.bool_)
        for number in referent_ids(self.video, index):
            assert self.masks is not None  # or there would be no ids
            path = path_inside(self.masks, f"{number}/{self.frame_name(t)}.png", "mask")
            if path.is_file():
                found = read_from_image(path, self._anchor, lambda image: np.asarray(image.convert("L")) != 0)
                union |= self.check_frame_size(found, path)
        return union


class LongRVOS(SplitFolders):
    """Long-RVOS; the split is train, valid or test."""

    name = folder = "long_rvos"
    splits = ("train", "valid", "test")

    def videos(self) -> list[Video]:
        """Returns the videos of the split."""
        path = self.find_meta()
        self._masks = self.root / self.split / "Annotations"
        if self.split != "test" and not self._masks.is_dir():
            raise self.missing(self._masks)
        return read_meta_expressions(path, check_number=int)  # folders of masks, not labels: 0 may be one

    def clip(self, video: Video) -> LongRVOSClip:
        """Opens a video as a clip."""
        folder = self.root / self.split / "JPEGImages" / video.id
        masks: Path | None = None
        if self._masks.is_dir():
            masks = self._masks / video.id
            if not masks.is_dir():
                raise self.missing(masks)
        return LongRVOSClip(video, FrameFiles([find_frame(folder, name) for name in video.frames], self.name), masks)
