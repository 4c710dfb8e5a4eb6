"""sam3: SAM 3, all objects that fit a noun phrase, with their masks."""

from pydantic import Field

from refseg.adapters.entry import AdapterConfig, AdapterEntry
from refseg.adapters.hub_model import HubModel


class Sam3Config(AdapterConfig):
    """Settings of `sam3`.

    Attributes:
        threshold: score above which an object is one of those meant, 0 to 1.
    """

    threshold: float = Field(default=0.5, gt=0, lt=1)


ENTRY = AdapterEntry(
    name="sam3",
    title="SAM 3",
    paper="https://huggingface.co/facebook/sam3",
    parts={
        "model": (
            HubModel(
                name="sam3",
                id="facebook/sam3",
                licence="SAM License (its own)",
                size=3_440_000_000,
                parameters=859_900_000,
                gated=True,
            ),
        )
    },
    settings=Sam3Config,
    exists="the best object's probability, times that of the phrase being in the image, beside `threshold`",
    encodes_once="the image encoder; an expression costs its words, a detector and a mask decoder",
    most_pieces=32,
    ignores=("place", "order", "superlative", "not"),
    knows="things in photographs, named by a noun phrase: all of them, each with its mask",
    cannot="read places, order, relations or exclusion: it takes noun phrases",
)
