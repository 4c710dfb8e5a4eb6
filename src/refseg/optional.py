"""Libraries of the extras: imported where they are needed, and said by name where they are missing."""

from importlib import import_module
from typing import Any

from refseg.errors import InvalidInput


def library(module: str, need: str, extra: str, remark: str = "") -> Any:
    """A module of a library that need not be installed.

    Args:
        module: its name.
        need: what wants it, as a sentence without its end.
        extra: of this package, that brings it.
        remark: on the installation.

    Raises:
        InvalidInput: if it is not installed, with the way to install it.

    >>> library("no_such_module", "plots need it", "plot")
    Traceback (most recent call last):
    refseg.errors.InvalidInput: plots need it; install it with: pip install 'refseg[plot]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{need}; install it with: pip install 'refseg[{extra}]'{remark}") from error
