"""Fixtures for tests that need a network which can answer: the first version of Selector, on eight golden scenes."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

settings.register_profile("refseg", deadline=None)  # the machine may be busy
settings.load_profile("refseg")

ASSETS = Path(__file__).parent / "assets" / "selector_first_version"


@dataclass(frozen=True)
class Golden:
    """Eight drawn scenes with 64 expressions; `about[i]` is the image of expression i, `masks[i]` its true mask."""

    images: NDArray[np.uint8]
    expressions: list[str]
    about: NDArray[np.int64]
    masks: NDArray[np.bool_]

    def of(self, image: int) -> list[str]:
        return [text for text, i in zip(self.expressions, self.about, strict=True) if i == image]


@pytest.fixture(scope="session")
def golden() -> Golden:
    arrays = np.load(ASSETS / "golden.npz")
    about = arrays["image_of_expression"].astype(np.int64)
    masks = [
        np.isin(arrays["id_maps"][image], np.flatnonzero(targets) + 1)
        for image, targets in zip(about, arrays["targets"], strict=True)
    ]
    expressions = json.loads((ASSETS / "golden.json").read_text())["expressions"]
    return Golden(arrays["images"], expressions, about, np.stack(masks))


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with the first version's weights."""
    from safetensors.torch import load_file

    from refseg import networks
    from refseg.calibration import Calibration
    from refseg.checkpoints import Checkpoint, save_checkpoint
    from refseg.encoders.vocabulary import Vocabulary
    from refseg.networks.selector import first_version_config, rename_first_version
    from refseg.preprocessing import Preprocessing

    words = json.loads((ASSETS / "vocabulary.json").read_text())[2:]
    network = networks.build("selector", first_version_config(), len(words) + 2)
    network.load_state_dict(rename_first_version(load_file(ASSETS / "first_version.safetensors")))
    folder = tmp_path_factory.mktemp("weights") / "first_version"
    checkpoint = Checkpoint(
        name="selector",
        network=network.eval(),
        tokenizer=Vocabulary(words),
        preprocessing=Preprocessing(),
        calibration=Calibration(),
        knows="drawn scenes only",
        recipe="name: first_version\n",
        card="# First version\n",
        trained_on={"images": 100_000},
    )
    save_checkpoint(checkpoint, folder, half=True)
    return folder
