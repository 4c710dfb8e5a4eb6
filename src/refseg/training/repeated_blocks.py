"""The repeated blocks of a network: what is sharded by itself, and computed again where memory is short."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from refseg.networks.network import CalledInParts

SMALLEST, LARGEST = 500_000, 30_000_000  # parameters of a block
CONTAINERS = nn.ModuleList | nn.ModuleDict | nn.Sequential


def repeated_blocks(module: nn.Module) -> Iterator[nn.Module]:
    """Elements of lists and sequences that have so many parameters, none inside of another.

    Not those that are `CalledInParts`: only who calls the whole finds its weights there.
    """
    for child in module.children():
        whole = not isinstance(child, CONTAINERS) and not isinstance(child, CalledInParts)
        if isinstance(module, CONTAINERS) and whole:
            if SMALLEST <= sum(parameter.numel() for parameter in child.parameters()) <= LARGEST:
                yield child
                continue
        yield from repeated_blocks(child)


def checkpoint_activations(network: nn.Module) -> int:
    """From now on the blocks forget what they computed and compute it again in the backward pass; how many they are.

    Not blocks with batch norms that learn their statistics: they would see every batch twice.
    """
    count = 0
    for unit in repeated_blocks(network):
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training for part in unit.modules()):
            continue
        unit.forward = Checkpointed(unit.forward)
        count += 1
    return count


class Checkpointed:
    """A forward pass whose intermediate results are not kept."""

    def __init__(self, forward: Callable[..., Any]):
        self.forward = forward

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Computes the forward pass."""
        return checkpoint(self.forward, *arguments, use_reentrant=False, **keywords)
