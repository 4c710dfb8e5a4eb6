"""Data sets of images in files: a split of an index as a sequence of samples."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import BinaryIO, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from refseg.array_types import Mask, RgbImage
from refseg.datasets.dataset import Dataset
from refseg.datasets.storage.annotation_masks import CoveredTwice, MaskFile, Piece, draw, draw_at
from refseg.datasets.storage.index import BOX_ONLY, CROWD, MISSING, NONE, Index, IndexBuilder, open_index
from refseg.datasets.storage.reading import error_context, expand_user, find_folder
from refseg.errors import InvalidInput, MissingFile, RefsegError, did_you_mean, first_line, option
from refseg.files.names import path_inside
from refseg.masks.boxes import fill_box
from refseg.preprocessing.images import open_image, to_rgb
from refseg.samples import AnnotatedObjects, Expression, Sample

Folders = str | Path | Sequence[str | Path]
T = TypeVar("T")


class IndexedSample(Sample):
    """An image of a data set of files with its expressions of the split; their targets are objects of the index.

    Attributes:
        image_id: as the annotations call it.
        numbers: those of the expressions in the index, in their order.
    """

    def __init__(self, dataset: "IndexedDataset", image: int, numbers: NDArray[np.int64]):
        self._dataset, self._index, self._image, self.numbers = dataset, dataset.index, image, numbers
        self.image_id = dataset.prefix + self._index.text("image_id", image)

    @cached_property
    def expressions(self) -> tuple[Expression, ...]:  # type: ignore[override]
        """Expressions of the split about this image, in the order of the sources."""
        index, dataset = self._index, self._dataset
        return tuple(
            Expression(
                text=index.text(f"expression_{dataset.text}", number),
                targets=index.targets(number),
                type=index.word("type", number),
                kind=index.word("kind", number),
                id=dataset.prefix + index.text("expression_id", number),
            )
            for number in self.numbers.tolist()
        )

    @property
    def file(self) -> str:
        """Name of the photograph, as `IndexedDataset.open_file` takes it."""
        return self._index.text("image_file", self._image)

    @cached_property
    def image_path(self) -> Path:
        """Path of the photograph, or of the file that holds it.

        Raises:
            MissingFile, InvalidInput: if it is in none of the data set's folders.
        """
        return self._dataset.find_image(self.file)

    @cached_property
    def image(self) -> RgbImage:  # type: ignore[override]
        """(H, W, 3) uint8, RGB; EXIF's orientation is ignored, since masks are drawn on the stored pixels.

        Raises:
            MissingFile, InvalidInput: if it is missing, damaged, or not of the size that the annotations say.
        """
        pixels = self._read(lambda image: to_rgb(image, upright=False))
        if pixels.shape[:2] != self.size_hw:
            height, width = self.size_hw
            raise InvalidInput(
                f"{self.image_path} is {pixels.shape[1]} x {pixels.shape[0]} pixels, its annotations are for "
                f"{width} x {height}; take the original photograph"
            )
        return pixels

    @cached_property
    def size_hw(self) -> tuple[int, int]:
        """Height and width, from the annotations or else the head of the file."""
        height, width = self._index["image_hw"][self._image].tolist()
        return (height, width) if height and width else self._read(lambda image: (image.height, image.width))

    @property
    def coco_id(self) -> int | None:
        """The photograph's id in COCO, if it is from there."""
        number = int(self._index["image_coco"][self._image])
        return None if number < 0 else number

    def mask(self, index: int) -> Mask:
        """Returns the true mask (H, W): the union of the referents' masks.

        Raises:
            InvalidInput: if a referent has a box only, or is not among the annotations.
            MissingFile: if its mask is a file that is missing.
        """
        return _union(self._referents(index), self.size_hw)

    def referents(self, index: int) -> Mask:
        """Returns the true masks (K, H, W), one for each referent."""
        masks = list(self._referents(index))
        return np.stack(masks) if masks else np.empty((0, *self.size_hw), np.bool_)

    def others(self, index: int) -> Iterator[Mask]:
        """Yields the masks (H, W) of the image's objects that other expressions name."""
        here = np.flatnonzero((self._index["object_image"] == self._image) & (self._index["object_state"] == NONE))
        for number in set(here.tolist()) - set(self.expressions[index].targets):
            yield draw(self._dataset.pieces(number), self.size_hw, self._dataset.covered_twice)

    @override
    def annotated_objects(self) -> AnnotatedObjects | None:
        return self._dataset.annotated_objects(self._index.text("image_id", self._image), self.size_hw)

    def mask_at(self, index: int, size_hw: tuple[int, int]) -> Mask:
        """Returns the true mask at another size, without crowds: polygons are scaled, other pieces resized."""
        return _union(self._referents(index, size_hw), size_hw)

    def box(self, index: int) -> tuple[float, float, float, float] | None:
        """Returns left, top, right, bottom in pixels around all referents, from annotated boxes or else the mask."""
        targets = list(self._index.targets(int(self.numbers[index])))
        boxes = self._index["object_box"][targets]
        if not len(boxes) or np.isnan(boxes).any():
            return super().box(index)
        left, top = boxes[:, :2].min(0).tolist()
        right, bottom = boxes[:, 2:].max(0).tolist()
        return left, top, right, bottom

    def _read(self, what: Callable[[Image.Image], T]) -> T:
        """Opens the photograph and returns the result of a function of it."""
        try:
            with self._dataset.open_image(self.file) as image:
                return what(image)
        except RefsegError:
            raise
        except Exception as error:  # decoders of damaged files raise whatever they like
            question = f"is image {self.image_id} damaged or cut off?"  # several images lie in a shard
            raise InvalidInput(f"{self.image_path} cannot be decoded ({first_line(error)}); {question}") from error

    def _referents(self, index: int, at_hw: tuple[int, int] | None = None) -> Iterator[Mask]:
        """Yields the referents' masks; at another size, if that is given, without crowds."""
        data, annotations, expression = self._dataset, self._index, self.expressions[index]
        for target in expression.targets:
            state = annotations["object_state"][target]
            if state == CROWD and (at_hw or not data.crowds):
                continue
            with error_context(
                f"{data.label}: expression {expression.id}: object {annotations.text('object_id', target)}"
            ):
                if state == BOX_ONLY and data.fills_boxes:
                    yield fill_box(annotations["object_box"][target].tolist(), self.size_hw, at_hw or self.size_hw)
                    continue
                if state == BOX_ONLY:
                    raise InvalidInput("it has a box but no mask; this data serves box(), not mask()")
                if state == MISSING:
                    raise InvalidInput("it is not among the annotations of this image; are the files of one data set?")
                pieces = data.pieces(target)
                if at_hw:
                    yield draw_at(pieces, self.size_hw, at_hw, data.covered_twice)
                else:
                    yield draw(pieces, self.size_hw, data.covered_twice)


