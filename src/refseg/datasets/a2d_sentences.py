"""A2D Sentences: expressions for actors and what they do, in 3 to 5 annotated frames of each video.

text_annotations/a2d_annotation.txt                                    CSV: video_id,instance_id,query
text_annotations/a2d_annotation_with_instances/VIDEO/FRAME.h5          masks; frames are counted from 1
Release/videoset.csv                                                   9 columns; the first the video, the last 1 = test
Release/clips320H/VIDEO.mp4, or Release/frames/VIDEO/FRAME.png         videos, or their frames

Source     https://kgavrilyuk.github.io/publication/actor_action; K. Gavrilyuk et al. "Actor and Action Video
           Segmentation from a Sentence". CVPR 2018; videos: https://web.eecs.umich.edu/~jjcorso/r/a2d.
Licence    research use.
Splits     train 3,017 videos, test 737 (not counted by us); 6,655 expressions about 3,754 videos.
"""

from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from refseg.array_types import Mask
from refseg.counting import counted
from refseg.datasets.storage.clip_dataset import ClipOfFiles, ClipsOfFiles, Video, referent_ids
from refseg.datasets.storage.frame_files import StoredFrames, VideoFile, frames_in_folder
from refseg.datasets.storage.reading import error_context, list_files
from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.files.names import file_name, path_inside
from refseg.files.text import read_table
from refseg.optional import import_optional
from refseg.samples import Expression

SPLITS = {"train": "0", "test": "1"}
VIDEO_SET, SENTENCES = "Release/videoset.csv", "text_annotations/a2d_annotation.txt"
VIDEOS = ("clips320H", "CLIPS320")
MAX_ARRAY_VALUES = 2**25
"""In an array of masks; the published ones have less than a tenth. A file of 2 kB can announce any number."""
MAX_ACTORS = 2**31


class A2DClip(ClipOfFiles):
    """A video of A2D Sentences."""

    def __init__(self, video: Video, frames: StoredFrames, masks: Path):
        super().__init__(video, frames)
        self._folder = masks

    def annotated_frames(self, index: int) -> tuple[int, ...]:
        """Returns the annotated frames that contain the expression's actor."""
        (actor,) = referent_ids(self.video, index)
        return tuple(t for t, actors in self._actors.items() if int(actor) in actors)

    def mask(self, index: int, t: int) -> Mask:
        """Returns the true mask (H, W) of expression `index` in frame t; empty if its actor is not there.

        Raises:
            InvalidInput: if frame t is not annotated, or its file is damaged.
        """
        path = self._files.get(t, self._folder / f"{t + 1:05d}.h5")
        if t not in self._actors:
            raise InvalidInput(f"frame {t} of {self.clip_id} is not annotated ({path} is missing)")
        (actor,) = referent_ids(self.video, index)
        chosen = np.isin(self._actors[t], int(actor))
        masks = _read_h5(path, "reMask")
        if masks.ndim not in (2, 3) or not masks.size:
            raise InvalidInput(f"{path}: reMask is actors x width x height, not {' x '.join(map(str, masks.shape))}")
        masks = masks.reshape(-1, *masks.shape[-2:])  # a single actor has no axis of its own
        if len(masks) != len(chosen):
            raise InvalidInput(
                f"{path} has {counted(len(chosen), 'actor')} and {counted(len(masks), 'mask')}; is it damaged?"
            )
        mask: Mask = self.check_frame_size((masks[chosen] > 0).any(0).T, path)  # stored as W x H
        return mask

    @cached_property
    def _actors(self) -> dict[int, Any]:
        """Actors in each annotated frame, by number, in the order of their masks."""
        if not self._files:
            raise MissingFile(f"{self._folder} holds no masks; docs/datasets.md#a2d_sentences says where to get them")
        return {t: self._actors_of(file) for t, file in self._files.items()}

    @staticmethod
    def _actors_of(file: Path) -> Any:
        numbers = _read_h5(file, "instance").reshape(-1)
        if not (abs(numbers) < MAX_ACTORS).all():  # also NaN
            raise InvalidInput(f"{file}: instance holds a number that is none of an actor")
        return numbers.astype(np.int64)

    @cached_property
    def _files(self) -> dict[int, Path]:
        """Mask file of each annotated frame, in the order of frames."""
        files = {int(path.stem) - 1: path for path in list_files(self._folder, ".h5") if path.stem.isdecimal()}
        return {t: files[t] for t in sorted(files) if t >= 0}


