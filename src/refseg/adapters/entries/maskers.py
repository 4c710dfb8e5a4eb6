"""Models that draw the mask of a box: a part of adapters, and maskers of the reader."""

from typing import Literal

from refseg.adapters.hub import HubModel

MaskerName = Literal[
    "sam2", "sam2-tiny", "sam2-base-plus", "sam2-large", "edgetam", "sam-base", "sam-large", "sam-huge", "sam-hq"
]


UNCHECKED = "not checked by us, see its page"


def _sam2(name: str, size: str, parameters: int) -> HubModel:
    """SAM 2.1; the file holds the parts for videos, too."""
    return HubModel(
        name=name,
        id=f"facebook/sam2.1-hiera-{size}",
        licence=UNCHECKED,
        size=4 * (parameters + 7_522_000),
        parameters=parameters,
    )


def _sam(name: str, page: str, parameters: int) -> HubModel:
    return HubModel(name=name, id=page, licence=UNCHECKED, size=4 * parameters, parameters=parameters)


MASKERS = (
    _sam2("sam2", "small", 38_539_000),
    _sam2("sam2-tiny", "tiny", 31_441_000),
    _sam2("sam2-base-plus", "base-plus", 73_328_000),
    _sam2("sam2-large", "large", 216_925_000),
    _sam("edgetam", "yonigozlan/EdgeTAM-hf", 13_000_000),
    _sam("sam-base", "facebook/sam-vit-base", 93_736_000),
    _sam("sam-large", "facebook/sam-vit-large", 312_300_000),
    _sam("sam-huge", "facebook/sam-vit-huge", 641_100_000),
    _sam("sam-hq", "syscv-community/sam-hq-vit-base", 94_807_000),
)
"""The default first."""


def maskers_from(name: MaskerName) -> tuple[HubModel, ...]:
    """Returns all of them, this one first."""
    return tuple(sorted(MASKERS, key=lambda model: model.name != name))
