"""View: an attention map, or weights, of a network that can be drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class View:
    """Attention or weights of a network, drawn by `refseg explain`.

    Attributes:
        name: title in the figure.
        module: module whose output in `fuse` is passed to `read`.
        read: converts that output to weights of words (M, L), maps (M, h, w) or numbers (K,).
        kind: which of these.
        source: figure or equation of the paper.
        labels: labels of the K numbers.
        frame: index in the clip of the frame under a map; None for the segmented frame.
        meaning: one line on the numbers, for those who do not know the paper; of words only.
    """

    name: str
    module: nn.Module
    read: Callable[[Any], Tensor]
    kind: Literal["words", "map", "weights"]
    source: str
    labels: Sequence[str] = ()
    frame: int | None = None
    meaning: str = ""


def strength(x: Tensor) -> Tensor:
    """Computes the mean absolute value over channels, (M, h, w), of maps (M, C, h, w)."""
    return x.abs().mean(1)
