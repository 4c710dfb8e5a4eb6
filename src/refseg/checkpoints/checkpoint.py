"""Checkpoint: weights with everything that is needed to use them.

A checkpoint is a folder with `model.safetensors`, `config.json` (network, tokenizer, preprocessing, calibration),
`recipe.yaml` (its training) and `card.md` (data, metrics, licence). Nothing is unpickled.
"""

from dataclasses import dataclass, field
from typing import Any

import torch

from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.familiarity import Familiarity
from refseg.errors import InvalidInput, shown
from refseg.hardware import check_device, choose_device
from refseg.networks.network import Network
from refseg.preprocessing.transform import Preprocessing
from refseg.runtimes.entry import RuntimeEntry
from refseg.text.tokenizer import Tokenizer


@dataclass
class Checkpoint:
    """A trained network with tokenizer, preprocessing and calibration.

    Attributes:
        name: the network's name in `NETWORKS`.
        knows: one line on the domain of the weights.
        recipe: of the training, YAML.
        card: data, metrics and licence, Markdown.
        trained_on: facts on the training, such as generator version and number of images.
        runtime: graphs of an exported network, which computes by them.
        familiarity: detects images unlike those of the training; None for networks without such features.
    """

    name: str
    network: Network
    tokenizer: Tokenizer
    preprocessing: Preprocessing
    calibration: Calibration
    familiarity: Familiarity | None = None
    knows: str = ""
    recipe: str = ""
    card: str = ""
    trained_on: dict[str, Any] = field(default_factory=dict)
    runtime: RuntimeEntry | None = None

    @property
    def precision(self) -> str:
        """Precision of the network's arithmetic by the name of torch's type, "float32"; "int8" of some exports."""
        if self.runtime is not None:
            return {"f32": "float32", "bf16": "bfloat16"}.get(self.runtime.precision, self.runtime.precision)
        lower = self.network.compute_dtype != torch.float32
        dtype = self.network.compute_dtype if lower else next(self.network.parameters()).dtype
        return str(dtype).removeprefix("torch.")


def use_threshold(checkpoint: Checkpoint, probability: float) -> None:
    """Sets the probability of existence above which the network predicts a referent."""
    odds = torch.tensor(probability, dtype=torch.float64).logit().item()
    checkpoint.network.exists_threshold_logit = checkpoint.calibration.temperature * odds


def to_device(checkpoint: Checkpoint, device: str) -> Checkpoint:
    """Moves network and statistics to a device, for "auto" a GPU if there is one.

    Raises:
        InvalidInput: if it cannot be used.
    """
    if checkpoint.runtime is not None:
        return _on_cpu(checkpoint, device)
    device = choose_device(device)
    check_device(device)
    checkpoint.network.to(device)
    if checkpoint.familiarity is not None:
        checkpoint.familiarity.mean = checkpoint.familiarity.mean.to(device)
        checkpoint.familiarity.precision = checkpoint.familiarity.precision.to(device)
    return checkpoint


def _on_cpu(checkpoint: Checkpoint, device: str) -> Checkpoint:
    if device not in ("cpu", "auto"):
        raise InvalidInput(
            f"exported weights run on the CPU, not on {shown(device)}; give 'cpu', or the weights that they were "
            "exported from"
        )
    return checkpoint
