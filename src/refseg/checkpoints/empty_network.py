"""Networks without first values, for weights that all come from a file."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from refseg.networks.network import Network


def load_into(build: Callable[[], Network], weights: Mapping[str, Tensor]) -> Network:
    """Builds a network that has these weights, without first values that they would replace.

    Random numbers for 100 million parameters take seconds, and memory that is then thrown away. Weights are taken as
    they are, those of a mapped file within it.

    Args:
        build: builds the network.
        weights: for all of its state.
    """
    with _EmptyOnMeta():
        network = build()
    network.load_state_dict(weights, assign=True)
    own = (value for module in network.modules() for value in vars(module).values() if isinstance(value, Tensor))
    if any(tensor.is_meta for tensor in chain(network.parameters(), network.buffers(), own)):
        network = build()  # it has something that is filled and that no file holds
        network.load_state_dict(weights, assign=True)
    return network


class _EmptyOnMeta(TorchFunctionMode):
    """A context in which `torch.empty` of floats, by which layers make their weights, takes no memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls the function; `torch.empty` of floats on the meta device."""
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            dtype = kwargs.get("dtype") or torch.get_default_dtype()
            kwargs["device"] = "meta" if dtype.is_floating_point else None
        return func(*args, **kwargs)
