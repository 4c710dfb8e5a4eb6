"""RefCOCO, RefCOCO+, RefCOCOg: expressions for single objects of COCO train2014.

RefCOCO and RefCOCO+ come from a game of two players (in RefCOCO+ words of location were not allowed), RefCOCOg was
written without a game, in whole sentences.

Source     https://github.com/lichengunc/refer; by L. Yu et al. (unc), J. Mao et al. (google), V. Nagaraja et al. (umd).
Licence    none is stated for the texts; annotations CC BY 4.0 (COCO), photographs each under its own Flickr licence.
Splits     images / refs / expressions
           refcoco unc      train 16,994 / 42,404 / 120,624; val 1,500 / 3,811 / 10,834;
                            testA 750 / 1,975 / 5,657; testB 750 / 1,810 / 5,095
           refcoco google   train 19,213 / 40,000, val 4,559 / 5,000, test 4,527 / 5,000 images / refs
           refcoco+ unc     train 16,992 / 42,278 / 120,191; val 1,500 / 3,805 / 10,758;
                            testA 750 / 1,975 / 5,726; testB 750 / 1,798 / 4,889
           refcocog umd     train 21,899 / 42,226 / 80,512; val 1,300 / 2,573 / 4,896; test 2,600 / 5,023 / 9,602
           refcocog google  train 24,698 / 44,822; val 4,650 / 5,000 images / refs; its test part was never given out
           google divides refs, not images: its splits share images, and its figures do not compare with the others'.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from refseg.counting import counted
from refseg.datasets.refer import ReferLayout
from refseg.datasets.reviews import find_kept
from refseg.datasets.storage.reading import expand_user

TRAIN2014 = (
    "images/mscoco/images/train2014",
    "images/train2014",
    "coco/train2014",
    "train2014",
    "images",
)
"""Usual folders of COCO's photographs."""


class ReviewedRefs(ReferLayout):
    """A data set whose expressions were reviewed by the authors of Ref-L4.

    Args:
        split: as of `ReferLayout`.
        split_by: as of `ReferLayout`.
        reviewed: folder of their reviewed annotations, refcocos_annotation_reviewed; the expressions that they call
            wrong are then left out. It has val and the tests, of unc and umd.
        settings: those of `IndexedDataset`.
    """

    def __init__(self, split: str, split_by: str | None = None, reviewed: str | Path | None = None, **settings: Any):
        self._reviewed = None if reviewed is None else expand_user(reviewed)
        self._left_out = 0
        super().__init__(split, split_by, **settings)

    @override
    def expressions_of(self, split: str) -> NDArray[np.int64]:
        numbers = super().expressions_of(split)
        if self._reviewed is None:
            return numbers
        kept = find_kept(self._reviewed, self.name, self.index, numbers)
        self._left_out = len(numbers) - len(kept)
        return kept

    @property
    @override
    def selection(self) -> str:
        if self._reviewed is None:
            return ""
        return f"left out: {counted(self._left_out, 'expression')} that {self._reviewed} calls wrong"


class RefCOCO(ReviewedRefs):
    """RefCOCO; `split_by` is unc or google."""

    name = folder = "refcoco"
    split_bys = ("unc", "google")
    image_folders = TRAIN2014


class RefCOCOPlus(ReviewedRefs):
    """RefCOCO+; `split_by` is unc."""

    name = folder = "refcoco+"
    anchor = "refcoco"
    split_bys = ("unc",)
    image_folders = TRAIN2014


class RefCOCOg(ReviewedRefs):
    """RefCOCOg; `split_by` is umd or google."""

    name = folder = "refcocog"
    anchor = "refcoco"
    split_bys = ("umd", "google")
    image_folders = TRAIN2014
