"""Tiny open models, and a hub that has them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parent))

import tiny
from fake_hub import FakeHub


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Folders of tiny models by the name of their adapter, saved when they are first asked for."""
    root = tmp_path_factory.mktemp("open_models")

    class Folders(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            getattr(tiny, f"save_{name}")(root / name)
            return self.setdefault(name, root / name)

    return Folders()


@pytest.fixture
def photograph() -> NDArray[np.uint8]:
    return noise(90, 120)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth noise, in which places differ."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 10 + 1, width // 10 + 1, 3), dtype=np.uint8)
    return coarse.repeat(10, 0).repeat(10, 1)[:height, :width]


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[FakeHub]:
    """A hub without models; the cache is empty."""
    from huggingface_hub import constants

    hub = FakeHub(store=tmp_path / "sent")
    server = hub.start()
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def run():
    """What `refseg WORDS` prints; errors are raised."""
    from typer.testing import CliRunner

    from refseg.cli import app

    def invoked(*words: object) -> str:
        return CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False, standalone_mode=False).output

    return invoked


def pixels(image):
    """Returns an image as a batch of one, as adapters take it."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float()


def fused(segmenter, images, expressions, image_of_expression):
    """Returns the `Output` for expressions about images of one size."""
    network, (tokens, known) = segmenter.network, segmenter.checkpoint.tokenizer(expressions)
    with torch.inference_mode():
        features = network.encode_image(torch.cat([pixels(image) for image in images]))
        words = network.encode_words(tokens, known)
        return network.fuse(features, words, known, torch.tensor(image_of_expression))
