"""Checkpoints: weights with everything that is needed to use them, to and from a folder.

A checkpoint is a folder with `model.safetensors`, `config.json` (network, tokenizer, preprocessing, calibration),
`recipe.yaml` (what trained it) and `card.md` (data, metrics, licence). Nothing is ever unpickled.
"""

from dataclasses import dataclass, field
from typing import Any

import torch

from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.familiarity import Familiarity
from refseg.hardware import check_device
from refseg.networks.network import Network
from refseg.preprocessing.transform import Preprocessing
from refseg.text.tokenizer import Tokenizer

WEIGHTS, CONFIG, RECIPE, CARD = "model.safetensors", "config.json", "recipe.yaml", "card.md"


@dataclass
class Checkpoint:
    """A trained network with all that belongs to it.

    Attributes:
        name: the network's name in `NETWORKS`.
        knows: one line on what the weights know and what they do not.
        recipe: what trained it, YAML.
        card: data, metrics and licence, Markdown.
        trained_on: generator version, number of images and the like, for the record.
        familiarity: tells images that are unlike those of the training; None for networks without such features.
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


def use_threshold(checkpoint: Checkpoint, probability: float) -> None:
    """From now on the network takes an expression to refer to something above this probability of existence."""
    odds = torch.tensor(probability, dtype=torch.float64).logit().item()
    checkpoint.network.exists_threshold_logit = checkpoint.calibration.temperature * odds


def to_device(checkpoint: Checkpoint, device: str) -> Checkpoint:
    """Moves network and statistics; raises InvalidInput for a device that is not there."""
    check_device(device)
    checkpoint.network.to(device)
    if checkpoint.familiarity is not None:
        checkpoint.familiarity.mean = checkpoint.familiarity.mean.to(device)
        checkpoint.familiarity.precision = checkpoint.familiarity.precision.to(device)
    return checkpoint
