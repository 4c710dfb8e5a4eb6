"""Adapters: open models of others, by name, as networks of ours.

An adapter is a `Network` around models of the transformers library. It has two halves:

entries/NAME.py   settings (`AdapterConfig`) and facts (`AdapterEntry`): which models on the hub, licence, size, what it
                  can. Nothing there imports torch, so that lists and early checks are fast; `catalogue.py` collects it.
NAME.py           the class (`adapter.Adapter`), which `ADAPTERS` names.

`local_model.py` finds models on this machine and loads them: safetensors only, never code. `download_model.py` gets
them from the hub.
"""

from typing import TYPE_CHECKING, Any

from refseg.errors import InvalidInput, choose_one, shown
from refseg.extensions import look_up

if TYPE_CHECKING:
    from refseg.adapters.adapter import Adapter

ADAPTERS: dict[str, Any] = {
    "clipseg": "refseg.adapters.clipseg:ClipSeg",
    "sam3": "refseg.adapters.sam3:Sam3",
    "florence2": "refseg.adapters.florence2:Florence2",
    "gdino_sam2": "refseg.adapters.detect_then_segment:GroundingDinoSam2",
    "mmgdino_sam2": "refseg.adapters.detect_then_segment:MMGroundingDinoSam2",
    "owlv2_sam2": "refseg.adapters.detect_then_segment:Owlv2Sam2",
    "florence2_sam2": "refseg.adapters.detect_then_segment:Florence2Sam2",
    "qwen3vl_sam2": "refseg.adapters.detect_then_segment:Qwen3VLSam2",
}


def adapter_class(name: str) -> "type[Adapter]":
    """Returns the class of an adapter.

    Raises:
        InvalidInput: for an unknown name.
    """
    found: type[Adapter] | None = look_up(ADAPTERS, "refseg.adapters", name)
    if found is None:
        raise InvalidInput(f"unknown adapter {shown(name)}; {choose_one(name, ADAPTERS)}")
    return found
