"""Open models as parts of the reader: finders and maskers, which are no networks by themselves."""

from typing import Any

from refseg.adapters.entries import gdino_sam2, mmgdino_sam2, owlv2_sam2
from refseg.adapters.entries.maskers import MASKERS
from refseg.adapters.entry import AdapterConfig, AdapterEntry
from refseg.adapters.hub_model import HubModel, single_precision


def _part(setting: str, name: str, model: HubModel, **facts: Any) -> AdapterEntry:
    """Returns the entry of a model that a setting of the reader names.

    Args:
        setting: "finder", "masker" or "scorer".
        name: its name there.
        model: what is loaded.
        facts: fields of the entry, in the place of those that follow from the model.
    """
    usual = {"title": model.id.partition("/")[2], "paper": model.page, "most_pieces": None}
    return AdapterEntry(
        name=name,
        parts={"model": (model,)},
        settings=AdapterConfig,
        exists="that of the reader",
        usage=f"--weights reader --set {setting}={name}",
        **usual | facts,
    )


def _finder(name: str, like: AdapterEntry) -> AdapterEntry:
    """Returns the entry of an adapter's detector as a finder."""
    return _part(
        "finder",
        name,
        like.parts["detector"][0],
        title=like.title.partition(" and ")[0],
        paper=like.paper,
        encodes_once=like.encodes_once,
        most_pieces=like.most_pieces,
        knows="whatever things it is asked for, in photographs",
        cannot="find what is meant by places, order or relations, which the reader does",
        reported=like.reported,
    )


FINDERS = (
    _finder("gdino", gdino_sam2.ENTRY),
    _finder("mmgdino", mmgdino_sam2.ENTRY),
    _finder("owlv2", owlv2_sam2.ENTRY),
    _part(
        "finder",
        "mask2former",
        single_precision("small", "facebook/mask2former-swin-small-coco-instance", 68_843_000),
        title="Mask2Former of COCO's instances",
        paper="https://arxiv.org/abs/2112.01527",
        encodes_once="everything",
        knows="the 80 classes of COCO in photographs, with their masks",
        cannot="find anything else",
    ),
)
PHRASE_FINDERS, DEFAULT_MASKER = ("gdino", "mmgdino", "owlv2"), "sam2"
"""Finders of boxes of an open vocabulary, and what draws their masks unless another masker is chosen."""
MASKER_ENTRIES = tuple(
    _part(
        "masker",
        model.name,
        model,
        encodes_once="the image; of a box a small decoder is left",
        knows="the masks of boxes",
        cannot="find anything",
    )
    for model in MASKERS
)
SCORERS = tuple(
    _part(
        "scorer",
        model.name,
        model,
        encodes_once="a crop of each object; of a phrase its text encoder is left",
        knows="how well a phrase fits a thing: what it does, wears, is made of",
        cannot="find anything, or tell places",
    )
    for model in (
        single_precision("siglip2", "google/siglip2-base-patch16-224", 375_200_000),
        single_precision("clip", "openai/clip-vit-base-patch32", 151_300_000),
    )
)
PARTS = {entry.name: entry for entry in (*FINDERS, *MASKER_ENTRIES, *SCORERS)}
