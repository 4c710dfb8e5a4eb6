"""FP-RefCOCO, FP-RefCOCO+, FP-RefCOCOg: sentences of RefCOCO and the same with a false premise.

refs(berkeley_exclude_unified).p   as of RefCOCO; a sentence with `is_false_premise` names nothing, and its `gt_sent` is
                                   what could have been meant, which is not read

Source     https://github.com/see-say-segment/sesame; T. Wu et al. "See, Say, and Segment: Teaching LMMs to Overcome
           False Premises". CVPR 2024.
Licence    that of the code is MIT, none is stated for the sentences; annotations CC BY 4.0 (COCO), photographs each
           under its own Flickr licence.
Splits     as the refs say; the authors report val. None are counted by us.
"""

from refseg.datasets.rrefcoco import AbsentReferents


class FPRefCOCO(AbsentReferents):
    """FP-RefCOCO."""

    name = folder = "fprefcoco"
    split_bys = ("berkeley_exclude_unified",)


class FPRefCOCOPlus(AbsentReferents):
    """FP-RefCOCO+."""

    name = folder = "fprefcoco+"
    anchor = "fprefcoco"
    split_bys = ("berkeley_exclude_unified",)


class FPRefCOCOg(AbsentReferents):
    """FP-RefCOCOg."""

    name = folder = "fprefcocog"
    anchor = "fprefcoco"
    split_bys = ("berkeley_exclude_unified",)
