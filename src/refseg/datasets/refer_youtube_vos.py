"""Refer-YouTube-VOS: expressions for objects of YouTube videos; and any folder in its layout.

meta_expressions/SPLIT/meta_expressions.json   videos, names of their frames, expressions with the object they name
SPLIT/JPEGImages/VIDEO/FRAME.jpg               every fifth frame
SPLIT/Annotations/VIDEO/FRAME.png              labels of objects; not given out for valid and test

Source     https://youtube-vos.org/dataset/rvos; S. Seo et al. "URVOS: Unified Referring Video Object Segmentation
           Network with a Large-Scale Benchmark". ECCV 2020.
Licence    annotations CC BY 4.0 (not checked); videos are those of YouTube's users.
Splits     train 3,471 videos and 12,913 expressions (not counted by us), valid 202 videos, test 305; the file of valid
           holds both, 507 videos and 2,096 expressions, so valid is what the file of test leaves of it.
"""

from pathlib import Path

from refseg.datasets.storage.challenge_submission import SubmittedClips
from refseg.datasets.storage.clip_dataset import LabelledClip, Video, read_meta_expressions
from refseg.datasets.storage.frame_files import FrameFiles, find_frame
from refseg.errors import InvalidInput

VALID_AND_TEST = 507
VALID = 202


class ReferYouTubeVOS(SubmittedClips):
    """Refer-YouTube-VOS, or a folder in its layout with its own splits.

    An expression names one object; in folders of your own `obj_id` may be a list, empty for an expression that refers
    to nothing.
    """

    name = folder = "refer_youtube_vos"
    inside = "Annotations"

    def videos(self) -> list[Video]:
        """Returns the videos of the split's file; for valid, without those of test."""
        path = self._meta(self.split)
        if not path.is_file():
            there = self.splits_in(self.root)
            raise self.refuse_split(", ".join(there)) if there else self.missing(path)
        videos = read_meta_expressions(path)
        if self.split != "valid":
            return videos
        test = self._meta("test")
        if test.is_file():
            others = {video.id for video in read_meta_expressions(test)}
            valid = [video for video in videos if video.id not in others]
            if len(videos) == VALID_AND_TEST and len(valid) != VALID:
                raise InvalidInput(
                    f"{path} without the videos of {test} leaves {len(valid)}, not {VALID}; are they of one release?"
                )
            return valid
        if len(videos) == VALID_AND_TEST:
            raise InvalidInput(f"{path} holds valid and test together; {test} is needed to tell them apart")
        return videos

    @classmethod
    def splits_in(cls, root: Path) -> list[str]:
        """Returns the splits that the folder has."""
        return sorted(found.parent.name for found in root.glob("meta_expressions/*/meta_expressions.json"))

    def sources(self) -> list[Path]:
        """Returns the split's file."""
        return [self._meta(self.split)]

    def _meta(self, split: str) -> Path:
        return self.root / "meta_expressions" / split / "meta_expressions.json"

    def clip(self, video: Video) -> LabelledClip:
        """Opens a video as a clip."""
        return labelled_clip(self.root / self.split, video, self.name)


def labelled_clip(folder: Path, video: Video, anchor: str) -> LabelledClip:
    """Opens a video of a folder with JPEGImages and Annotations as a clip."""
    images = folder / "JPEGImages" / video.id
    files = FrameFiles([find_frame(images, name) for name in video.frames], anchor)
    return LabelledClip(video, files, folder / "Annotations" / video.id)
