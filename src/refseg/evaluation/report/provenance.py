"""What a number travels with: data set, weights, versions."""

from pathlib import Path
from typing import Any


def facts(dataset: Any, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What makes figures on a data set comparable: its name and settings, and its version or its files' sha256."""
    import hashlib
    import sys

    found: dict[str, Any] = {
        "dataset": name,
        **{key: _plain(value) for key, value in settings.items() if key != "root"},
    }
    found |= {"seed": getattr(dataset, "seed", None)}
    found |= {"generator_version": getattr(sys.modules[type(dataset).__module__], "VERSION", None)}
    sources = dataset.sources() if hasattr(dataset, "sources") else []
    digests = {Path(source).name: hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16] for source in sources}
    return {key: value for key, value in found.items() if value is not None} | ({"sha256": digests} if digests else {})


def weights_facts(weights: str) -> dict[str, str]:
    """What tells weights from all others."""
    import hashlib

    from refseg.checkpoints.checkpoint import WEIGHTS
    from refseg.checkpoints.locate import find

    return {"name": weights, "sha256": hashlib.sha256((find(weights) / WEIGHTS).read_bytes()).hexdigest()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [str(one) for one in value]
    return str(value) if isinstance(value, Path) else value
