"""Catalogue of the adapters: what is known of each without loading it. Nothing here imports torch."""

from refseg.adapters.entries import clipseg, florence2, sam3
from refseg.adapters.entry import AdapterEntry
from refseg.errors import InvalidInput, shown

CATALOGUE: dict[str, AdapterEntry] = {
    entry.name: entry
    for entry in (
        clipseg.ENTRY,
        sam3.ENTRY,
        florence2.ENTRY,
    )
}


def adapter_entry(name: str) -> AdapterEntry:
    """Returns the entry of an adapter.

    Raises:
        InvalidInput: for an unknown name.
    """
    if name not in CATALOGUE:
        raise InvalidInput(f"unknown adapter {shown(name)}; choose one of: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
