"""Settings of adapters that find boxes and draw their masks."""

from pydantic import Field

from refseg.adapters.entries.maskers import MaskerName
from refseg.adapters.entry import AdapterConfig

MASKS_ONCE = "and the image features of the masker"


class BoxesConfig(AdapterConfig):
    """Settings that all have.

    Attributes:
        masker: what draws the mask of a box.
        masker_revision: branch, tag or commit of the masker on the hub.
    """

    masker: MaskerName = "sam2"
    masker_revision: str = Field(default="main", pattern=r"^[\w.-]+$", max_length=100)


class ScoredBoxesConfig(BoxesConfig):
    """Settings of those whose boxes have scores.

    Attributes:
        threshold: score above which a box is one of those meant, 0 to 1; the default is that of transformers.
    """

    threshold: float = Field(default=0.25, gt=0, lt=1)
