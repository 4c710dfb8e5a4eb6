"""Contexts of lower and of full precision."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def computing_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Returns a context in which layers compute in a lower precision; one that changes nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def full_precision(like: Tensor) -> AbstractContextManager[None]:
    """Returns a context without autocast, in which results keep the precision of their inputs."""
    device = like.device.type
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()  # the meta device, on which networks are counted


def layer_dtype(x: Tensor) -> torch.dtype:
    """Returns the dtype in which a layer computes x, which autocast may choose."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
