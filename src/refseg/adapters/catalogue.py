"""Catalogue of the adapters: what is known of each without loading it. Nothing here imports torch."""

from refseg.adapters.entries import (
    clipseg,
    florence2,
    florence2_sam2,
    gdino_sam2,
    mmgdino_sam2,
    owlv2_sam2,
    qwen3vl_sam2,
    sam3,
)
from refseg.adapters.entry import AdapterEntry
from refseg.errors import InvalidInput, choose_one, shown

CATALOGUE: dict[str, AdapterEntry] = {
    entry.name: entry
    for entry in (
        clipseg.ENTRY,
        sam3.ENTRY,
        florence2.ENTRY,
        gdino_sam2.ENTRY,
        mmgdino_sam2.ENTRY,
        owlv2_sam2.ENTRY,
        florence2_sam2.ENTRY,
        qwen3vl_sam2.ENTRY,
    )
}


def adapter_entry(name: str) -> AdapterEntry:
    """Returns the entry of an adapter.

    Raises:
        InvalidInput: for an unknown name.
    """
    if name not in CATALOGUE:
        raise InvalidInput(f"unknown adapter {shown(name)}; {choose_one(name, CATALOGUE)}")
    return CATALOGUE[name]
