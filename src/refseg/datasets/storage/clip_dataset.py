"""Data sets of videos in files: base classes, and the formats that several of them share."""

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import LabelImage, Mask, RgbImage
from refseg.datasets.dataset import Dataset
from refseg.datasets.storage.frame_files import FrameFiles, StoredFrames, read_from_image
from refseg.datasets.storage.ids import normalize_id
from refseg.datasets.storage.reading import error_context, find_folder, list_files, read_plain
from refseg.errors import InvalidInput, MissingFile, did_you_mean
from refseg.files.names import file_name
from refseg.samples import Clip, Expression

MAX_OBJECTS = 255
META = "meta_expressions.json"
"""In images of labels."""


@dataclass(frozen=True, slots=True)
class Video:
    """Annotations of a video.

    Attributes:
        id: unique within the data set.
        expressions: about it.
        frames: their names, where the annotations say them.
        annotations: of each expression, the ids of its referents' masks; None where the truth is not given out.
    """

    id: str
    expressions: tuple[Expression, ...]
    frames: tuple[str, ...] = ()
    annotations: tuple[tuple[str, ...] | None, ...] = ()


class ClipOfFiles(Clip):
    """A video of a data set of files."""

    def __init__(self, video: Video, frames: StoredFrames):
        self.clip_id, self.expressions = video.id, video.expressions
        self.video, self.frames = video, frames

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, t: int) -> RgbImage:
        """Reads frame t, counted from 0: (H, W, 3) uint8, RGB.

        Raises:
            MissingFile, InvalidInput: if it is missing or damaged.
        """
        return self.frames.read(t)

    def frame_name(self, t: int) -> str:
        """Returns the name of the frame's file without the ending."""
        return self.frames.name(t)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width, from the head of the first frame's file."""
        return self.frames.size_hw

    def check_frame_size(self, mask: NDArray[Any], what: object) -> NDArray[Any]:
        """Returns a mask or label image (H, W) after a check of its size.

        Raises:
            InvalidInput: if not.
        """
        if mask.shape != self.size_hw:
            given, wanted = (" x ".join(map(str, shape[::-1])) for shape in (mask.shape, self.size_hw))
            raise InvalidInput(f"{what}: {given} pixels, and the frames of {self.clip_id} are {wanted}")
        return mask

    def visible(self, t: int, asked: Sequence[int]) -> list[bool]:
        """Whether any referent of each of these expressions has a pixel in frame t.

        Raises:
            MissingFile, InvalidInput: as of `mask`.
        """
        return [bool(self.mask(index, t).any()) for index in asked]


class LabelledClip(ClipOfFiles):
    """A video whose frames have images of labels: 0 = background, k = object k.

    Attributes:
        label_files: name of a frame -> its image of labels.
    """

    def __init__(self, video: Video, frames: FrameFiles, labels: Path):
        super().__init__(video, frames)
        self._folder, self._anchor = labels, frames.anchor
        self.label_files = {path.stem: path for path in list_files(labels, ".png")}

    def annotated_frames(self, index: int) -> tuple[int, ...]:
        """Returns the frames with a label image; none where the referents are not published."""
        if self.video.annotations[index] is None:
            return ()
        return tuple(t for t in range(len(self)) if self.frame_name(t) in self.label_files)

    def labels(self, t: int) -> LabelImage:
        """Reads the labels (H, W) of frame t as they are stored: DAVIS marks pixels that are not scored with 255.

        Raises:
            MissingFile, InvalidInput: if they are missing, damaged or of another size.
        """
        name = self.frame_name(t)
        path = self.label_files.get(name, self._folder / f"{name}.png")
        mode, labels = read_from_image(path, self._anchor, lambda image: (image.mode, np.array(image)))
        if mode not in ("P", "L"):
            raise InvalidInput(f"{path} holds colours ({mode}), not numbers of objects; take the original file")
        return self.check_frame_size(labels, path)

    def mask(self, index: int, t: int) -> Mask:
        """Returns the true mask (H, W) of expression `index` in frame t: all its referents, empty if none is there.

        Raises:
            InvalidInput: if the truth is not given out, or the labels cannot be read.
            MissingFile: if there are no labels of this frame.
        """
        meant = self._labels_of(index)
        return np.isin(self.labels(t), meant)

    def visible(self, t: int, asked: Sequence[int]) -> list[bool]:
        """As `ClipOfFiles.visible`; the labels are read once for all expressions."""
        seen = set(np.flatnonzero(np.bincount(self.labels(t).ravel(), minlength=256)).tolist())
        return [not seen.isdisjoint(self._labels_of(index)) for index in asked]

    def _labels_of(self, index: int) -> list[int]:
        return [int(number) for number in referent_ids(self.video, index)]


