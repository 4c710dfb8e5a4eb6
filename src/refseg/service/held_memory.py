"""Memory that Python objects hold in arrays and tensors."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np


def held_bytes(value: Any, seen: set[int] | None = None) -> int:
    """Returns the bytes of all arrays and tensors that can be reached from an object.

    It looks at attributes, at items, and at what functions hold: arguments of a `partial`, the object of a method, the
    variables around a function. What an `lru_cache` holds cannot be seen.

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
        if id(one) in seen or one is None or isinstance(one, str | int | float | type | ModuleType):
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
            waiting += _held_by(one)
    return total


def _held_by(one: object) -> Iterable[object]:
    """Yields the objects that an object refers to without having them as items."""
    yield from getattr(one, "__dict__", {}).values()
    if isinstance(one, partial):
        yield from (one.func, one.args, one.keywords)
    elif isinstance(one, MethodType):
        yield one.__self__
    elif isinstance(one, FunctionType):
        for cell in one.__closure__ or ():
            with suppress(ValueError):  # nothing in it
                yield cell.cell_contents
