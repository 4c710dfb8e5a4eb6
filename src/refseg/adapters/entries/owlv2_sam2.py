"""owlv2_sam2: OWLv2 finds the boxes of a phrase, SAM 2 draws their masks."""

from typing import Literal

from pydantic import Field

from refseg.adapters.entries.boxes import MASKS_ONCE, ScoredBoxesConfig
from refseg.adapters.entries.maskers import maskers_from
from refseg.adapters.entry import AdapterEntry
from refseg.adapters.hub_model import single_precision


class Owlv2Sam2Config(ScoredBoxesConfig):
    """Settings of `owlv2_sam2`.

    Attributes:
        threshold: as of others; scores of OWLv2 are low.
        detector: size of OWLv2.
    """

    threshold: float = Field(default=0.1, gt=0, lt=1)
    detector: Literal["base", "large"] = "base"


DETECTORS = (
    single_precision("base", "google/owlv2-base-patch16-ensemble", 154_000_000),
    single_precision("large", "google/owlv2-large-patch14-ensemble", 437_600_000),
)

ENTRY = AdapterEntry(
    name="owlv2_sam2",
    title="OWLv2 and SAM 2.1",
    paper="https://arxiv.org/abs/2306.09683",
    parts={"detector": DETECTORS, "masker": maskers_from("sam2")},
    settings=Owlv2Sam2Config,
    exists="logit of the best box's score, less that of the threshold",
    encodes_once=f"the image {MASKS_ONCE}; of an expression its text encoder is left",
    most_pieces=16,
    knows="things in photographs, named by a short phrase: all of them, each with its mask",
    cannot="read sentences: it takes names of things, of 14 pieces at most",
)