class ClipsOfFiles(Dataset, ABC):
    """A split of a data set of videos; item i is one video with its expressions of the split.

    Args:
        split: one of the data set's own.
        root: its folder; $REFSEG_DATA/<folder of this data set> by default.
        count: number of videos; all by default.

    Raises:
        MissingFile: if the annotations are missing.
        InvalidInput: if they are damaged, or a setting is not allowed.
    """

    of_clips = True
    name: ClassVar[str]
    folder: ClassVar[str]
    """Under $REFSEG_DATA."""

    def __init__(self, split: str, root: str | Path | None = None, count: int | None = None):
        if count is not None and count < 1:
            raise InvalidInput(f"count is the number of videos, 1 or more, not {count}")
        self.split, self.root = split, find_folder(self.name, self.folder, self.name, root)
        self._videos = self.videos()[:count]
        if not self._videos:
            raise InvalidInput(f"{self.root} holds no video with expressions of split {split!r} of {self.name}")

    @abstractmethod
    def videos(self) -> list[Video]:
        """Returns the videos of the split that have expressions, from the annotations."""

    @abstractmethod
    def clip(self, video: Video) -> ClipOfFiles:
        """Opens a video as a clip."""

    @classmethod
    @abstractmethod
    def splits_in(cls, root: Path) -> list[str]:
        """Returns the splits whose annotations are in a folder."""

    @abstractmethod
    def sources(self) -> list[Path]:
        """Returns the files of sentences of the split, all of which are texts."""

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, number: int) -> Any:
        if not -len(self) <= number < len(self):
            raise IndexError(f"clip {number} of {len(self)}")
        return self.clip(self._videos[number])

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    @property
    def listed(self) -> Sequence[Video]:
        """Videos as the annotations list them."""
        return self._videos

    @property
    def expression_count(self) -> int:
        """Number of expressions about these videos."""
        return sum(len(video.expressions) for video in self._videos)

    def missing(self, path: Path) -> MissingFile:
        """Returns the error for a missing file or folder of this data set."""
        return MissingFile(f"{path} is missing; docs/datasets.md#{self.name} says where to get it")

    def refuse_split(self, allowed: str) -> InvalidInput:
        """Returns the error for an unknown split; the allowed ones are words before a ";"."""
        meant = did_you_mean(self.split, allowed.partition(";")[0].split(", "))
        return InvalidInput(f"{self.name} has no split {self.split!r}; {meant}choose one of: {allowed}")


class SplitFolders(ClipsOfFiles):
    """A data set with a folder for each split, which holds its meta_expressions.json."""

    splits: ClassVar[tuple[str, ...]]

    def find_meta(self) -> Path:
        """Returns the file of the split's sentences.

        Raises:
            InvalidInput: for an unknown split.
            MissingFile: if it is not there.
        """
        if self.split not in self.splits:
            raise self.refuse_split(", ".join(self.splits))
        (path,) = self.sources()
        if not path.is_file():
            raise self.missing(path)
        return path

    @classmethod
    def splits_in(cls, root: Path) -> list[str]:
        """Returns those of its splits that the folder has."""
        return [split for split in cls.splits if (root / split / META).is_file()]

    def sources(self) -> list[Path]:
        """Returns the split's file."""
        return [self.root / self.split / META]


def referent_ids(video: Video, index: int) -> tuple[str, ...]:
    """Returns the ids of the referents' masks of expression `index`.

    Raises:
        InvalidInput: if they are not given out.
    """
    found = video.annotations[index]
    if found is None:
        raise InvalidInput(
            f"what {video.expressions[index].text!r} refers to in {video.id} is not given out; its masks go to the "
            "server of the challenge: write_submission makes the file"
        )
    return found


def read_meta_expressions(
    path: Path, ids: str = "obj_id", check_number: Callable[[int], int] | None = None
) -> list[Video]:
    """Reads the videos of a meta_expressions.json, the format of Refer-YouTube-VOS, that have expressions and frames.

    Args:
        path: the file.
        ids: what the ids of masks are called: "obj_id", one or a list, or "anno_id", a list.
        check_number: returns the number of an object, or raises InvalidInput; `label_number` by default.

    Raises:
        MissingFile, InvalidInput: if it is missing or not as the format says.
    """
    content, found, check = read_plain(path), [], check_number or label_number
    with error_context(str(path)):
        entries = dict(content["videos"])
    for video, entry in entries.items():
        expressions = list[Expression]()
        annotations = list[tuple[str, ...] | None]()
        with error_context(f"{path}: video {video!r}"):
            file_name(video, "video")
            frames = tuple(file_name(name, "frame") for name in entry["frames"])
            items: Mapping[str, Any] = dict(entry["expressions"])
        for number, item in items.items():
            with error_context(f"{path}: video {video!r}, expression {number!r}"):
                file_name(number, "expression")  # `--masks` and `--submission` write a folder of this name
                text = _text(item["exp"], "exp")
                targets = tuple(map(whole_number, _list(item.get("obj_id", []))))
                type = _text(item.get("type", ""), "type")
                expressions.append(Expression(text, targets, type, id=f"{video}/{number}"))
                if "obj_id" not in item:
                    annotations.append(None)
                elif ids == "obj_id":
                    annotations.append(tuple(str(check(target)) for target in targets))
                else:
                    annotations.append(tuple(normalize_id(mask) for mask in _list(item[ids])))
        if expressions and frames:
            found.append(Video(video, tuple(expressions), frames, tuple(annotations)))
    return found


def label_number(value: Any) -> int:
    """Parses the number of an object in label images, 1 to 255: they have 8 bits, and 0 is the background.

    Raises:
        InvalidInput: if it cannot be one.

    >>> label_number("3")
    3
    """
    number = whole_number(value)
    if not 1 <= number <= MAX_OBJECTS:
        raise InvalidInput(f"object {reprlib.repr(value)} is none of 1 to {MAX_OBJECTS}, as in images of labels")
    return number


def whole_number(value: Any) -> int:
    """Parses the number of an object, given as a number or as digits, from 0 on.

    Raises:
        InvalidInput: if it is none.
    """
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not (is_number or (isinstance(value, str) and value.isdecimal())):
        raise InvalidInput(f"the number of an object is a whole number, not {reprlib.repr(value)}")
    return int(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any, what: str) -> str:
    """Returns a text that can be encoded; lone surrogates become question marks."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} must be a text, not {reprlib.repr(value)}")
    return value.encode(errors="replace").decode()
