"""Visual Genome's region descriptions: phrases and sentences for boxes; there are no masks.

Source     https://homes.cs.washington.edu/~ranjay/visualgenome; R. Krishna et al. "Visual Genome". IJCV 2017.
Licence    CC BY 4.0; photographs are from YFCC100M and COCO.
Splits     train only: 108,077 images, about 5.4 million regions; about half of the images are COCO's, so take out those
           of the sets that you report on (`rec_pretraining` does).
"""

from pathlib import Path
from typing import Any

from refseg.datasets.storage.index import BOX_ONLY, IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.reading import entries, error_context, read_plain
from refseg.errors import InvalidInput


class VisualGenome(IndexedDataset):
    """Region descriptions with boxes, clipped to the image; regions without a text are left out."""

    name = "visual_genome"
    folder = "visual_genome"
    image_folders = ("VG_100K", "VG_100K_2", "images/VG_100K", "images/VG_100K_2", "images")

    def sources(self) -> list[Path]:
        """Returns the files of regions and of images."""
        return [self.root / "region_descriptions.json", self.root / "image_data.json"]

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index region by region while the file is read, so that they are never all held as dictionaries."""
        regions_path, images_path = self.sources()
        images = {}
        for place, image in entries(images_path, read_plain(images_path), "image"):
            with error_context(place):
                images[image["image_id"]] = image["width"], image["height"], image.get("coco_id") or -1
        numbers: dict[Any, int] = {}

        def add(entry: dict[str, Any]) -> dict[str, Any] | None:
            if "region_id" not in entry:
                return entry
            with error_context(f"{regions_path}: region {entry['region_id']}"):
                id = entry["image_id"]
                if id not in images:
                    raise InvalidInput(f"image {id} is not in {images_path}")
                width, height, coco_id = images[id]
                if id not in numbers:
                    numbers[id] = builder.image(str(id), f"{id}.jpg", (height, width), coco_id)
                if phrase := entry["phrase"].strip():
                    left, top = max(0.0, float(entry["x"])), max(0.0, float(entry["y"]))
                    right = min(float(width), entry["x"] + entry["width"])
                    bottom = min(float(height), entry["y"] + entry["height"])
                    region = str(entry["region_id"])
                    target = builder.object(numbers[id], region, box=(left, top, right, bottom), state=BOX_ONLY)
                    builder.expression(numbers[id], region, phrase, targets=[target], ref=target, split="train")
            return None

        read_plain(regions_path, each=add)
