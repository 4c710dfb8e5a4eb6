"""Protocols: named ways of scoring masks.

They give different figures for the same logits, so every number carries its protocol's name; docs/protocols.md compares
them. PROTOCOLS score images or single frames (`protocol.py`), VIDEO_PROTOCOLS whole videos (`video_protocol.py`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refseg.datasets import class_of
from refseg.errors import InvalidInput, choose_one
from refseg.extensions import look_up

if TYPE_CHECKING:
    from refseg.protocols.protocol import Protocol
    from refseg.protocols.video_protocol import VideoProtocol

PROTOCOLS: dict[str, Any] = {
    "a2d": "refseg.protocols.a2d:A2D",
    "cmirnet": "refseg.protocols.cmirnet:CMIRNet",
    "cmpc": "refseg.protocols.cmpc:CMPC",
    "cmpc_video": "refseg.protocols.cmpc_video:CMPCVideo",
    "cris": "refseg.protocols.cris:CRIS",
    "dmmi": "refseg.protocols.dmmi:DMMI",
    "lavt": "refseg.protocols.lavt:LAVT",
    "ref_l4": "refseg.protocols.ref_l4:RefL4",
    "refsegformer": "refseg.protocols.refsegformer:RefSegformer",
    "rela": "refseg.protocols.rela:ReLA",
    "sesame": "refseg.protocols.sesame:SESAME",
    "standard": "refseg.protocols.standard:Standard",
    "vlt": "refseg.protocols.vlt:VLT",
}
VIDEO_PROTOCOLS = {
    "davis": "refseg.protocols.davis:DAVIS",
    "davis-semi": "refseg.protocols.davis:DAVISSemi",
    "long_rvos": "refseg.protocols.long_rvos:LongRVOS",
    "mevis": "refseg.protocols.mevis:MeViS",
}
FRAME_PROTOCOLS = ("a2d", "cmpc_video")
"""Names in PROTOCOLS that score annotated frames of videos; `standard` scores both."""

DEFAULTS = {
    "a2d_sentences": ("a2d", "cmpc_video"),
    "fprefcoco": ("sesame",),
    "fprefcoco+": ("sesame",),
    "fprefcocog": ("sesame",),
    "jhmdb_sentences": ("a2d", "cmpc_video"),
    "long_rvos": ("long_rvos",),
    "mevis": ("mevis",),
    "ref_davis": ("davis",),
    "ref_l4": ("ref_l4",),
    "refer_youtube_vos": ("mevis",),
    "rrefcoco": ("refsegformer",),
    "rrefcoco+": ("refsegformer",),
    "rrefcocog": ("refsegformer",),
}
"""Default protocols of the data sets; `standard` for all others."""

_FITTING_VIDEO_PROTOCOLS: dict[str, tuple[str, ...]] = {  # by data set, where not all do
    "a2d_sentences": (),
    "drawn_clips": ("long_rvos", "mevis"),
    "jhmdb_sentences": (),
    "long_rvos": ("long_rvos", "mevis"),
    "mevis": ("long_rvos", "mevis"),
}
_FITTING_PROTOCOLS: dict[str, tuple[str, ...]] = {  # the same of images: of boxes only boxes can be compared
    "ref_l4": ("ref_l4", "standard"),
}
_ONLY_OF_REFS = frozenset({"rrefcoco", "rrefcoco+", "rrefcocog", "fprefcoco", "fprefcoco+", "fprefcocog"})
"""Data sets whose ids of expressions begin with their ref, as protocol refsegformer groups them."""


def build(name: str) -> Any:
    """Builds the `Protocol` or `VideoProtocol` of this name; "vlt@0.5" is "vlt" at another threshold.

    Raises:
        InvalidInput: for an unknown name.
    """
    base, at, threshold = name.partition("@")
    table = PROTOCOLS | VIDEO_PROTOCOLS
    found = look_up(table, "refseg.protocols", base)
    if found is None or (at and base != "vlt"):
        raise InvalidInput(f"unknown protocol {name!r}; {choose_one(base, sorted(table))}")
    return found(*([_probability(name, threshold)] if at else []))


def build_for(dataset: str, names: Sequence[str], of_clips: bool | None = None) -> "list[Protocol | VideoProtocol]":
    """Builds the protocols of these names for a data set, by default its own.

    Args:
        dataset: its name.
        names: names of protocols.
        of_clips: whether it holds videos, where its class is not known by the name.

    Raises:
        InvalidInput: for an unknown name, or one that does not fit the data set.
    """
    allowed = fitting(dataset, of_clips)
    for name in names:
        base = name.partition("@")[0]
        if base not in allowed:
            wrong = "does not fit" if base in PROTOCOLS | VIDEO_PROTOCOLS else "is not known for"
            raise InvalidInput(f"protocol {name!r} {wrong} {dataset}; {choose_one(base, allowed)}")
    return [build(name) for name in dict.fromkeys(names or DEFAULTS.get(dataset, ("standard",)))]


def fitting(dataset: str, of_clips: bool | None = None) -> list[str]:
    """Returns the names of the protocols that fit a data set; arguments as of `build_for`."""
    if not (class_of(dataset).of_clips if of_clips is None else of_clips):
        others = FRAME_PROTOCOLS if dataset in _ONLY_OF_REFS else (*FRAME_PROTOCOLS, "refsegformer")
        return list(_FITTING_PROTOCOLS.get(dataset, [name for name in sorted(PROTOCOLS) if name not in others]))
    return sorted([*FRAME_PROTOCOLS, "standard", *_FITTING_VIDEO_PROTOCOLS.get(dataset, VIDEO_PROTOCOLS)])


def _probability(name: str, threshold: str) -> float:
    try:
        probability = float(threshold)
    except ValueError:
        probability = 0.0
    if not 0 < probability < 1:
        raise InvalidInput(
            f"protocol {name!r}: {threshold!r} is not a probability between 0 and 1; for example vlt@0.5"
        )
    return probability