class IndexedDataset(Dataset):
    """A split of a data set of files; sample i is one image with its expressions of the split.

    Args:
        split: one of the data set's own; "all" takes every expression.
        root: folder of the annotations; $REFSEG_DATA/<folder of this data set> by default.
        images: the folder, or folders, of photographs; by default those where the field keeps them.
        count: number of images; all by default.
        text: "raw" gives sentences as people typed them, "sent" the cleaned ones.
        covered_twice: "lost" leaves out of masks what two polygons of an object cover, as some released code does.

    Raises:
        MissingFile: if the annotations are missing.
        InvalidInput: if they are damaged, or a setting is not allowed.
    """

    name: ClassVar[str]
    folder: ClassVar[str]
    """Under $REFSEG_DATA."""
    anchor: ClassVar[str]
    """Its section of docs/datasets.md; its name by default."""
    image_folders: ClassVar[tuple[str, ...]] = ("images", ".")
    """Relative to the root, or to the folder above it; "." is the root alone, since above it there may be anything."""
    crowds: ClassVar[bool] = True
    """Whether crowd regions belong to masks."""
    fills_boxes: ClassVar[bool] = False
    """Whether the mask of an object that has a box alone is that box, filled."""
    sample_class: ClassVar[type[IndexedSample]] = IndexedSample

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls) and "anchor" not in vars(cls):
            cls.anchor = cls.name

    def __init__(
        self,
        split: str,
        root: str | Path | None = None,
        images: Folders | None = None,
        count: int | None = None,
        text: Literal["raw", "sent"] = "raw",
        covered_twice: CoveredTwice = "kept",
    ):
        if text not in ("raw", "sent"):
            raise InvalidInput(f"unknown text {text!r}; choose raw (as typed) or sent (cleaned)")
        if covered_twice not in ("kept", "lost"):
            raise InvalidInput(f"unknown covered_twice {covered_twice!r}; choose kept or lost")
        self.root, self.split, self.text, self.covered_twice = self._root(root), split, text, covered_twice
        self.prefix = ""
        self._folders = self._image_folders(images)
        self.index: Index = self.open()
        wanted = self.expressions_of(split)
        if not self.splits:
            raise InvalidInput(f"{self.sources()[0]} holds no expression; give a file that has some")
        if not len(wanted):
            has = ", ".join(filter(None, self.splits)) or "no named ones"
            raise InvalidInput(
                f"{self.label} has no split {split!r}; {did_you_mean(split, self.splits)}{self.root} holds {has}, and "
                "split 'all' takes everything"
            )
        self._choose(wanted, count)

    def open(self) -> Index:
        """Opens the index of all splits; builds it where that is needed."""
        sources = self.sources()
        for source in sources:
            if not os.path.isfile(source):
                raise MissingFile(f"{source} is missing; docs/datasets.md#{self.anchor} says where to get it")
        return open_index(self.index_name, sources, self.read)

    def sources(self) -> list[Path]:
        """Returns the files from which the index is built."""
        raise NotImplementedError

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index from the sources."""
        raise NotImplementedError

    @property
    def index_name(self) -> str:
        """Name of the index on disk."""
        return self.name

    @property
    def label(self) -> str:
        """Name for messages and tables."""
        return self.name

    def expressions_of(self, split: str) -> NDArray[np.int64]:
        """Returns the numbers of the split's expressions in the index."""
        chosen = [number for number, name in enumerate(self.index.names["split"]) if self.belongs(name, split)]
        return np.flatnonzero(np.isin(self.index["expression_split"], chosen))

    def belongs(self, name: str, split: str) -> bool:
        """Whether entries that the sources label `name` are in `split`."""
        return split in ("all", name)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> IndexedSample:
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        number %= len(self)
        numbers = self._numbers[self._starts[number] : self._starts[number + 1]]
        return self.sample_class(self, int(self._images[number]), numbers)

    def __iter__(self) -> Iterator[IndexedSample]:
        return (self[number] for number in range(len(self)))

    @property
    def expression_count(self) -> int:
        """Number of expressions of these images in the split."""
        return len(self._numbers)

    @property
    def by_image(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of all expressions, grouped by image, and the start of each image's group (images + 1)."""
        return self._numbers, self._starts

    @property
    @override
    def indexed_parts(self) -> "Sequence[IndexedDataset]":
        return (self,)

    def annotated_objects(self, image_id: str, size_hw: tuple[int, int]) -> AnnotatedObjects | None:
        """Returns all annotated objects of an image of this size; None where only those that are named are known."""
        return None

    def expressions_among(self, images: int) -> int:
        """Returns the number of expressions of the first `images` images."""
        return int(self._starts[min(images, len(self))])

    @property
    def ref_count(self) -> int:
        """Number of refs: regions, or groups of them, that one or more expressions name (papers say "objects")."""
        return len(np.unique(self.index["expression_ref"][self._numbers]))

    @property
    def splits(self) -> list[str]:
        """Names of splits as the sources have them."""
        return self.index.names["split"]

    def find_image(self, file: str) -> Path:
        """Finds a photograph in the folders, by its whole name or else by the last part.

        Raises:
            MissingFile: if it is in none of the folders.
            InvalidInput: if it is in none, and its name leads out of them.
        """
        refusal = None
        for folder in self._folders:
            for name in dict.fromkeys([file, PureWindowsPath(file).name]):
                try:
                    path = path_inside(folder, name, "image")
                except InvalidInput as error:
                    refusal = refusal or error
                    continue
                if os.path.isfile(path):
                    return path
        if refusal:
            raise InvalidInput(f"{refusal}; or give the folder of these images as {option('images')}") from refusal
        existing = [str(folder) for folder in self._folders if os.path.isdir(folder)]
        where = f"not in {', '.join(existing)}" if existing else f"no folder of images is at {self._folders[0]}"
        raise MissingFile(
            f"{file} is missing ({where}); docs/datasets.md#{self.anchor} says where to get it, "
            f"and {option('images')} where it is"
        )

    def open_image(self, file: str) -> Image.Image:
        """Opens a photograph without decoding it.

        Raises:
            MissingFile, InvalidInput: as of `find_image` and `images.open_image`.
        """
        return open_image(self.find_image(file))

    def open_file(self, file: str) -> BinaryIO:
        """Opens a photograph's file.

        Raises:
            MissingFile, InvalidInput: as of `find_image`.
            OSError: if it cannot be opened.
        """
        return self.find_image(file).open("rb")

    def find_mask(self, piece: MaskFile) -> MaskFile:
        """Finds a mask's file, from its name in the annotations.

        Raises:
            InvalidInput: if the name leads out of the data set's folder.
        """
        return MaskFile(str(path_inside(self.root, piece.path, "mask")), piece.inverted)

    def pieces(self, number: int) -> list[Piece]:
        """Returns the mask of an object of the index with the paths of its files.

        Raises:
            MissingFile, InvalidInput: as of `find_mask`.
        """
        return [self.find_mask(piece) if isinstance(piece, MaskFile) else piece for piece in self.index.pieces(number)]

    def keep(self, images: NDArray[np.bool_]) -> None:
        """Keeps those images of the index (n,) that are True."""
        self._choose(self._numbers[images[self.index["expression_image"][self._numbers]]], None)

    def _choose(self, numbers: NDArray[np.int64], count: int | None) -> None:
        """Groups expressions by image, images in the order of their first expression."""
        if count is not None and (not isinstance(count, int) or count < 1):
            raise InvalidInput(f"count is the number of images, 1 or more, not {count!r}")
        images, first, group = np.unique(
            self.index["expression_image"][numbers], return_index=True, return_inverse=True
        )
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        self._images = images[order][:count]
        self._starts = np.concatenate([[0], np.bincount(rank[group], minlength=len(order)).cumsum()])
        self._starts = self._starts[: len(self._images) + 1]
        self._numbers = numbers[np.argsort(rank[group], kind="stable")][: self._starts[-1]]

    def _root(self, root: str | Path | None) -> Path:
        return find_folder(self.name, self.folder, self.anchor, root)

    def _image_folders(self, images: Folders | None) -> list[Path]:
        if images is not None:
            chosen = [images] if isinstance(images, str | Path) else images
            folders = [expand_user(folder) for folder in chosen]
            for folder in folders:
                if not os.path.isdir(folder):
                    raise MissingFile(f"{folder} is missing; {option('images')} takes folders of photographs")
            return folders
        places = [
            place / name
            for name in self.image_folders
            for place in ((self.root,) if name == "." else (self.root, self.root.parent))
        ]
        return [place for place in places if os.path.isdir(place)] or places


def _union(masks: Iterator[Mask], size_hw: tuple[int, int]) -> Mask:
    union = next(masks, None)
    if union is None:
        return np.zeros(size_hw, np.bool_)
    for mask in masks:
        union |= mask
    return union
