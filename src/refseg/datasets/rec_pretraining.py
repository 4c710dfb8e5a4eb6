"""The merged data for pretraining on boxes: Visual Genome's regions and the training parts of the RefCOCO sets.

From its parts ("rec_pretraining"), or from the files of CMIRNet's authors: their list of boxes ("rec_boxes") and their
merged refs ("rec_combined").

Source     the parts' own; the recipe is CMIRNet's and PolyFormer's.
Licence    the parts' own.
Splits     train. Every image that is in another split of any of the parts is left out: about half of Visual Genome is
           COCO, and the training images of each RefCOCO set hold test images of the others.
"""

import csv
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from refseg.datasets.dataset import Dataset
from refseg.datasets.grefcoco import GRefCOCO
from refseg.datasets.phrasecut import PhraseCut
from refseg.datasets.refcoco import TRAIN2014, RefCOCO, RefCOCOg, RefCOCOPlus
from refseg.datasets.refer import ReferLayout
from refseg.datasets.refzom import RefZOM
from refseg.datasets.storage.index import BOX_ONLY, IndexBuilder
from refseg.datasets.storage.indexed_dataset import Folders, IndexedDataset, IndexedSample
from refseg.datasets.storage.reading import error_context, find_one_file, parse_coco_id
from refseg.datasets.visual_genome import VisualGenome
from refseg.errors import InvalidInput

PARTS: dict[str, type[IndexedDataset]] = {
    kind.name: kind for kind in (RefCOCO, RefCOCOPlus, RefCOCOg, GRefCOCO, RefZOM, PhraseCut, VisualGenome)
}
"""Data sets of COCO's photographs, which can be merged."""


class RecPretraining(Dataset):
    """Concatenated training splits without any image of another split of any of the data sets.

    Args:
        split: "train".
        root: folder that holds the folders of the parts (refcoco, refcoco+, ...); $REFSEG_DATA by default.
        parts: names of data sets, with whose splits after a colon where there are several.
        held_out: further sets, written alike, whose val and test images are left out.
        images, count, text: as of `IndexedDataset`; the folders of images are searched for all parts.

    Attributes:
        left_out: number of images of each part that were left out.

    Raises:
        MissingFile: if a part's annotations are missing.
        InvalidInput: if a setting is not allowed.
    """

    name = "rec_pretraining"
    uncheckable = "is put together from other data sets; check those, with --against each other"

    def __init__(
        self,
        split: str = "train",
        root: str | Path | None = None,
        parts: Sequence[str] = ("refcoco:unc", "refcoco+:unc", "refcocog:umd", "visual_genome"),
        held_out: Sequence[str] = (),
        images: Folders | None = None,
        count: int | None = None,
        text: str = "raw",
    ):
        if split != "train":
            raise InvalidInput(f"{self.name} has split train only, not {split!r}; evaluate on its parts")
        if count is not None and count < 1:
            raise InvalidInput(f"count is the number of images, 1 or more, not {count}")
        self.split, self.root = split, root
        settings = {"images": images, "text": text}
        self.parts = {name: self._open(name, "train", settings) for name in parts}
        others = [self._open(name, "all", settings) for name in held_out]
        evaluated = np.unique(np.concatenate([_evaluated(part) for part in (*self.parts.values(), *others)]))
        self.left_out: dict[str, int] = {}
        for name, part in self.parts.items():
            before = len(part)
            part.keep(~np.isin(part.index["image_coco"], evaluated))
            part.prefix = f"{name.replace(':', '-')}-"
            self.left_out[name] = before - len(part)
        self._ends = np.cumsum([len(part) for part in self.parts.values()]).tolist()
        self._length = self._ends[-1] if count is None else min(count, self._ends[-1])

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> IndexedSample:
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        number %= len(self)
        place = bisect_right(self._ends, number)
        return list(self.parts.values())[place][number - (self._ends[place - 1] if place else 0)]

    def __iter__(self) -> Iterator[IndexedSample]:
        return (self[number] for number in range(len(self)))

    @property
    def expression_count(self) -> int:
        """Number of expressions of these images."""
        left, total = len(self), 0
        for part in self.parts.values():
            total += part.expressions_among(left)
            left = max(0, left - len(part))
        return total

    @property
    @override
    def indexed_parts(self) -> list[IndexedDataset]:
        return list(self.parts.values())

    def _open(self, name: str, split: str, settings: dict[str, Any]) -> IndexedDataset:
        kind, _, split_by = name.partition(":")
        if kind not in PARTS:
            raise InvalidInput(f"{self.name} cannot merge {kind!r}; choose among {', '.join(PARTS)}")
        if split_by:
            settings = settings | {"split_by": split_by}
        root = None if self.root is None else Path(self.root).expanduser() / PARTS[kind].folder
        return PARTS[kind](split, root=root, **settings)


class RecCombined(ReferLayout):
    """The merged refs of CMIRNet's authors, combine.p and combine.json, which leave out evaluated images.

    Its ids repeat, since several sets were merged, so expressions are called by their places in the file.
    """

    name = "rec_combined"
    anchor = "rec_pretraining"
    folder = "combine"
    split_bys = ("combine",)
    refs_file = "{}"
    instances_file = "combine.json"
    ids_repeat = True
    image_folders = (*TRAIN2014, "visual_genome/VG_100K", "visual_genome/VG_100K_2", ".")

    def sources(self) -> list[Path]:
        """Returns combine.p (refs) and combine.json (annotations)."""
        return [self.root / "combine.p", self.root / self.instances_file]


class RecBoxes(IndexedDataset):
    """The list of boxes of CMIRNet's authors: a .tsv of id, sentence, x1,y1,x2,y2 in pixels, path of the image.

    Args:
        split: "train".
        root: the file, or a folder with one .tsv.
        settings: those of `IndexedDataset`.
    """

    name = "rec_boxes"
    anchor = "rec_pretraining"
    folder = "combine"
    image_folders = RecCombined.image_folders

    @property
    def index_name(self) -> str:
        """Named after the file."""
        return f"{self.name}-{self.file.name}"

    def sources(self) -> list[Path]:
        """Returns the list of boxes."""
        return [self.file]

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index line by line."""
        with error_context(str(self.file)), self.file.open(encoding="utf-8", newline="") as file:
            images: dict[str, int] = {}
            for line, row in enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
                with error_context(f"line {line}"):
                    _, sentence, corners, image = row[:4]
                    left, top, right, bottom = map(float, corners.split(","))
                    if image not in images:
                        images[image] = builder.image(image, image, coco_id=parse_coco_id(image))
                    box = left, top, right, bottom
                    target = builder.object(images[image], str(line), box=box, state=BOX_ONLY)
                    builder.expression(images[image], str(line), sentence, targets=[target], ref=target, split="train")

    def _root(self, root: str | Path | None) -> Path:
        self.file = find_one_file(super()._root(root), "*.tsv")
        return self.file.parent


def _evaluated(part: IndexedDataset) -> Any:
    """Returns the COCO ids of the images of all splits but train."""
    index = part.index
    train = [number for number, name in enumerate(index.names["split"]) if name == "train"]
    images = np.unique(index["expression_image"][~np.isin(index["expression_split"], train)])
    numbers = index["image_coco"][images]
    return numbers[numbers >= 0]
