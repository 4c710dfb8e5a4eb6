"""clipseg: CLIPSeg, a mask of any phrase from CLIP's features and a small decoder."""

from pydantic import Field

from refseg.adapters.entry import AdapterConfig, AdapterEntry
from refseg.adapters.hub_model import single_precision


class ClipSegConfig(AdapterConfig):
    """Settings of `clipseg`; it finds no objects: the "best" answer is the connected part with the surest pixel.

    Attributes:
        threshold: probability above which a pixel belongs to the referent.
    """

    threshold: float = Field(default=0.5, gt=0, lt=1)


ENTRY = AdapterEntry(
    name="clipseg",
    title="CLIPSeg rd64-refined",
    paper="https://arxiv.org/abs/2112.10003",
    parts={"model": (single_precision("rd64-refined", "CIDAS/clipseg-rd64-refined", 152_400_000),)},
    settings=ClipSegConfig,
    exists="the largest logit of a pixel; not calibrated: refseg calibrate clipseg --out FOLDER",
    encodes_once="the image encoder; an expression costs its words and a small decoder",
    most_pieces=77,
    knows="things and stuff in photographs, named by a phrase",
    cannot="tell objects apart, or count them; masks are coarse, made at 352 x 352",
)
