"""Fixtures for tests that need a network which can answer: the first version of Selector, on eight golden scenes."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture
def tiny_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """The conversion "tiny", of a network with presets tiny_narrow and tiny_wide, and a release with all that is odd.

    `file` is that of the authors of tiny_narrow, `content` what it holds, `weights` the same under our names.
    """
    import argparse
    import sys
    from types import ModuleType

    import torch
    from torch import Tensor, nn

    from refseg import conversion, networks
    from refseg.config import Config
    from refseg.encoders import BertConfig
    from refseg.encoders.bert import BertWords
    from refseg.errors import InvalidInput
    from refseg.networks.contract import Network, Output

    class TinyConfig(Config):
        width: int = 4
        max_words: int = 20

    class Tiny(Network):
        config: TinyConfig

        def __init__(self, config: TinyConfig, vocabulary_size: int):
            super().__init__()
            self.config = config
            words = BertConfig(width=8, layers=1, heads=2, feed_forward=16, positions=20)
            self.word_encoder = BertWords(words, vocabulary_size)
            self.image_encoder = nn.Sequential(nn.Conv2d(3, config.width, 1), nn.BatchNorm2d(config.width))
            self.heads = nn.Conv2d(2 * config.width, 2 * config.width, 1, groups=2)
            self.project = nn.Linear(8, config.width)

        def encode_image(self, image: Tensor) -> Tensor:
            return self.image_encoder(image)

        def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
            return self.word_encoder(tokens, word_mask)

        def fuse(self, features: Tensor, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
            twice = self.heads(features.repeat(1, 2, 1, 1))[image_of_expression]
            said = self.project(words.mean(1)).repeat(1, 2)
            return self.answer((twice * said[:, :, None, None]).sum(1, keepdim=True))

        def loss(self, batch: object) -> dict[str, Tensor]:
            return {}

    def preset_of(shapes: dict[str, tuple[int, ...]]) -> str:
        if "backbone.conv.weight" not in shapes:
            raise InvalidInput("no tiny network has these tensors")
        return "tiny_narrow" if shapes["backbone.conv.weight"][0] == 4 else "tiny_wide"

    def official_names(_: Network) -> dict[str, str | tuple[str, ...]]:
        norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return {
            **{f"image_encoder.0.{leaf}": f"backbone.conv.{leaf}" for leaf in ("weight", "bias")},
            **{f"image_encoder.1.{leaf}": f"backbone.bn.{leaf}" for leaf in norm},
            **{f"heads.{leaf}": (f"gcn.0.{leaf}", f"gcn.1.{leaf}") for leaf in ("weight", "bias")},
            **{f"project.{leaf}": f"project.{leaf}" for leaf in ("weight", "bias")},
        }

    tiny = ModuleType("tiny_release")
    tiny.Tiny, tiny.preset_of, tiny.official_names = Tiny, preset_of, official_names
    tiny.aliases = lambda _: {"layer1.0.weight": "backbone.conv.weight"}
    tiny.unused = lambda _: {"copy.weight": torch.zeros(3), "copy.bias": torch.ones(3)}
    tiny.release_shapes = lambda network: {"project.weight": (network.config.width, 8, 1)}
    monkeypatch.setitem(sys.modules, "tiny_release", tiny)
    monkeypatch.setitem(conversion.CONVERSIONS, "tiny", "tiny_release")
    monkeypatch.setitem(networks.NETWORKS, "tiny", "tiny_release:Tiny")
    tiny.PRESETS = {"tiny_narrow": TinyConfig(), "tiny_wide": TinyConfig(width=6)}
    Tiny.__module__ = "tiny_release"
    for preset in tiny.PRESETS:
        monkeypatch.setitem(networks.PRESETS, preset, "tiny")

    network = networks.build("tiny_narrow", {}, 30522)
    own = network.state_dict()
    model = {}
    for key, names in official_names(network).items():
        names = (names,) if isinstance(names, str) else names
        for name, part in zip(names, (own[key],) if len(names) == 1 else own[key].chunk(2), strict=True):
            model[f"module.{name}"] = part.clone()
    model["module.project.weight"] = model["module.project.weight"][:, :, None]
    model["module.layer1.0.weight"] = model["module.backbone.conv.weight"]
    model |= {"module.copy.weight": torch.randn(3), "module.copy.bias": torch.randn(3)}
    bert = {key.removeprefix("word_encoder.bert."): own[key] for key in own if key.startswith("word_encoder.")}
    bert |= {"embeddings.position_ids": torch.arange(20)[None], "pooler.dense.weight": torch.randn(8, 8)}
    content = {
        "model": model,
        "bert_model": bert,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 5e-5, "params": [0]}]},
        "lr_scheduler": {"last_epoch": 3, "lr_lambdas": [None]},
        "epoch": 39,
        "args": argparse.Namespace(img_size=448, dataset="refcocog", device="cuda:0"),
    }
    file = tmp_path / "release.pth"
    torch.save(content, file)
    return SimpleNamespace(file=file, content=content, weights=own)
