"""JHMDB Sentences: an expression for the person in each of 928 videos of 21 actions. A test set, nothing to train on.

jhmdb_annotation.txt                                  CSV: video_id,query
jhmdb_sentences_samples_metadata.json                 the frames that are scored: three of each video
Rename_Images/ACTION/VIDEO/FRAME.png                  frames, counted from 1
puppet_mask/ACTION/VIDEO/puppet_mask.mat              part_mask, height x width x frames

Source     https://kgavrilyuk.github.io/publication/actor_action; K. Gavrilyuk et al. "Actor and Action Video
           Segmentation from a Sentence". CVPR 2018; videos: http://jhmdb.is.tue.mpg.de; the list of frames:
           https://github.com/mttr2021/MTTR.
Licence    research use.
Splits     test: 928 videos and expressions, 2,784 frames scored.
"""

from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from refseg.array_types import Mask
from refseg.datasets.storage.annotation_masks import read_matlab
from refseg.datasets.storage.clip_dataset import ClipOfFiles, ClipsOfFiles, Video
from refseg.datasets.storage.frame_files import StoredFrames, frames_in_folder
from refseg.datasets.storage.reading import error_context, read_plain
from refseg.errors import InvalidInput, MissingFile, for_caller
from refseg.files.names import file_name, path_inside
from refseg.files.text import read_table
from refseg.samples import Expression

SENTENCES = "jhmdb_annotation.txt"
SAMPLES = "jhmdb_sentences_samples_metadata.json"


class JHMDBClip(ClipOfFiles):
    """A video of JHMDB Sentences; `scored` are the frames of the published list, None for all."""

    def __init__(self, video: Video, frames: StoredFrames, masks: Path, scored: tuple[int, ...] | None):
        super().__init__(video, frames)
        self._file, self._scored = masks, scored

    def annotated_frames(self, index: int) -> tuple[int, ...]:
        """Returns the scored frames that have a mask; there may be fewer masks than frames."""
        known = min(len(self), self._planes.shape[-1])
        return tuple(t for t in (range(known) if self._scored is None else self._scored) if t < known)

    def mask(self, index: int, t: int) -> Mask:
        """Returns the true mask (H, W) in frame t.

        Raises:
            MissingFile, InvalidInput: if there is none, or the file is missing or damaged.
        """
        if not 0 <= t < self._planes.shape[-1]:
            raise InvalidInput(f"frame {t} of {self.clip_id} has no mask; {self._planes.shape[-1]} frames have")
        mask: Mask = self.check_frame_size(self._planes[..., t] > 0, self._file)
        return mask

    @cached_property
    def _planes(self) -> Any:
        """Masks (H, W, T)."""
        if not self._file.is_file():
            raise MissingFile(f"{self._file} is missing; docs/datasets.md#jhmdb_sentences says where to get it")
        planes = read_matlab(self._file, "part_mask", "JHMDB")
        if planes.ndim not in (2, 3) or not planes.size:
            shape = " x ".join(map(str, planes.shape)) or "no"
            raise InvalidInput(f"{self._file}: part_mask is height x width x frames, not {shape}")
        return planes.reshape(*planes.shape[:2], -1)  # MATLAB drops the axis of a single frame


class JHMDBSentences(ClipsOfFiles):
    """JHMDB Sentences, split test.

    Args:
        split: test.
        root: its folder; $REFSEG_DATA/jhmdb_sentences by default.
        count: number of videos; all by default.
        frames: "published" scores the three random frames that others published, "all" every frame with a mask; figures
            on the two do not compare.
    """

    name = folder = "jhmdb_sentences"

    def __init__(
        self,
        split: str,
        root: str | Path | None = None,
        count: int | None = None,
        frames: Literal["published", "all"] = "published",
    ):
        if frames not in ("published", "all"):
            raise InvalidInput(f"unknown frames {frames!r} of jhmdb_sentences; choose published or all")
        self._published = frames == "published"
        self._scored: dict[str, tuple[int, ...]] = {}
        super().__init__(split, root, count)

    def videos(self) -> list[Video]:
        """Returns all videos."""
        if self.split != "test":
            raise self.refuse_split("test; it has no others: networks are trained on A2D Sentences")
        path = self.root / SENTENCES
        if not path.is_file():
            raise self.missing(path)
        if self._published:
            self._scored = published_frames(self.root / SAMPLES)
        found = []
        for line, row in islice(read_table(path), 1, None):
            with error_context(f"{path}: line {line}"):
                video, text = row
                file_name(video, "video")
                found.append(Video(video, (Expression(text, (1,), id=video),), annotations=(("1",),)))
        return found

    @classmethod
    def splits_in(cls, root: Path) -> list[str]:
        """Returns the one split."""
        return ["test"] if (root / SENTENCES).is_file() else []

    def sources(self) -> list[Path]:
        """Returns the table of expressions."""
        return [self.root / SENTENCES]

    def clip(self, video: Video) -> JHMDBClip:
        """Opens a video as a clip."""
        if video.id not in self._actions:
            raise self.missing(self.root / "Rename_Images" / "ACTION" / video.id)
        action = self._actions[video.id]
        frames = frames_in_folder(self.root / "Rename_Images" / action / video.id, self.name)
        masks = path_inside(self.root / "puppet_mask" / action / video.id, "puppet_mask.mat", "file of masks")
        scored = self._scored.get(video.id, ()) if self._published else None
        return JHMDBClip(video, frames, masks, scored)

    @cached_property
    def _actions(self) -> dict[str, str]:
        """Maps each video to its action, by folder."""
        return {path.name: path.parent.name for path in self.root.glob("Rename_Images/*/*")}


def published_frames(path: Path) -> dict[str, tuple[int, ...]]:
    """Reads the published list of scored frames of each video, counted from 0.

    Raises:
        MissingFile, InvalidInput: if it is missing or not as the format says.
    """
    if not path.is_file():
        every = for_caller("--set frames=all", "frames='all'")
        raise MissingFile(
            f"{path} is missing, the published list of frames that are scored; docs/datasets.md#jhmdb_sentences says "
            f"where to get it; with {every} every frame is scored"
        )
    found: dict[str, list[int]] = {}
    rows = read_plain(path)
    if not isinstance(rows, list):
        raise InvalidInput(f"{path} holds a {type(rows).__name__}, not a list of rows")
    for number, row in enumerate(rows):
        with error_context(f"{path}: row {number}"):
            video, frame, _, _, _ = row
            if (counted := int(Path(frame).stem)) < 1:
                raise InvalidInput(f"frames are counted from 1, not {counted}")
            found.setdefault(video, []).append(counted - 1)
    return {video: tuple(sorted(frames)) for video, frames in found.items()}
