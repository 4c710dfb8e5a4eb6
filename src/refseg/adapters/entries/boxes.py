"""Settings of adapters that find boxes and draw their masks."""

from pydantic import Field
from typing_extensions import override

from refseg.adapters.entry import AdapterConfig
from refseg.adapters.hub_model import Revision
from refseg.finders.model_maskers import MaskerName

MASKS_ONCE = "and the image features of the masker"


class BoxesConfig(AdapterConfig):
    """Settings that all have.

    Attributes:
        masker: what draws the mask of a box.
        masker_revision: branch, tag or commit of the masker on the hub.
    """

    masker: MaskerName = "sam2"
    masker_revision: Revision = "main"

    @property
    def box_threshold(self) -> float:
        """Score above which a box is one of those meant: in the middle where scores are 0 and 1."""
        return 0.5


class ScoredBoxesConfig(BoxesConfig):
    """Settings of those whose boxes have scores.

    Attributes:
        threshold: score above which a box is one of those meant, 0 to 1; the default is that of transformers.
    """

    threshold: float = Field(default=0.25, gt=0, lt=1)

    @property
    @override
    def box_threshold(self) -> float:
        return self.threshold
