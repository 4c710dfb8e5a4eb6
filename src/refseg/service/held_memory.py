"""Memory that Python objects hold in arrays and tensors."""

import sys
from typing import Any

import numpy as np


def held_bytes(value: Any, seen: set[int] | None = None) -> int:
    """Returns the bytes of all arrays and tensors that can be reached from an object by attributes and items.

    Args:
        value: any object.
        seen: ids of objects that are not counted; those that were are added.

    >>> held_bytes({"a": np.zeros(10, np.float32), "b": [np.zeros(2)]})
    56
    """
    seen = set() if seen is None else seen
    torch, total, waiting = sys.modules.get("torch"), 0, [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or one is None or isinstance(one, str | int | float | type):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray) or (torch is not None and isinstance(one, torch.Tensor)):
            total += one.nbytes
        elif isinstance(one, bytes):
            total += len(one)
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        else:
            waiting += getattr(one, "__dict__", {}).values()
    return total
