"""Ref-L4: long expressions for boxes of 365 classes, on COCO train2014 and Objects365; there are no masks.

ref-l4-val.parquet, ref-l4-test.parquet   an expression a row: id, caption, bbox [x, y, w, h], bbox_id, image_id,
                                          file_name, height, width, split, and more
images/                                   what images.tar.gz holds

The reviewed annotations of RefCOCO that come with it (refcocos_annotation_reviewed) are a setting of that: `reviewed`.

Source     https://huggingface.co/datasets/JierunChen/Ref-L4; J. Chen et al. "Revisiting Referring Expression
           Comprehension Evaluation in the Era of Large Multimodal Models". 2024.
Licence    CC BY-NC 4.0; photographs each under its own licence.
Splits     val, test; 45,341 expressions in all.
"""

from math import sqrt
from pathlib import Path

from typing_extensions import override

from refseg.datasets.refcoco import TRAIN2014
from refseg.datasets.storage.ids import normalize_id
from refseg.datasets.storage.index import BOX_ONLY, IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.parquet_files import read_rows
from refseg.datasets.storage.reading import error_context, parse_coco_id
from refseg.errors import InvalidInput

SPLITS = ("val", "test")
COLUMNS = ("id", "caption", "bbox", "bbox_id", "image_id", "file_name", "height", "width", "split")
SMALL, LARGE = 128, 256
"""Root of a box's area in pixels, below and above which it is small and large."""


class RefL4(IndexedDataset):
    """Ref-L4; the mask of an expression is its box, filled, and its type the size of that: small, medium or large."""

    name = folder = "ref_l4"
    image_folders = ("images", ".", *TRAIN2014)
    fills_boxes = True

    @property
    @override
    def selection(self) -> str:
        return (
            "boxes, filled where a mask is asked for; only figures of protocol ref_l4, which compares boxes, stand "
            "beside published ones"
        )

    @override
    def sources(self) -> list[Path]:
        """Returns the files of those splits that are there."""
        paths = [self.root / f"ref-l4-{split}.parquet" for split in SPLITS]
        return [path for path in paths if path.is_file()] or paths[:1]

    @override
    def read(self, builder: IndexBuilder) -> None:
        images: dict[str, int] = {}
        objects: dict[tuple[int, str, tuple[float, ...]], int] = {}
        for path in self.sources():
            for place, row in read_rows(path, COLUMNS):
                with error_context(f"{path}: row at {place}"):
                    image_id, file = str(row["image_id"]), str(row["file_name"])
                    if image_id not in images:
                        size_hw = int(row["height"]), int(row["width"])
                        images[image_id] = builder.image(image_id, file, size_hw, parse_coco_id(file))
                    left, top, width, height = map(float, row["bbox"])
                    if not (width > 0 and height > 0):
                        raise InvalidInput(f"bbox is [x, y, width, height], not {row['bbox']}")
                    box = left, top, left + width, top + height
                    key = images[image_id], str(row["bbox_id"]), box
                    if key not in objects:
                        objects[key] = builder.object(key[0], key[1], box=box, state=BOX_ONLY)
                    id, target = normalize_id(row["id"]), objects[key]
                    size = _size(width, height)
                    split = str(row["split"])
                    builder.expression(key[0], id, row["caption"], targets=[target], ref=target, split=split, type=size)


def _size(width: float, height: float) -> str:
    side = sqrt(width * height)
    return "small" if side < SMALL else "medium" if side <= LARGE else "large"
