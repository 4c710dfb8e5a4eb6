"""ReferIt (RefCLEF): expressions for regions of the photographs of IAPR TC-12, sky and ground included.

Two families of files: the refer layout ("refclef"), and queries with masks as MATLAB files ("referit"), which
text_objseg and CMPC read.

Source     refer layout: https://github.com/lichengunc/refer; queries: https://github.com/ronghanghu/text_objseg;
           S. Kazemzadeh et al. "ReferItGame". EMNLP 2014.
Licence    photographs and regions (ImageCLEF): free for research; none is stated for the texts.
Splits     refclef berkeley  train 9k, val 1k, test 10k images; 54,127 / 5,842 / 60,103 expressions
           refclef unc       val 2,000, testA 485, testB 490, testC 465 images; a ref can be in several test parts
           referit           images / regions / expressions: trainval 9,995 / 49,515 / 59,976,
                             test 9,994 / 49,730 / 60,105, val alone 1,000 / 4,866 / 5,842
           "ReferIt test" in papers is berkeley's, after training on train + val (`trainval`).
"""

import os
import reprlib
from pathlib import Path
from typing import Any

from refseg.datasets.refer import ReferLayout
from refseg.datasets.storage.annotation_masks import MaskFile
from refseg.datasets.storage.index import IndexBuilder
from refseg.datasets.storage.indexed_dataset import IndexedDataset
from refseg.datasets.storage.reading import error_context, read_plain
from refseg.errors import InvalidInput, MissingFile
from refseg.files.names import file_name, path_inside

IAPR_TC_12 = ("images/saiapr_tc-12", "images/saiaprtc12", "saiapr_tc-12", "saiaprtc12", "images")


class RefCLEF(ReferLayout):
    """ReferIt in the refer layout; `split_by` is berkeley or unc. Its ids are texts, its masks run lengths."""

    name = folder = "refclef"
    anchor = "referit"
    split_bys = ("berkeley", "unc")
    image_folders = IAPR_TC_12

    def belongs(self, name: str, split: str) -> bool:
        """Whether a ref is in a split, as in the refer layout; trainval is train and val."""
        return name in ("train", "val") if split == "trainval" else super().belongs(name, split)

    def file_of(self, image: dict[str, Any]) -> str:
        """Returns the name of an image's file, or its number where no name is given."""
        return str(image.get("file_name") or f"{image['id']}.jpg")


class ReferIt(IndexedDataset):
    """ReferIt as queries: referit_query_*.json, images/, and mask/ with .mat or .png files.

    Args:
        split: test, trainval, or train and val where there is a file of one of those.
        inverted: whether the region is black in the .png files. (In .mat files it is always 0.)
        settings: those of `IndexedDataset`.
    """

    name = folder = "referit"
    image_folders = ("images", *IAPR_TC_12)

    def __init__(self, split: str, inverted: bool = False, **settings: Any):
        self.inverted = inverted
        super().__init__(split, **settings)

    def sources(self) -> list[Path]:
        """Returns the query files that are there."""
        paths = [self.root / f"referit_query_{part}.json" for part in ("trainval", "train", "val", "test")]
        return [path for path in paths if path.is_file()] or paths[:1]

    def belongs(self, name: str, split: str) -> bool:
        """Whether an entry is in a split; trainval is train and val."""
        return split in ("all", name) or (split == "trainval" and name in ("train", "val"))

    def read(self, builder: IndexBuilder) -> None:
        """Fills an index; regions in the order of their numbers, since that of the files is arbitrary."""
        queries: dict[str, Any] = {}
        splits: dict[str, str] = {}
        paths = {path.stem.removeprefix("referit_query_"): path for path in self.sources()}
        divided = paths.keys() & {"train", "val"}
        for part, path in paths.items():
            content = read_plain(path)
            if not isinstance(content, dict):
                raise InvalidInput(f"{path} holds a {type(content).__name__}, not {{region: [sentence, ...]}}")
            queries |= content
            left = next(iter({"train", "val"} - divided), part)  # what trainval holds besides the other file
            splits |= dict.fromkeys(content, left if part == "trainval" and divided else part)
        images: dict[str, int] = {}
        for ref, region in enumerate(sorted(queries, key=_numbers)):
            with error_context(f"{self.root / 'referit_query_*.json'}: region {reprlib.repr(region)}"):
                name, _, _ = region.rpartition("_")
                if not name or not isinstance(queries[region], list):
                    raise InvalidInput('it is "IMAGE_REGION": [sentence, ...]')
                file_name(region, "region")
                if name not in images:
                    images[name] = builder.image(name, f"{name}.jpg")
                target = builder.object(images[name], region, [MaskFile(region)])
                for number, sentence in enumerate(queries[region]):
                    builder.expression(
                        images[name], f"{region}-{number}", sentence, targets=[target], ref=ref, split=splits[region]
                    )

    def find_mask(self, piece: MaskFile) -> MaskFile:
        """Returns the region's file in mask/.

        Raises:
            MissingFile: if there is none.
        """
        for end in (".mat", ".png"):
            path = path_inside(self.root / "mask", f"{piece.path}{end}", "mask")
            if os.path.isfile(path):  # False for a name that is too long, too
                return MaskFile(str(path), inverted=self.inverted and end == ".png")
        raise MissingFile(
            f"{self.root / 'mask' / piece.path}.mat is missing (nor is there a .png); docs/datasets.md#referit says "
            "where to get it"
        )


def _numbers(region: str) -> tuple[tuple[int, str], ...]:
    """Splits a region's name into parts that sort as numbers, however many digits they have."""
    numbers = ((part.lstrip("0"), part) for part in region.split("_"))
    return tuple((len(digits), digits) if part.isdecimal() else (-1, part) for digits, part in numbers)
