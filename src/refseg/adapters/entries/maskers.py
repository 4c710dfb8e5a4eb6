"""Models that draw the mask of a box: a part of adapters, and maskers of the reader."""

from refseg.adapters.hub_model import HubModel, single_precision
from refseg.finders.model_maskers import MaskerName


def _sam2(name: str, size: str, parameters: int) -> HubModel:
    """SAM 2.1; the file holds the parts for videos, too."""
    model = single_precision(name, f"facebook/sam2.1-hiera-{size}", parameters)
    return model.replace(size=4 * (parameters + 7_522_000))


MASKERS = (
    _sam2("sam2", "small", 38_539_000),
    _sam2("sam2-tiny", "tiny", 31_441_000),
    _sam2("sam2-base-plus", "base-plus", 73_328_000),
    _sam2("sam2-large", "large", 216_925_000),
    single_precision("edgetam", "yonigozlan/EdgeTAM-hf", 13_000_000),
    single_precision("sam-base", "facebook/sam-vit-base", 93_736_000),
    single_precision("sam-large", "facebook/sam-vit-large", 312_300_000),
    single_precision("sam-huge", "facebook/sam-vit-huge", 641_100_000),
    single_precision("sam-hq", "syscv-community/sam-hq-vit-base", 94_807_000),
)
"""The default first."""


def maskers_from(name: MaskerName) -> tuple[HubModel, ...]:
    """Returns all of them, this one first."""
    return tuple(sorted(MASKERS, key=lambda model: model.name != name))
