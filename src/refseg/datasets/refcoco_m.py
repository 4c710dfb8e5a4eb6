"""RefCOCO-M: the val split of RefCOCO (unc) with masks that are accurate to the pixel, without harmful sentences.

data/validation-00000-of-00002.parquet, ...   an image a row: image (the file itself), image_id, file_name, samples
                                              (id, sentences, bbox [x, y, w, h], mask as run lengths, category, ...)

Source     https://huggingface.co/datasets/moondream/refcoco-m; Moondream, 2025.
Licence    MIT; photographs each under its own Flickr licence.
Splits     val: 1,190 images, 2,080 objects, 5,598 expressions; 47 % of the masks of RefCOCO's val were left out.
"""

import io
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image
from typing_extensions import override

from refseg.datasets.storage.ids import normalize_id
from refseg.datasets.storage.index import IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.parquet_files import read_photograph, read_rows
from refseg.datasets.storage.reading import error_context, list_files, parse_coco_id
from refseg.errors import InvalidInput, MissingFile
from refseg.files.names import path_inside
from refseg.masks.rle import parse_rle
from refseg.preprocessing.images import open_image


class RefCOCOM(IndexedDataset):
    """RefCOCO-M; photographs are read from the Parquet files, in any order."""

    name = folder = "refcoco_m"
    image_folders = (".",)

    @override
    def sources(self) -> list[Path]:
        """Returns the Parquet files.

        Raises:
            MissingFile: if there is none.
        """
        for folder in (self.root / "data", self.root):
            if found := [file for file in list_files(folder, ".parquet") if file.name.startswith("validation")]:
                return found
        raise MissingFile(
            f"{self.root} has no validation-*.parquet, nor data/ in it; docs/datasets.md#{self.anchor} says where to "
            "get them"
        )

    @override
    def read(self, builder: IndexBuilder) -> None:
        ref = 0
        for path in self.sources():
            for place, row in read_rows(path, ("image_id", "file_name", "samples")):
                with error_context(f"{path}: image at {place}"):
                    image: int | None = None
                    for sample in row["samples"]:
                        mask = parse_rle(sample["mask"])
                        if image is None:
                            file = str(path.relative_to(self.root).parent / place)
                            coco_id = parse_coco_id(str(row["file_name"]))
                            image = builder.image(normalize_id(row["image_id"]), file, mask.size_hw, coco_id)
                        self._add(builder, image, sample, mask, ref)
                        ref += 1

    def _add(self, builder: IndexBuilder, image: int, sample: dict[str, Any], mask: Any, ref: int) -> None:
        left, top, width, height = map(float, sample["bbox"])
        id, box = normalize_id(sample["id"]), (left, top, left + width, top + height)
        target = builder.object(image, id, [mask], box)
        for position, text in enumerate(sample["sentences"]):
            if not isinstance(text, str):
                raise InvalidInput(f"sentence {position} of sample {id} is no text")
            builder.expression(image, f"{id}-{position}", text, targets=[target], ref=ref, split="val")

    @override
    def find_image(self, file: str) -> Path:
        return path_inside(self.root, file.rsplit(":", 2)[0], "Parquet file")

    @override
    def open_image(self, file: str) -> Image.Image:
        return open_image(self.open_file(file), f"{self.find_image(file)}, row {file.rsplit(':', 1)[1]}")

    @override
    def open_file(self, file: str) -> BinaryIO:
        _, group, row = file.rsplit(":", 2)
        return io.BytesIO(read_photograph(self.find_image(file), int(group), int(row), "image"))
