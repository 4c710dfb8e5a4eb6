"""Pretraining: objectives that teach one encoder of a network with heads that are dropped afterwards.

They stand in for the large data sets that the papers' encoders come trained on.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

from torch import Tensor, nn

from refseg.batch import Batch
from refseg.networks.network import Network, Output


class PretrainingHeads(nn.Module, ABC):
    """What learns beside an encoder in a stage with this objective, and is dropped afterwards.

    Attributes:
        part: of the network that is taught; heads learn at its rate.
        teaches: what, for messages and cards.
    """

    part: ClassVar[str]
    teaches: ClassVar[str]

    @classmethod
    @abstractmethod
    def of(cls, network: Network, classes: Mapping[str, int]) -> Self:
        """Builds the heads of a network.

        Args:
            network: whose part is taught.
            classes: of a data set, `Dataset.object_classes`, in the order of `Objects.attributes`.
        """

    @abstractmethod
    def loss(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """Computes the losses of a batch: "loss" is minimised, the others are logged."""

    def predict(self, network: Network, batch: Batch) -> Output:
        """Predicts the referents of a batch, for validation in stages with expressions."""
        raise NotImplementedError
