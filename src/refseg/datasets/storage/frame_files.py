"""Frames of a video, from image files or a video file, decoded on access."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from PIL import Image

from refseg.array_types import RgbImage
from refseg.datasets.storage.reading import list_files
from refseg.errors import InvalidInput, MissingFile, first_line
from refseg.files.names import path_inside
from refseg.preprocessing.images import open_image, to_rgb
from refseg.video.frames import Frame, Frames
from refseg.video.reading import read_frames

T = TypeVar("T")
IMAGES = (".jpg", ".jpeg", ".png")


class StoredFrames(ABC):
    """Frames in their order, with random access."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    @abstractmethod
    def read(self, t: int) -> RgbImage:
        """Reads frame t, counted from 0: (H, W, 3) RGB.

        Raises:
            MissingFile, InvalidInput: if it is missing or damaged.
        """

    @property
    @abstractmethod
    def size_hw(self) -> tuple[int, int]:
        """Height and width."""

    def name(self, t: int) -> str:
        """Returns the name of frame t without its ending."""
        return f"{t:05d}"


class FrameFiles(StoredFrames):
    """Frames in image files, one each.

    Args:
        files: in their order; they need not be there until they are read.
        anchor: section of docs/datasets.md that says where to get them.
    """

    def __init__(self, files: Sequence[Path], anchor: str):
        self.files, self.anchor = files, anchor

    def __len__(self) -> int:
        return len(self.files)

    def read(self, t: int) -> RgbImage:
        """Reads frame t; EXIF's orientation is ignored, since masks are drawn on the stored pixels."""
        return read_from_image(self.files[t], self.anchor, lambda image: to_rgb(image, upright=False))

    @cached_property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the first frame, from the head of its file."""
        return read_from_image(self.files[0], self.anchor, lambda image: (image.height, image.width))

    def name(self, t: int) -> str:
        """Returns the file's name without the ending."""
        return self.files[t].stem


class VideoFile(StoredFrames):
    """A video file. Frames are decoded one after the other: going back starts again at the first."""

    def __init__(self, path: Path):
        self.path = path
        self._passing: Iterator[Frame] = iter(())
        self._now: Frame | None = None

    def __len__(self) -> int:
        return self._count

    def read(self, t: int) -> RgbImage:
        """Reads frame t."""
        if t < 0:
            raise IndexError(f"frame {t}")
        if self._now is None or t < self._now.index:
            self._passing, self._now = iter(self._video), None
        while self._now is None or self._now.index < t:
            passed, self._now = self._now, next(self._passing, None)
            if self._now is None:
                readable = 0 if passed is None else passed.index + 1
                raise InvalidInput(f"{self.path} has {readable} frames that can be decoded, not frame {t}; cut off?")
        return self._now.pixels.copy()

    @cached_property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the first frame."""
        height, width, _ = self.read(0).shape
        return height, width

    @cached_property
    def _video(self) -> Frames:
        return read_frames(self.path)

    @cached_property
    def _count(self) -> int:
        """Number of frames, from the header or counted."""
        return sum(1 for _ in self._video) if self._video.count is None else self._video.count


def frames_in_folder(folder: Path, anchor: str) -> FrameFiles:
    """Lists the images of a folder in the order of their names.

    Raises:
        MissingFile: if there are none.
        InvalidInput: if one is a link that leads out of the folder.
    """
    files = list_files(folder, *IMAGES)
    if not files:
        raise MissingFile(f"{folder} holds no frames; docs/datasets.md#{anchor} says where to get them")
    return FrameFiles(files, anchor)


def find_frame(folder: Path, stem: str) -> Path:
    """Finds the file of the frame that annotations call `stem`; its ending is one of `IMAGES`, in either case.

    Args:
        folder: of the video's frames.
        stem: the name of the frame without an ending.

    Returns:
        The first of the endings that is there, or else the path ending in .jpg, which is missing when it is read.

    Raises:
        InvalidInput: if the name leaves the folder.
    """
    usual = path_inside(folder, f"{stem}{IMAGES[0]}", "frame")
    names = (f"{stem}{cased}" for ending in IMAGES for cased in (ending, ending.upper()))
    name = next((name for name in names if (folder / name).is_file()), None) or _in_any_case(folder, stem)
    return usual if name is None else path_inside(folder, name, "frame")


def _in_any_case(folder: Path, stem: str) -> str | None:
    endings = {path.name: path.suffix.lower() for path in folder.glob("*") if path.stem == stem}
    there = [name for name, ending in endings.items() if ending in IMAGES]
    return min(there, key=lambda name: IMAGES.index(endings[name]), default=None)


def read_from_image(path: Path, anchor: str, what: Callable[[Image.Image], T]) -> T:
    """Opens an image file and returns the result of a function of it.

    Raises:
        MissingFile, InvalidInput: if it is missing or damaged.
    """
    try:
        with open_image(path) as image:
            return what(image)
    except FileNotFoundError as error:
        raise MissingFile(f"{path} is missing; docs/datasets.md#{anchor} says where to get it") from error
    except InvalidInput:
        raise
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise InvalidInput(f"{path} cannot be decoded ({first_line(error)}); is it damaged or cut off?") from error
