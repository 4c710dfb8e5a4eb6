"""Open models as parts of the reader: finders and maskers, which are no networks by themselves."""

from refseg.adapters.entries import gdino_sam2, mmgdino_sam2, owlv2_sam2
from refseg.adapters.entries.maskers import MASKERS
from refseg.adapters.entry import AdapterConfig, AdapterEntry
from refseg.adapters.hub import HubModel, single_precision

MASK2FORMER = single_precision("small", "facebook/mask2former-swin-small-coco-instance", 68_843_000)


def _finder(name: str, like: AdapterEntry) -> AdapterEntry:
    """The detector of an adapter, as a finder."""
    return AdapterEntry(
        name=name,
        title=like.title.partition(" and ")[0],
        paper=like.paper,
        parts={"model": like.parts["detector"][:1]},
        settings=AdapterConfig,
        exists="that of the reader",
        encodes_once=like.encodes_once,
        most_pieces=like.most_pieces,
        knows="whatever things it is asked for, in photographs",
        cannot="find what is meant by places, order or relations, which the reader does",
        reported=like.reported,
        usage=f"--weights reader --set finder={name}",
    )


def _masker(model: HubModel) -> AdapterEntry:
    return AdapterEntry(
        name=model.name,
        title=model.id.partition("/")[2],
        paper=model.page,
        parts={"model": (model,)},
        settings=AdapterConfig,
        exists="that of the reader",
        encodes_once="the image; of a box a small decoder is left",
        most_pieces=None,
        knows="the masks of boxes",
        cannot="find anything",
        usage=f"--weights reader --set masker={model.name}",
    )


FINDERS = (
    _finder("gdino", gdino_sam2.ENTRY),
    _finder("mmgdino", mmgdino_sam2.ENTRY),
    _finder("owlv2", owlv2_sam2.ENTRY),
    AdapterEntry(
        name="mask2former",
        title="Mask2Former of COCO's instances",
        paper="https://arxiv.org/abs/2112.01527",
        parts={"model": (MASK2FORMER,)},
        settings=AdapterConfig,
        exists="that of the reader",
        encodes_once="everything",
        most_pieces=None,
        knows="the 80 classes of COCO in photographs, with their masks",
        cannot="find anything else",
        usage="--weights reader --set finder=mask2former",
    ),
)
PHRASE_FINDERS, DEFAULT_MASKER = ("gdino", "mmgdino", "owlv2"), "sam2"
"""Finders of boxes of an open vocabulary, and what draws their masks unless another masker is chosen."""


def _scorer(name: str, page: str, parameters: int) -> AdapterEntry:
    model = single_precision(name, page, parameters)
    return AdapterEntry(
        name=name,
        title=page.partition("/")[2],
        paper=model.page,
        parts={"model": (model,)},
        settings=AdapterConfig,
        exists="that of the reader",
        encodes_once="a crop of each object; of a phrase its text encoder is left",
        most_pieces=None,
        knows="how well a phrase fits a thing: what it does, wears, is made of",
        cannot="find anything, or tell places",
        usage=f"--weights reader --set scorer={name}",
    )


SCORERS = (
    _scorer("siglip2", "google/siglip2-base-patch16-224", 375_200_000),
    _scorer("clip", "openai/clip-vit-base-patch32", 151_300_000),
)
PARTS = {entry.name: entry for entry in (*FINDERS, *map(_masker, MASKERS), *SCORERS)}
