"""mmgdino_sam2: MM-Grounding-DINO finds the boxes of a phrase, SAM 2 draws their masks."""

from typing import Literal

from refseg.adapters.entries.boxes import MASKS_ONCE, ScoredBoxesConfig
from refseg.adapters.entries.gdino_sam2 import MMDETECTION
from refseg.adapters.entries.maskers import maskers_from
from refseg.adapters.entry import AdapterEntry
from refseg.adapters.hub_model import Fact, HubModel, single_precision
from refseg.finders.model_maskers import MaskerName


class MMGroundingDinoSam2Config(ScoredBoxesConfig):
    """Settings of `mmgdino_sam2`; LLMDet's weights are of the same network: give their folder.

    Attributes:
        detector: "large_all" and "base_all" were trained on everything, the training data of RefCOCO included.
        masker: the large one by default.
    """

    detector: Literal["large_all", "base_all", "tiny"] = "large_all"
    masker: MaskerName = "sam2-large"


def _detector(name: str, model: str, parameters: int) -> HubModel:
    return single_precision(name, f"openmmlab-community/mm_grounding_dino_{model}", parameters)


DETECTORS = (
    _detector("large_all", "large_all", 342_000_000),
    _detector("base_all", "base_all", 232_300_000),
    _detector("tiny", "tiny_o365v1_goldg_v3det", 172_300_000),
)

ENTRY = AdapterEntry(
    name="mmgdino_sam2",
    title="MM-Grounding-DINO and SAM 2.1",
    paper="https://arxiv.org/abs/2401.02361",
    parts={"detector": DETECTORS, "masker": maskers_from("sam2-large")},
    settings=MMGroundingDinoSam2Config,
    exists="logit of the best box's score, less that of the threshold",
    encodes_once=f"the pixels {MASKS_ONCE}; each expression costs the whole detector, since words enter its encoder",
    most_pieces=256,
    knows="things in photographs, named by a phrase or a sentence: all of them, each with its mask",
    cannot="be relied on for order, number and exclusion",
    reported=(
        Fact(
            text="boxes of the tiny one, Acc@0.5, zero-shot: RefCOCO val / testA / testB 53.1 / 59.1 / 46.8, RefCOCOg "
            "val 62.9; finetuned on RefCOCO 89.5 / 91.4 / 86.6. The default is a larger one",
            source=MMDETECTION,
        ),
    ),
)
