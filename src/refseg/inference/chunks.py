"""Chunks of expressions, so that the memory of a network is bounded for any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refseg.lazy import LazyModule
from refseg.runtimes.entry import RuntimeEntry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from refseg.networks.network import Network, Output
else:
    torch = LazyModule("torch")

PIXELS_AT_ONCE = 2**20  # of the images of all expressions that are fused together: 64 of 128 x 128, 4 of 480 x 480


def expressions_at_once(size_hw: Sequence[int], network: Network | RuntimeEntry | None = None) -> int:
    """Returns the number of expressions about images of this size that are fused together.

    >>> expressions_at_once((480, 480))
    4
    """
    if network is not None and network.expressions_at_once is not None:
        return network.expressions_at_once
    height, width = size_hw
    return max(1, PIXELS_AT_ONCE // (height * width))


def fuse_in_parts(
    network: Network,
    features: Any,
    words: Tensor,
    word_mask: Tensor,
    image_of_expression: Tensor,
    size_hw: Sequence[int],
) -> Output:
    """Computes `Network.fuse` of M expressions chunk by chunk; `size_hw` is the size of the images."""
    from refseg.networks.network import Output

    count = expressions_at_once(size_hw, network)
    parts = zip(words.split(count), word_mask.split(count), image_of_expression.split(count), strict=True)
    outputs = [network.fuse(features, *part) for part in parts]
    first = outputs[0]
    if len(outputs) == 1:
        return first
    referents = [some for output in outputs for some in output.referents or ()]
    readings = [one for output in outputs for one in output.readings or ()]
    candidates = [some for output in outputs for some in output.candidates or ()]
    return Output(
        logits=torch.cat([output.logits for output in outputs]),
        exists=torch.cat([output.exists for output in outputs]),
        scores=None if first.scores is None else torch.cat([o.scores for o in outputs if o.scores is not None]),
        masks=first.masks,  # of images
        valid=first.valid,
        centres=first.centres,
        referents=None if first.referents is None else referents,
        readings=None if first.readings is None else readings,
        candidates=None if first.candidates is None else candidates,
    )
