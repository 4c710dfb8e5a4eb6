"""PhraseCut: phrases for regions of Visual Genome's photographs, one or many instances each.

Source     https://github.com/ChenyunWu/PhraseCutDataset; C. Wu et al. "PhraseCut". CVPR 2020.
Licence    none is stated for the data; Visual Genome is CC BY 4.0.
Splits     images / phrases: train 71,746 / 310,816, val 2,971 / 20,316, test 2,545 / 14,354, miniv 100 / 821;
           miniv belongs to val, and its phrases lie in a file of their own.
"""

from pathlib import Path
from typing import Any

from refseg.datasets.storage.annotation_masks import Piece, parse_polygon
from refseg.datasets.storage.index import IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.reading import entries, error_context, read_plain
from refseg.errors import InvalidInput

SPLITS = ("train", "val", "miniv", "test")


class PhraseCut(IndexedDataset):
    """PhraseCut; `split` is one of SPLITS, and val holds miniv, as the published counts do."""

    name = "phrasecut"
    folder = "VGPhraseCut_v0"
    image_folders = ("images", "VG_100K", "VG_100K_2", "visual_genome/VG_100K", "visual_genome/VG_100K_2")

    def sources(self) -> list[Path]:
        """Returns the list of images, and the phrases of those splits that are there."""
        paths = [self.root / f"refer_{split}.json" for split in SPLITS]
        return [self.root / "image_data_split3000.json", *([path for path in paths if path.is_file()] or paths[:1])]

    def belongs(self, name: str, split: str) -> bool:
        """Whether an entry is in a split; val is refer_val.json and refer_miniv.json."""
        return split in ("all", name) or (split == "val" and name == "miniv")

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index: one object for each instance."""
        images_path, *paths = self.sources()
        images = {}
        for place, image in entries(images_path, read_plain(images_path), "image"):
            with error_context(place):
                images[image["image_id"]] = image["width"], image["height"], image.get("coco_id") or -1
        numbers: dict[Any, int] = {}
        ref = 0
        for path in paths:
            split = path.stem.removeprefix("refer_")
            for place, task in entries(path, read_plain(path, each=_compact), "task"):
                with error_context(place):
                    id = task["image_id"]
                    if id not in images:
                        raise InvalidInput(f"image {id} is not in {images_path}")
                    if id not in numbers:
                        width, height, coco_id = images[id]
                        numbers[id] = builder.image(str(id), f"{id}.jpg", (height, width), coco_id)
                    self._add(builder, numbers[id], task, split, ref)
                    ref += 1

    def _add(self, builder: IndexBuilder, image: int, task: dict[str, Any], split: str, ref: int) -> None:
        boxes = task.get("instance_boxes") or []
        targets = []
        for number, pieces in enumerate(task["Polygons"]):
            box = None
            if number < len(boxes):
                left, top, width, height = map(float, boxes[number])
                box = left, top, left + width, top + height
            targets.append(builder.object(image, f"{task['task_id']}-{number}", pieces, box))
        type = task.get("phrase_structure", {}).get("type", "")
        builder.expression(
            image, str(task["task_id"]), task["phrase"], targets=targets, ref=ref, split=split, type=type
        )


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    """Turns the polygons of a task, instances of polygons of points, into arrays as soon as they are read."""
    if "Polygons" in entry:
        with error_context(f"task {entry.get('task_id')}"):
            instances: list[list[Piece]] = []
            for instance in entry["Polygons"]:
                polygons = [parse_polygon(polygon) for polygon in instance]
                instances.append([polygon for polygon in polygons if polygon is not None])
            entry["Polygons"] = instances
    return entry