class A2DSentences(ClipsOfFiles):
    """A2D Sentences; the split is train, test or all. Masks need h5py, video files PyAV."""

    name = folder = "a2d_sentences"

    def videos(self) -> list[Video]:
        """Returns the videos of the split that have expressions, in the order of the table of expressions."""
        if self.split not in ("all", *SPLITS):
            raise self.refuse_split("train, test, all")
        parts = _parts(self._existing(self.root / VIDEO_SET))
        wanted = set(parts) if self.split == "all" else {id for id, part in parts.items() if part == SPLITS[self.split]}
        found: dict[str, list[tuple[str, str]]] = {}
        path = self._existing(self.root / SENTENCES)
        for line, row in islice(read_table(path), 1, None):
            with error_context(f"{path}: line {line}"):
                video, actor, text = row
                if actor.isdecimal() and video in wanted:  # one row is a "1 (copy)"
                    if int(actor) >= MAX_ACTORS:
                        raise InvalidInput(f"instance {actor} is no number of an actor")
                    found.setdefault(file_name(video, "video"), []).append((actor, text))
        return [_video(id, expressions) for id, expressions in found.items()]

    def clip(self, video: Video) -> A2DClip:
        """Opens a video as a clip: its extracted frames where there are any, otherwise its file."""
        masks = self.root / "text_annotations" / "a2d_annotation_with_instances" / video.id
        return A2DClip(video, self._frames(video.id), masks)

    def _frames(self, video: str) -> StoredFrames:
        release = self.root / "Release"
        if (release / "frames" / video).is_dir():
            return frames_in_folder(release / "frames" / video, self.name)
        files = [path_inside(release / folder, f"{video}.mp4", "video") for folder in VIDEOS]
        found = next((path for path in files if path.is_file()), None)
        if found is None:
            raise self.missing(files[0])
        return VideoFile(found)

    @classmethod
    def splits_in(cls, root: Path) -> list[str]:
        """Returns the splits that have videos, of train and test."""
        table = root / VIDEO_SET
        parts = set(_parts(table).values()) if table.is_file() else set()
        return [split for split, part in SPLITS.items() if part in parts]

    def sources(self) -> list[Path]:
        """Returns the tables of expressions and of videos."""
        return [self.root / SENTENCES, self.root / VIDEO_SET]

    def _existing(self, path: Path) -> Path:
        if not path.is_file():
            raise self.missing(path)
        return path


def _parts(table: Path) -> dict[str, str]:
    """Maps each video to 0 (train) or 1 (test)."""
    return {row[0]: row[-1] for _, row in read_table(table)}


def _video(id: str, found: list[tuple[str, str]]) -> Video:
    expressions = tuple(Expression(text, (int(actor),), id=f"{id}/{n}") for n, (actor, text) in enumerate(found))
    return Video(id, expressions, annotations=tuple((actor,) for actor, _ in found))


def _read_h5(path: Path, name: str) -> Any:
    """Reads an array of numbers that the file itself contains.

    Raises:
        InvalidInput: if h5py is not installed, or the array is not of numbers, too large, or in another file.
    """
    h5py = import_optional("h5py", f"{path}: reading the masks of A2D needs h5py", "formats")
    try:
        with h5py.File(path) as file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):  # others lead anywhere, in circles, too
                raise InvalidInput(f"{path}: {name} is a link; it is not a file of A2D Sentences")
            array = file[name]
            if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
                raise InvalidInput(f"{path}: {name} is not an array of its own; it is not a file of A2D Sentences")
            if array.shape is None or array.dtype.kind not in "biuf":
                raise InvalidInput(f"{path}: {name} is {array.dtype}, not numbers; it is not a file of A2D Sentences")
            if array.size > MAX_ARRAY_VALUES:
                raise InvalidInput(
                    f"{path}: {name} has {counted(array.size, 'number')}, at most {MAX_ARRAY_VALUES:,} are allowed"
                )
            return np.array(array)
    except InvalidInput:
        raise
    except KeyError as error:
        raise InvalidInput(f"{path} has no {name}; it is not a file of A2D Sentences") from error
    except Exception as error:  # HDF5 raises whatever it likes
        raise InvalidInput(f"{path} cannot be read as an HDF5 file ({first_line(error)}); is it damaged?") from error
