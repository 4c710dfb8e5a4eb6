"""Protocol: the interface of image protocols, from logits to masks, to counts, to the metrics of a split."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from refseg.counting import counted
from refseg.errors import InvalidInput
from refseg.metrics import Counts, Values, count_pixels
from refseg.preprocessing.geometry import Geometry
from refseg.samples import Sample

if TYPE_CHECKING:
    from torch import Tensor


class Protocol(ABC):
    """Base class of the image protocols; scores N expressions about one image at a time.

    Attributes:
        name: printed with its figures.
        about: resolution of the comparison and foreground rule, one line for reports.
        headline: metrics that papers print, first the one that checkpoints are compared by.
        percent: whether figures are printed as percent, not as fractions.
        digits: printed digits after the point.
        fractions: metrics that are printed as fractions in any case.
        counts_no_target: whether mIoU counts no-target expressions as well, with an IoU of their own.
        skips_empty: whether frames of a video with an empty true mask are left out.
        leaves_out_ignored: whether pixels that a data set does not score (`Sample.ignored`) are left out; masks must
            then be compared at the image's own size.
    """

    name: str
    about: str
    headline: ClassVar[tuple[str, ...]]
    percent: ClassVar[bool] = True
    digits: ClassVar[int] = 2
    fractions: ClassVar[tuple[str, ...]] = ()
    counts_no_target: ClassVar[bool] = True
    skips_empty: ClassVar[bool] = False
    leaves_out_ignored: ClassVar[bool] = False

    @abstractmethod
    def predict(self, logits: Tensor, geometry: Geometry, predicts_none: Tensor, threshold: float = 0.5) -> Tensor:
        """Computes the predicted masks (N, h, w) bool at the size at which this protocol compares.

        Args:
            logits: (N, 1, h', w') from the network, at its resolution; not emptied for predictions of no target.
            geometry: position of the image in the network's input.
            predicts_none: (N,) bool, True where the network predicts no target.
            threshold: the network's own (`Network.threshold`), the probability at a logit of 0.
        """

    def from_masks(self, masks: Tensor, predicts_none: Tensor) -> Tensor:
        """Converts stored masks (N, H, W) bool of the image's own size to those that are compared."""
        return masks

    def truth(self, sample: Sample, index: int) -> NDArray[np.bool_]:
        """Returns the true mask (h, w) of expression `index` at the size at which this protocol compares."""
        return sample.mask(index)

    def count(self, predictions: Tensor, truths: Tensor, has_target: Tensor, predicts_none: Tensor) -> Counts:
        """Counts the pixels of masks (N, h, w).

        Args:
            predictions: (N, h, w) bool.
            truths: (N, h, w) bool.
            has_target: (N,) bool, from the data set.
            predicts_none: (N,) bool, from the network.

        Raises:
            InvalidInput: if the sizes differ.
        """
        if predictions.shape != truths.shape:
            given, wanted = ("x".join(map(str, masks.shape[-2:])) for masks in (predictions, truths))
            raise InvalidInput(
                f"{counted(len(predictions), 'predicted mask')} of {given} pixels cannot be compared with "
                f"{len(truths)} true ones "
                f"of {wanted} under protocol {self.name!r}: store one per expression, at the image's own size"
            )
        return count_pixels(predictions, truths, has_target)

    @abstractmethod
    def ious(self, counts: Counts) -> Values:
        """Computes the IoU (N,) of each expression in this protocol's arithmetic, which may give NaN."""

    @abstractmethod
    def summarize(self, counts: Counts) -> dict[str, float]:
        """Computes the metrics defined for these expressions, in [0, 1] or NaN, by name; empty without expressions."""

    def intervals(self, counts: Counts, image_ids: Sequence[Hashable]) -> dict[str, tuple[float, float]]:
        """Computes 95 % intervals by metric, by default none; `image_ids` (N,) has the image of each expression."""
        return {}


def own_logits(logits: Tensor, threshold: float) -> Tensor:
    """Converts logits that are 0 at the network's threshold to those whose sigmoid is its probability."""
    return logits.float() + math.log(threshold / (1 - threshold))
