"""florence2_sam2: Florence-2 writes the boxes of what an expression means, SAM 2 draws their masks."""

from typing import Literal

from pydantic import Field

from refseg.adapters.entries import florence2
from refseg.adapters.entries.boxes import MASKS_ONCE, ScoredBoxesConfig
from refseg.adapters.entries.maskers import maskers_from
from refseg.adapters.entry import AdapterEntry


class Florence2Sam2Config(ScoredBoxesConfig):
    """Settings of `florence2_sam2`.

    Attributes:
        threshold: mean probability of the pieces of text, from which on there is something; not calibrated.
        detector: size; "-ft" is finetuned on downstream tasks, referring expressions among them.
        beams: hypotheses of the beam search.
        max_pieces: longest answer in pieces of text; of a longer one the last boxes are lost.
        batch: expressions that are answered at once.
    """

    threshold: float = Field(default=0.5, gt=0, lt=1)
    detector: Literal["base-ft", "base", "large-ft", "large"] = "base-ft"
    beams: int = Field(default=3, ge=1, le=16)
    max_pieces: int = Field(default=256, ge=8, le=4096)
    batch: int = Field(default=4, ge=1, le=256)


ENTRY = AdapterEntry(
    name="florence2_sam2",
    title="Florence-2 and SAM 2.1",
    paper=florence2.ENTRY.paper,
    parts={"detector": florence2.MODELS, "masker": maskers_from("sam2")},
    settings=Florence2Sam2Config,
    exists="logit of the mean probability of the pieces of text, less that of the threshold; it always finds something",
    encodes_once=f"the image {MASKS_ONCE}; of an expression the text is left, which is written piece by piece",
    most_pieces=None,
    knows="things in photographs, by expressions, places among them",
    cannot="say that nothing fits; boxes have no scores of their own",
    reported=florence2.ENTRY.reported,
)
