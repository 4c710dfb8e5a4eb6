"""Referring segmentation: an image and an expression in, the mask of what it refers to out.

>>> import refseg
>>> sorted(refseg.NETWORKS)
['cmirnet', 'cmpc', 'cmpc_video', 'cris', 'dcmfnet', 'dmmi', 'eavl', 'lavt', 'selector', 'vlt']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refseg.datasets import DATASETS
    from refseg.inference.segmenter import Segmenter, load, segment
    from refseg.networks import NETWORKS

__version__ = "0.1.0"
__all__ = ["DATASETS", "NETWORKS", "Segmenter", "__version__", "load", "segment"]

_HOMES = {
    "DATASETS": "refseg.datasets",
    "NETWORKS": "refseg.networks",
    "Segmenter": "refseg.inference.segmenter",
    "load": "refseg.inference.segmenter",
    "segment": "refseg.inference.segmenter",
}


def __getattr__(name: str) -> Any:
    """The public names are imported at first use: `import refseg` takes no time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
