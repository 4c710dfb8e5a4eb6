"""What of a network can be shown: an attention map or weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class View:
    """Something that a network attends to and that `refseg explain` draws.

    Attributes:
        name: what it shows, for the figure.
        module: what `read` is given comes out of it, in one `fuse`.
        read: its output as weights of the word positions (M, L), as maps (M, h, w), or as numbers (K,).
        kind: which of the three.
        source: figure or equation of the paper.
        labels: of the K numbers.
        frame: of a clip, which a map lies over; None: the frame that is answered.
    """

    name: str
    module: nn.Module
    read: Callable[[Any], Tensor]
    kind: Literal["words", "map", "weights"]
    source: str
    labels: Sequence[str] = ()
    frame: int | None = None
