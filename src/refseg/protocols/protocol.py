"""What every image protocol is: logits or ready masks to masks, masks to counts, counts of a split to metrics."""

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from refseg.errors import InvalidInput
from refseg.metrics import Counts, count_pixels
from refseg.preprocessing.geometry import Geometry
from refseg.samples import Sample


class Protocol(ABC):
    """One way of scoring masks; N expressions about one image at a time.

    Attributes:
        name: under which its figures are printed.
        about: where masks are compared, and what counts as foreground, in a line for reports.
        headline: the metrics that papers print, first the one that checkpoints are compared by.
        percent: are its figures printed as percent (or as fractions)?
        digits: that are printed after the point.
        fractions: metrics that are printed as fractions all the same.
        skips_empty: of the frames of a video, are those in which nothing is meant no samples?
    """

    name: str
    about: str
    headline: ClassVar[tuple[str, ...]]
    percent: ClassVar[bool] = True
    digits: ClassVar[int] = 2
    fractions: ClassVar[tuple[str, ...]] = ()
    skips_empty: ClassVar[bool] = False

    @abstractmethod
    def predict(self, logits: Tensor, geometry: Geometry, answers_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Predicted masks (N, h, w) bool at the size where this protocol compares.

        Args:
            logits: (N, 1, h', w') of the network, at its resolution; not emptied where it answers none.
            geometry: where the image lies in what the network saw.
            answers_none: (N,) bool, True where the network says that the expression refers to nothing.
            threshold: the network's own, the probability that its logits are 0 at (`Network.threshold`).
        """

    def from_masks(self, masks: Tensor, answers_none: Tensor) -> Tensor:
        """The same for ready masks (N, H, W) bool of the image's own size, which another program wrote."""
        return masks

    def truth(self, sample: Sample, index: int) -> NDArray[np.bool_]:
        """The true mask (h, w) of expression `index` at the size where this protocol compares."""
        return sample.mask(index)

    def count(self, predictions: Tensor, truths: Tensor, has_target: Tensor, answers_none: Tensor) -> Counts:
        """Counts of masks (N, h, w); `has_target` and `answers_none` (N,) bool are what data set and network say.

        Raises:
            InvalidInput: if the sizes differ.
        """
        if predictions.shape != truths.shape:
            given, wanted = ("x".join(map(str, masks.shape[-2:])) for masks in (predictions, truths))
            raise InvalidInput(
                f"{len(predictions)} predicted masks of {given} pixels cannot be compared with {len(truths)} true ones "
                f"of {wanted} under protocol {self.name!r}: store one per expression, at the image's own size"
            )
        return count_pixels(predictions, truths, has_target)

    @abstractmethod
    def ious(self, counts: Counts) -> Tensor:
        """The IoU (N,) of each expression in this protocol's own arithmetic, NaN where that is what it gives."""

    @abstractmethod
    def summarize(self, counts: Counts) -> dict[str, float]:
        """Every metric that is defined for these expressions, in [0, 1] or NaN, by name; nothing of no expressions."""

    def intervals(self, counts: Counts, image_ids: Sequence[Hashable]) -> dict[str, tuple[float, float]]:
        """95 % intervals by metric; `image_ids` (N,) names the image of each expression. No release has any."""
        return {}


def own_logits(logits: Tensor, threshold: float) -> Tensor:
    """Logits whose sigmoid is the network's probability, of those that are 0 at its threshold."""
    return logits.float() + math.log(threshold / (1 - threshold))
