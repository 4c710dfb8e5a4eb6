"""Protocols: named ways of scoring masks. The same logits get different figures from different ones, so a number
never travels without its protocol's name. docs/protocols.md compares them.

Those of PROTOCOLS score images, or frames one by one (`protocol.py`), those of OF_VIDEOS whole videos
(`video_protocol.py`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refseg.datasets import OF_CLIPS
from refseg.errors import InvalidInput
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
    "rela": "refseg.protocols.rela:ReLA",
    "standard": "refseg.protocols.standard:Standard",
    "vlt": "refseg.protocols.vlt:VLT",
}
OF_VIDEOS = {
    "davis": "refseg.protocols.davis:DAVIS",
    "davis-semi": "refseg.protocols.davis:DAVISSemi",
    "mevis": "refseg.protocols.mevis:MeViS",
}
OF_FRAMES = ("a2d", "cmpc_video")
"""Those of PROTOCOLS that score annotated frames of videos; `standard` does either."""

DEFAULTS = {
    "a2d_sentences": ("a2d", "cmpc_video"),
    "jhmdb_sentences": ("a2d", "cmpc_video"),
    "mevis": ("mevis",),
    "ref_davis": ("davis",),
    "refer_youtube_vos": ("mevis",),
}
"""What data sets are scored by where nothing is said; others by `standard`."""

_OF_VIDEOS_FITTING: dict[str, tuple[str, ...]] = {  # all of them, where it is not said
    "a2d_sentences": (),
    "drawn_clips": ("mevis",),
    "jhmdb_sentences": (),
    "mevis": ("mevis",),
}


def build(name: str) -> Any:
    """The protocol of this name, a `Protocol` or `VideoProtocol`; "vlt@0.5" is "vlt" at another threshold.

    Raises:
        InvalidInput: if there is none.
    """
    base, at, threshold = name.partition("@")
    table = PROTOCOLS | OF_VIDEOS
    found = look_up(table, "refseg.protocols", base)
    if found is None or (at and base != "vlt"):
        raise InvalidInput(f"unknown protocol {name!r}; choose one of: {', '.join(sorted(table))}")
    return found(*([_probability(name, threshold)] if at else []))


def build_for(dataset: str, names: Sequence[str]) -> "list[Protocol | VideoProtocol]":
    """The protocols of these names for a data set, or its own ones.

    Raises:
        InvalidInput: if there is none of a name, or it does not fit.
    """
    allowed = fitting(dataset)
    for name in names:
        base = name.partition("@")[0]
        if base not in allowed:
            wrong = "does not fit" if base in PROTOCOLS | OF_VIDEOS else "is none for"
            raise InvalidInput(f"protocol {name!r} {wrong} {dataset}; choose one of: {', '.join(allowed)}")
    return [build(name) for name in dict.fromkeys(names or DEFAULTS.get(dataset, ("standard",)))]


def fitting(dataset: str) -> list[str]:
    """Names of the protocols that fit a data set."""
    if dataset not in OF_CLIPS:
        return [name for name in sorted(PROTOCOLS) if name not in OF_FRAMES]
    return sorted([*OF_FRAMES, "standard", *_OF_VIDEOS_FITTING.get(dataset, OF_VIDEOS)])


def _probability(name: str, threshold: str) -> float:
    try:
        probability = float(threshold)
    except ValueError:
        probability = 0.0
    if not 0 < probability < 1:
        raise InvalidInput(f"protocol {name!r}: {threshold!r} is no probability between 0 and 1; for example vlt@0.5")
    return probability
