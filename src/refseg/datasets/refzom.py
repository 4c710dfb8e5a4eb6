"""Ref-ZOM: expressions for one object, many or none (zero), on COCO train2014 and val2014.

Source     https://github.com/toggle1995/RIS-DMMI; Y. Hu et al. "Beyond One-to-One". ICCV 2023.
Licence    none is stated for the data; annotations CC BY 4.0 (COCO), photographs each under its own Flickr licence.
Splits     images / annotated objects: train 43,749 / 58,356, test 11,329 / 16,586; there is no val. In all 42,421
           objects are named alone, 41,842 with others (some both); 11,937 images have an expression about nothing.
"""

from pathlib import Path

from refseg.datasets.refcoco import TRAIN2014
from refseg.datasets.refer import ReferLayout
from refseg.datasets.storage.reading import find_first_file


class RefZOM(ReferLayout):
    """Ref-ZOM; a ref of source "zero" names nothing.

    Its photographs may lie in two folders, or together in trainval2014.
    """

    name = "refzom"
    folder = "ref-zom"
    split_bys = ("final",)
    image_folders = tuple(
        folder.replace("train2014", part) for part in ("trainval2014", "train2014", "val2014") for folder in TRAIN2014
    )

    def sources(self) -> list[Path]:
        """Returns the file of refs, by its published name or by that of the authors' code, and that of annotations."""
        names = [f"{stem}({self.split_by}){end}" for end in (".p", ".json") for stem in ("refs", "Ref-ZOM")]
        return [find_first_file(self.root, names), self.root / "instances.json"]
