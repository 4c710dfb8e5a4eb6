"""Data sets: files on disk, or scenes drawn on the fly, to samples. `DATASETS` is the table of names."""

from importlib import import_module
from typing import Any

from refseg.errors import InvalidInput

DATASETS = {
    "drawn_scenes": "refseg.datasets.drawn_scenes:DrawnScenes",
}


def build(name: str, **settings: Any) -> Any:
    """The data set of that name, a sequence of samples; `settings` are its own (split, count, ...).

    Raises:
        InvalidInput: for an unknown name, or a setting that this data set refuses.
    """
    if name not in DATASETS:
        raise InvalidInput(f"unknown data set {name!r}; choose one of: {', '.join(DATASETS)}")
    module, _, attribute = DATASETS[name].partition(":")
    return getattr(import_module(module), attribute)(**settings)
