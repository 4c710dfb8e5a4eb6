"""Modules that are imported at their first use: look-ups and early checks do not wait for torch."""

from importlib import import_module
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """A module that is imported when an attribute of it is asked for.

    >>> LazyModule("math").floor(1.5)
    1
    """

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value
