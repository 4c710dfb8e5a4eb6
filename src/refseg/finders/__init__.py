"""Finders: an image to the objects in it, each with a box, a class, a score and a mask.

`FINDERS` is the table of names; `published.py` says where weights come from. Nothing here imports torch.
"""

from typing import TYPE_CHECKING, Any

from refseg.errors import InvalidInput, choose_one, shown
from refseg.extensions import look_up
from refseg.finders.named_folder import split_folder

if TYPE_CHECKING:
    from refseg.finders.finder import Finder

FINDERS: dict[str, Any] = {
    "coco80": "refseg.finders.coco80:Coco80",
    "gdino": "refseg.adapters.phrase_finders:GroundingDinoFinder",
    "mmgdino": "refseg.adapters.phrase_finders:MMGroundingDinoFinder",
    "owlv2": "refseg.adapters.phrase_finders:Owlv2Finder",
    "sam3": "refseg.adapters.sam3_finder:Sam3Finder",
    "mask2former": "refseg.adapters.mask2former:Mask2FormerFinder",
    "annotations": "refseg.finders.annotations:Annotations",
    "selector": "refseg.compositions.selector_finder:SelectorFinder",
}


def load_finder(name: str, **settings: Any) -> "Finder":
    """Loads a finder with its weights.

    Args:
        name: one of `FINDERS`, or of an installed package (entry points `refseg.finders`); of an open model with an own
            folder, if wanted ("gdino=FOLDER").
        settings: its own settings, such as `masker="ellipse"`.

    Raises:
        InvalidInput: for an unknown name, or a setting that it refuses.
        MissingFile: if its weights are not on this machine; the message names the command that gets them.
    """
    name, folder = split_folder(name)
    if folder is not None:
        settings["folder"] = folder
    found = look_up(FINDERS, "refseg.finders", name)
    if found is None:
        raise InvalidInput(f"unknown finder {shown(name)}; {choose_one(name, FINDERS)}")
    finder: Finder = found.load(**settings)
    return finder
