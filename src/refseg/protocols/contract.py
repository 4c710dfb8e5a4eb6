"""What every image protocol is: logits or ready masks to masks, masks to counts, counts of a split to metrics."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from refseg.metrics import Counts
from refseg.preprocessing import Geometry
from refseg.samples import Sample


class Protocol(ABC):
    """One way of scoring masks; N expressions about one image at a time.

    Attributes:
        name: under which its figures are printed.
        about: where masks are compared, and what counts as foreground, in a line for reports.
        headline: the metrics that papers print, first the one that checkpoints are compared by.
        percent: are its figures printed as percent (or as fractions)?
    """

    name: ClassVar[str]
    about: ClassVar[str]
    headline: ClassVar[tuple[str, ...]]
    percent: ClassVar[bool] = True

    @abstractmethod
    def predict(self, logits: Tensor, geometry: Geometry, answers_none: Tensor) -> Tensor:
        """Predicted masks (N, h, w) bool at the size where this protocol compares.

        Args:
            logits: (N, 1, h', w') of the network, at its resolution.
            geometry: how the image was resized and padded for the network.
            answers_none: (N,) bool, True where the network says that the expression refers to nothing.
        """

    @abstractmethod
    def of_masks(self, masks: Tensor, answers_none: Tensor) -> Tensor:
        """The same for ready masks (N, H, W) bool of the image's own size, which another program wrote."""

    @abstractmethod
    def truth(self, sample: Sample, index: int) -> NDArray[np.bool_]:
        """The true mask (h, w) of expression `index` at the size where this protocol compares."""

    @abstractmethod
    def count(self, predictions: Tensor, truths: Tensor, has_target: Tensor, answers_none: Tensor) -> Counts:
        """Counts of masks (N, h, w); `has_target` and `answers_none` (N,) bool are what data set and network say."""

    @abstractmethod
    def ious(self, counts: Counts) -> Tensor:
        """The IoU (N,) of each expression in this protocol's own arithmetic, NaN where that is what it gives."""

    @abstractmethod
    def summarize(self, counts: Counts) -> dict[str, float]:
        """Every metric that is defined for these expressions, in [0, 1] or NaN, by name."""
