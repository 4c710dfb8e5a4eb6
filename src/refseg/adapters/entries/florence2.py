"""florence2: Florence-2, which writes the outline of what an expression means as text."""

from typing import Literal

from pydantic import Field

from refseg.adapters.entry import AdapterConfig, AdapterEntry
from refseg.adapters.hub_model import Fact, HubModel, single_precision

_ROBOFLOW = "Roboflow's copy of the model card"


class Florence2Config(AdapterConfig):
    """Settings of `florence2`.

    Attributes:
        model: size; "-ft" is finetuned on downstream tasks, referring expressions among them.
        threshold: mean probability of the pieces of text above which there is a referent; the default takes all.
        beams: hypotheses of the beam search.
        max_pieces: longest outline in pieces of text; a longer one is cut.
        batch: expressions that are written together: faster on a GPU, and equal to one by one but for rounding.
    """

    model: Literal["base-ft", "base", "large-ft", "large"] = "base-ft"
    threshold: float = Field(default=0.001, gt=0, lt=1)
    beams: int = Field(default=3, ge=1, le=16)
    max_pieces: int = Field(default=1024, ge=8, le=4096)
    batch: int = Field(default=1, ge=1, le=256)


def _model(name: str, parameters: int) -> HubModel:
    return single_precision(name, f"florence-community/Florence-2-{name}", parameters, licence="MIT")


MODELS = (
    _model("base-ft", 232_000_000),
    _model("base", 232_000_000),
    _model("large-ft", 771_000_000),
    _model("large", 771_000_000),
)

ENTRY = AdapterEntry(
    name="florence2",
    title="Florence-2",
    paper="https://arxiv.org/abs/2311.06242",
    parts={"model": MODELS},
    settings=Florence2Config,
    exists="the mean probability of the pieces of text; it always draws something, so by default all is taken: "
    "refseg calibrate florence2 --out FOLDER",
    encodes_once="the image encoder; an expression costs its answer, which is written piece by piece",
    most_pieces=None,  # what the image leaves of its positions
    knows="things in photographs, by expressions, places among them",
    cannot="say that nothing fits; it draws about one object an expression, by an outline of few corners",
    reported=(Fact(text="zero-shot on RefCOCO, as the card says: base 53.9, large 56.3", source=_ROBOFLOW),),
)
