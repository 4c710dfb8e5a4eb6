"""What a number travels with: data set, weights, versions."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg.adapters.catalogue import CATALOGUE as ADAPTERS
from refseg.checkpoints.config_file import brings_weights, open_config, weights_files
from refseg.datasets import DATASETS
from refseg.datasets.dataset import Dataset
from refseg.files.digest import sha256

if TYPE_CHECKING:
    from refseg.checkpoints.checkpoint import Checkpoint


def dataset_facts(dataset: Any, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns what makes figures on a data set comparable: name, settings, seed, version and sha256 of its files."""
    found: dict[str, Any] = {
        "dataset": name,
        **{key: _plain(value) for key, value in settings.items() if key != "root"},
    }
    sources: list[Path] = []
    if isinstance(dataset, Dataset):  # not a list of samples
        found |= {"seed": dataset.seed, "generator_version": dataset.version}
        sources = dataset.sources()
    digests = {Path(source).name: sha256(Path(source))[:16] for source in sources}
    return {key: value for key, value in found.items() if value is not None} | ({"sha256": digests} if digests else {})


def dataset_name(dataset: Any) -> str:
    """Returns the name of an open data set in `DATASETS`, else that of its class."""
    home = f"{type(dataset).__module__}:{type(dataset).__qualname__}"
    return next((name for name, place in DATASETS.items() if place in (home, type(dataset))), type(dataset).__name__)


def weights_facts(weights: "str | Path | Checkpoint") -> dict[str, str]:
    """Returns name and sha256: of the file of weights, or of the tensors of a checkpoint."""
    if not isinstance(weights, str | Path):
        import torch

        digest = hashlib.sha256()
        if brings_weights(weights.name):
            digest.update(weights.network.config.model_dump_json().encode())
        for name, tensor in sorted(weights.network.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return {"name": weights.name, "sha256": digest.hexdigest()}
    folder, config = open_config(weights)
    if entry := ADAPTERS.get(config.network.name):
        content = config.model_dump_json().encode() + entry.fingerprint(entry.configured(config.network.config))
    elif brings_weights(config.network.name):  # its finder's file has a checksum of its own
        content = config.model_dump_json().encode()
    else:
        return {"name": str(weights), "sha256": sha256(*weights_files(folder, config))}
    return {"name": str(weights), "sha256": hashlib.sha256(content).hexdigest()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [str(one) for one in value]
    return str(value) if isinstance(value, Path) else value
