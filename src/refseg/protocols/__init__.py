"""Protocols: named ways of scoring masks. The same logits get different figures from different ones, so a number
never travels without its protocol's name.
"""

from importlib import import_module
from typing import Any

from refseg.errors import InvalidInput

PROTOCOLS = {
    "standard": "refseg.protocols.standard:Standard",
}


def build(name: str) -> Any:
    """The protocol of this name.

    Raises:
        InvalidInput: if there is none.
    """
    if name not in PROTOCOLS:
        raise InvalidInput(f"unknown protocol {name!r}; choose one of: {', '.join(sorted(PROTOCOLS))}")
    module, attribute = PROTOCOLS[name].split(":")
    return getattr(import_module(module), attribute)()
