"""MUSE: questions about several objects of an image that take reasoning to answer, on COCO.

muse_train.json, muse_val.json   list of images: file_name (train2014) or coco_url (train2017, val2017), height, width,
                                 questions, and answers, which has for each question a list of annotations of COCO
muse_test_less.json              questions about few objects
muse_test_many.json              questions about many

Source     https://github.com/MaverickRen/PixelLM; Z. Ren et al. "PixelLM: Pixel Reasoning with Large Multimodal Model".
           CVPR 2024.
Licence    none is stated for the questions; annotations CC BY 4.0 (LVIS, COCO), photographs each under its own Flickr
           licence.
Splits     train, val, test_less, test_many; 246,000 questions about 0.9 million objects in all, as the paper says;
           none are counted by us.
"""

from pathlib import Path
from typing import Any

from refseg.datasets.refcoco import TRAIN2014
from refseg.datasets.storage.annotation_masks import parse_segmentation
from refseg.datasets.storage.index import IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.reading import entries, error_context, parse_coco_id, read_plain
from refseg.errors import InvalidInput

SPLITS = ("train", "val", "test_less", "test_many")


class MUSE(IndexedDataset):
    """MUSE; `split` is one of SPLITS, and test is both of the tests."""

    name = folder = "muse"
    image_folders = tuple(
        folder.replace("train2014", part) for part in ("train2014", "train2017", "val2017") for folder in TRAIN2014
    )

    def sources(self) -> list[Path]:
        """Returns the files of those splits that are there."""
        paths = [self.root / f"muse_{split}.json" for split in SPLITS]
        return [path for path in paths if path.is_file()] or paths[:1]

    def belongs(self, name: str, split: str) -> bool:
        """Whether an entry is in a split; test is test_less and test_many."""
        return split in ("all", name) or (split == "test" and name.startswith("test"))

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index: one object for each annotation of an answer, one expression for each question."""
        images: dict[str, int] = {}
        ref = 0
        for path in self.sources():
            split = path.stem.removeprefix("muse_")
            for number, (place, entry) in enumerate(entries(path, read_plain(path, each=_compact), "image")):
                with error_context(place):
                    file = _file(entry)
                    if file not in images:
                        size_hw = int(entry["height"]), int(entry["width"])
                        images[file] = builder.image(file, file, size_hw, parse_coco_id(file))
                    questions, answers = entry["questions"], entry["answers"]
                    for k, (question, answer) in enumerate(zip(questions, answers, strict=True)):
                        id = f"{split}-{number}-{k}"
                        if not isinstance(question, str):
                            raise InvalidInput(f"question {k} is a {type(question).__name__}, not a text")
                        targets = [
                            builder.object(images[file], f"{id}-{position}", one["pieces"], one["box"])
                            for position, one in enumerate(answer)
                        ]
                        builder.expression(images[file], id, question, targets=targets, ref=ref, split=split)
                        ref += 1


def _file(entry: dict[str, Any]) -> str:
    """Returns the name of an image's file; its folder is not part of it, since names are unique in COCO."""
    return str(entry["file_name"] if "file_name" in entry else entry["coco_url"]).rpartition("/")[2]


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    """Reduces an annotation to its mask and box as soon as it is read."""
    if "segmentation" not in entry:
        return entry
    box = None
    if entry.get("bbox"):
        left, top, width, height = map(float, entry["bbox"])
        box = left, top, left + width, top + height
    return {"pieces": parse_segmentation(entry["segmentation"]), "box": box}
