"""gdino_sam2: Grounding DINO finds the boxes of a phrase, SAM 2 draws their masks."""

from typing import Literal

from refseg.adapters.entries.boxes import MASKS_ONCE, ScoredBoxesConfig
from refseg.adapters.entries.maskers import maskers_from
from refseg.adapters.entry import AdapterEntry
from refseg.adapters.hub_model import Fact, HubModel, single_precision

MMDETECTION = "README of MM-Grounding-DINO in mmdetection"


class GroundingDinoSam2Config(ScoredBoxesConfig):
    """Settings of `gdino_sam2`.

    Attributes:
        detector: size of Grounding DINO.
    """

    detector: Literal["tiny", "base"] = "tiny"


def _detector(name: str, parameters: int) -> HubModel:
    return single_precision(name, f"IDEA-Research/grounding-dino-{name}", parameters, licence="Apache-2.0")


DETECTORS = (_detector("tiny", 172_300_000), _detector("base", 232_000_000))
CANNOT = "be relied on to choose among things of a kind: it finds them, and takes words of the sentence for others"

ENTRY = AdapterEntry(
    name="gdino_sam2",
    title="Grounding DINO and SAM 2.1",
    paper="https://arxiv.org/abs/2303.05499",
    parts={"detector": DETECTORS, "masker": maskers_from("sam2")},
    settings=GroundingDinoSam2Config,
    exists="logit of the best box's score, less that of the threshold",
    encodes_once=f"the pixels {MASKS_ONCE}; each expression costs the whole detector, since words enter its encoder",
    most_pieces=256,
    knows="things in photographs, named by a phrase: all of them, each with its mask",
    cannot=CANNOT,
    reported=(
        Fact(
            text="boxes of grounding-dino-tiny, zero-shot, Acc@0.5: RefCOCO val / testA / testB 50.8 / 57.4 / 45.0, "
            "RefCOCOg val 60.4; gRefCOCO val Pr@(F1=1) 41.3, N-acc 91.8",
            source=MMDETECTION,
        ),
    ),
)
