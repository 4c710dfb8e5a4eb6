"""R-RefCOCO, R-RefCOCO+, R-RefCOCOg: the sentences of RefCOCO and sentences about things that are not in the image.

refs(SPLIT_BY).p   as of RefCOCO; a sentence whose `exist` is false names nothing, though its ref has an annotation

Source     https://github.com/jianzongwu/robust-ref-seg; J. Wu et al. "Toward Robust Referring Image Segmentation".
           IEEE Transactions on Image Processing 2024. The archive of FP-RefCOCO (`fprefcoco`) holds them once more, in
           R-refcoco and so on, divided by unc_exclude_unified and umd_exclude_unified.
Licence    none is stated for the sentences; annotations CC BY 4.0 (COCO), photographs each under its own Flickr
           licence.
Splits     as the refs say; none are counted by us.
"""

import reprlib
from typing import Any

from typing_extensions import override

from refseg.datasets.refcoco import TRAIN2014
from refseg.datasets.refer import ReferLayout
from refseg.errors import InvalidInput


class AbsentReferents(ReferLayout):
    """A data set in the refer layout whose sentences say one by one whether their referent is there.

    A sentence without `exist` and `is_false_premise` names the annotation of its ref. Ids are positions in the file,
    since those of added sentences need not be unique.
    """

    image_folders = ("images/mscoco/train2014", *TRAIN2014)
    ids_repeat = True

    @override
    def names_nothing(self, sentence: dict[str, Any]) -> bool:
        name, absent = ("is_false_premise", True) if "is_false_premise" in sentence else ("exist", False)
        value = sentence.get(name, not absent)
        if value not in (True, False):
            raise InvalidInput(f"{name} is true or false, not {reprlib.repr(value)}")
        return bool(value) == absent


class RRefCOCO(AbsentReferents):
    """R-RefCOCO; `split_by` is unc or unc_exclude_unified."""

    name = folder = "rrefcoco"
    split_bys = ("unc", "unc_exclude_unified")


class RRefCOCOPlus(AbsentReferents):
    """R-RefCOCO+; `split_by` as of R-RefCOCO."""

    name = folder = "rrefcoco+"
    anchor = "rrefcoco"
    split_bys = ("unc", "unc_exclude_unified")


class RRefCOCOg(AbsentReferents):
    """R-RefCOCOg; `split_by` is umd, unc or umd_exclude_unified."""

    name = folder = "rrefcocog"
    anchor = "rrefcoco"
    split_bys = ("umd", "unc", "umd_exclude_unified")
