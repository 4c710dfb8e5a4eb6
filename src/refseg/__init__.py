"""Referring segmentation: an image and an expression in, the mask of what it refers to out.

>>> import refseg
>>> sorted(refseg.NETWORKS)
['cmirnet', 'cmpc', 'cmpc_video', 'cris', 'dcmfnet', 'dmmi', 'eavl', 'lavt', 'selector', 'selector_video', 'vlt']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refseg.checkpoints.hub import push
    from refseg.datasets import DATASETS
    from refseg.datasets.load import load_dataset
    from refseg.evaluation.evaluate import evaluate
    from refseg.inference.file_result import FileResult
    from refseg.inference.results import FrameResult, Instance, Result
    from refseg.inference.segmenter import Segmenter, load, segment
    from refseg.networks import NETWORKS, PRESETS
    from refseg.networks.create import create_network
    from refseg.protocols import PROTOCOLS
    from refseg.recipes import RECIPES
    from refseg.robustness.run import export_robustness, measure_robustness
    from refseg.training.run import train

__version__ = "0.2.0"
__all__ = [
    "DATASETS",
    "NETWORKS",
    "PRESETS",
    "PROTOCOLS",
    "RECIPES",
    "FileResult",
    "FrameResult",
    "Instance",
    "Result",
    "Segmenter",
    "__version__",
    "create_network",
    "evaluate",
    "export_robustness",
    "load",
    "load_dataset",
    "measure_robustness",
    "push",
    "segment",
    "train",
]

_HOMES = {
    "DATASETS": "refseg.datasets",
    "NETWORKS": "refseg.networks",
    "PRESETS": "refseg.networks",
    "PROTOCOLS": "refseg.protocols",
    "RECIPES": "refseg.recipes",
    "FileResult": "refseg.inference.file_result",
    "FrameResult": "refseg.inference.results",
    "Instance": "refseg.inference.results",
    "Result": "refseg.inference.results",
    "Segmenter": "refseg.inference.segmenter",
    "create_network": "refseg.networks.create",
    "evaluate": "refseg.evaluation.evaluate",
    "export_robustness": "refseg.robustness.run",
    "load": "refseg.inference.segmenter",
    "load_dataset": "refseg.datasets.load",
    "push": "refseg.checkpoints.hub",
    "measure_robustness": "refseg.robustness.run",
    "segment": "refseg.inference.segmenter",
    "train": "refseg.training.run",
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
