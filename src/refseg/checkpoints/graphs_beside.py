"""Graphs beside the weights of a checkpoint folder: ONNX files that read the weights from their own file."""

from pathlib import Path

from pydantic import Field, ValidationError

from refseg.checkpoints.config_file import read_text
from refseg.checkpoints.schema import WEIGHTS
from refseg.config import Config
from refseg.errors import InvalidInput
from refseg.files.digest import sha256
from refseg.runtimes.entry import RuntimeEntry

GRAPHS_FILE = "graphs.json"


class GraphsBeside(Config):
    """Content of graphs.json.

    Attributes:
        weights_sha256: of the file of weights that the graphs read, at the places that it had when they were written.
        runtime: what the graphs take.
    """

    weights_sha256: str = Field(max_length=64)
    runtime: RuntimeEntry


def graphs_beside(folder: Path) -> RuntimeEntry | None:
    """Returns what the graphs beside weights take; None if there are none, or these are other weights."""
    try:
        text = read_text(folder / GRAPHS_FILE)
        found = GraphsBeside.model_validate_json(text) if text else None
        return found.runtime if found and found.weights_sha256 == sha256(folder / WEIGHTS) else None
    except (OSError, InvalidInput, ValidationError):  # the weights alone are enough
        return None
