"""Protocols: named ways of scoring masks. The same logits get different figures from different ones, so a number
never travels without its protocol's name. docs/protocols.md compares them.

Those of the table are of images (`contract.py`); `a2d`, `davis` and `mevis` count what videos need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from refseg.errors import InvalidInput

if TYPE_CHECKING:
    from refseg.protocols.contract import Protocol

PROTOCOLS = {
    "cmirnet": "refseg.protocols.cmirnet:CMIRNet",
    "cmpc": "refseg.protocols.cmpc:CMPC",
    "cmpc_video": "refseg.protocols.cmpc_video:CMPCVideo",
    "cris": "refseg.protocols.cris:CRIS",
    "dmmi": "refseg.protocols.dmmi:DMMI",
    "lavt": "refseg.protocols.lavt:LAVT",
    "rela": "refseg.protocols.rela:ReLA",
    "standard": "refseg.protocols.standard:Standard",
    "vlt": "refseg.protocols.vlt:VLT",
}


def build(name: str) -> "Protocol":
    """The protocol of this name; "vlt@0.5" is "vlt" with another threshold than its release's.

    Raises:
        InvalidInput: if there is none.
    """
    base, at, threshold = name.partition("@")
    if base not in PROTOCOLS or (at and base != "vlt"):
        raise InvalidInput(f"unknown protocol {name!r}; choose one of: {', '.join(sorted(PROTOCOLS))}")
    module, attribute = PROTOCOLS[base].split(":")
    kind: type[Protocol] = getattr(import_module(module), attribute)
    return kind(*([_probability(name, threshold)] if at else []))


def _probability(name: str, threshold: str) -> float:
    try:
        probability = float(threshold)
    except ValueError:
        probability = 0.0
    if not 0 < probability < 1:
        raise InvalidInput(f"protocol {name!r}: {threshold!r} is no probability between 0 and 1; for example vlt@0.5")
    return probability
