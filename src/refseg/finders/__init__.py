"""Finders: an image to the objects in it, each with a box, a class, a score and a mask.

`FINDERS` is the table of names; `published.py` says where weights come from. Nothing here imports torch.
"""

from typing import TYPE_CHECKING, Any

from refseg.errors import InvalidInput, shown
from refseg.extensions import look_up

if TYPE_CHECKING:
    from refseg.finders.finder import Finder

FINDERS: dict[str, Any] = {
    "coco80": "refseg.finders.coco80:Coco80",
    "annotations": "refseg.finders.annotations:Annotations",
    "selector": "refseg.compositions.selector_finder:SelectorFinder",
}


def load_finder(name: str, **settings: Any) -> "Finder":
    """Loads a finder with its weights.

    Args:
        name: one of `FINDERS`, or of an installed package (entry points `refseg.finders`).
        settings: its own settings, such as `masker="ellipse"`.

    Raises:
        InvalidInput: for an unknown name, or a setting that it refuses.
        MissingFile: if its weights are not on this machine; the message names the command that gets them.
    """
    found = look_up(FINDERS, "refseg.finders", name)
    if found is None:
        raise InvalidInput(f"unknown finder {shown(name)}; choose one of: {', '.join(FINDERS)}")
    finder: Finder = found.load(**settings)
    return finder
