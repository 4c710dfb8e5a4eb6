"""Fixtures for tests that need a network which can answer: the first version of Selector, on eight golden scenes."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from PIL import Image

from refseg.cli import main
from refseg.datasets.drawn_scenes.balanced_sentences import draw_block

settings.register_profile("refseg", deadline=None)  # the machine may be busy
settings.load_profile("refseg")

ASSETS = Path(__file__).parent / "assets" / "selector_first_version"


@pytest.fixture(autouse=True, scope="module")
def same_environment() -> Iterator[None]:
    """Leaves environment variables as a file of tests found them: training sets some, as MASTER_PORT."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True, scope="session")
def blocks_drawn_once() -> Iterator[None]:
    """Blocks of drawn scenes, for which many tests ask, are drawn once in a process; each is 13 to 50 MB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refseg.datasets.drawn_scenes.dataset.draw_block", lru_cache(8)(draw_block))
        yield


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
    from refseg.checkpoints.calibration import Calibration
    from refseg.checkpoints.checkpoint import Checkpoint
    from refseg.checkpoints.io import save_checkpoint
    from refseg.conversion.selector_first_version import first_version_config, rename_first_version
    from refseg.preprocessing.transform import Preprocessing
    from refseg.text.vocabulary import Vocabulary

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
    from refseg.conversion.official_layout import OfficialLayout
    from refseg.encoders.bert import BertWords
    from refseg.encoders.configs import BertConfig
    from refseg.errors import InvalidInput
    from refseg.networks.network import Network, Output

    class TinyConfig(Config):
        width: int = 4
        max_words: int = 20

    class Tiny(Network):
        presets = {"tiny_narrow": TinyConfig(), "tiny_wide": TinyConfig(width=6)}
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

    class TinyLayout(OfficialLayout[Tiny]):
        networks = ("tiny",)

        def preset_of(self, shapes: dict[str, tuple[int, ...]]) -> str:
            if "backbone.conv.weight" not in shapes:
                raise InvalidInput("no tiny network has these tensors")
            return "tiny_narrow" if shapes["backbone.conv.weight"][0] == 4 else "tiny_wide"

        def official_names(self, network: Tiny) -> dict[str, str | tuple[str, ...]]:
            norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            return {
                **{f"image_encoder.0.{leaf}": f"backbone.conv.{leaf}" for leaf in ("weight", "bias")},
                **{f"image_encoder.1.{leaf}": f"backbone.bn.{leaf}" for leaf in norm},
                **{f"heads.{leaf}": (f"gcn.0.{leaf}", f"gcn.1.{leaf}") for leaf in ("weight", "bias")},
                **{f"project.{leaf}": f"project.{leaf}" for leaf in ("weight", "bias")},
            }

        def official_shapes(self, network: Tiny) -> dict[str, tuple[int, ...]]:
            return {"project.weight": (network.config.width, 8, 1)}

        def aliases(self, network: Tiny) -> dict[str, str]:
            return {"layer1.0.weight": "backbone.conv.weight"}

        def unused(self, network: Tiny) -> dict[str, Tensor]:
            return {"copy.weight": torch.zeros(3), "copy.bias": torch.ones(3)}

    tiny = ModuleType("tiny_release")
    tiny.Tiny, tiny.TinyLayout = Tiny, TinyLayout
    monkeypatch.setitem(sys.modules, "tiny_release", tiny)
    monkeypatch.setitem(conversion.CONVERSIONS, "tiny", "tiny_release:TinyLayout")
    monkeypatch.setitem(networks.NETWORKS, "tiny", "tiny_release:Tiny")
    for preset in Tiny.presets:
        monkeypatch.setitem(networks.PRESETS, preset, "tiny")

    network = networks.build("tiny_narrow", {}, 30522)
    own = network.state_dict()
    model = {}
    for key, names in TinyLayout().official_names(network).items():
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


SIDE, FRAMES = 24, 4
VIDEOS = ("a", "b")


def squares(t: int, leaves: bool = False) -> NDArray[np.uint8]:
    """Labels of frame t: square 1 goes right, square 2 goes left, or is gone from frame 2 on if it `leaves`."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[2:10, 2 + t : 10 + t] = 1
    if not (leaves and t >= 2):
        labels[14:22, 14 - t : 22 - t] = 2
    return labels


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folders of two videos, "a" and "b", with a red and a green square, in genuine formats, by name of the data set.

    The green one leaves video "b". Two annotators of ref_davis say "red" and "green", and "the red", "the green".
    """
    from pycocotools import mask as coco

    root = tmp_path_factory.mktemp("videos")
    names = [f"{t:05d}" for t in range(FRAMES)]

    def write(path: Path, labels: NDArray[np.uint8], colours: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(labels, "P")
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        with path.open("wb") as file:  # jpg is but the name: a JPEG would smear the colours
            (image.convert("RGB") if colours else image).save(file, "PNG")

    def frames(folder: Path, ending: str, first: int = 0) -> None:
        for video in VIDEOS:
            for t in range(FRAMES):
                write(folder / video / f"{t + first:05d}.{ending}", squares(t, video == "b"), colours=True)

    def content(path: Path, videos: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"videos": videos} if path.name.startswith("meta") else videos))

    said = {"0": ("red", "1"), "1": ("the red", "1"), "2": ("green", "2"), "3": ("the green", "2")}
    for name, told in (("ref_davis", True), ("untold", False)):
        entry = {
            "expressions": {k: {"exp": text} | ({"obj_id": id} if told else {}) for k, (text, id) in said.items()},
            "frames": names,
        }
        content(root / name / "meta_expressions" / "valid" / "meta_expressions.json", dict.fromkeys(VIDEOS, entry))
        frames(root / name / "valid" / "JPEGImages", "png")
    for video in VIDEOS:
        for t, name in enumerate(names):
            labels = squares(t, video == "b")
            write(root / "ref_davis" / "valid" / "Annotations" / video / f"{name}.png", labels, colours=False)

    masks = {
        f"{video}{k}": [
            {**code, "counts": code["counts"].decode()}
            for t in range(FRAMES)
            for code in [coco.encode(np.asfortranarray(squares(t, video == "b") == k, np.uint8))]
        ]
        for video in VIDEOS
        for k in (1, 2)
    }
    content(root / "mevis" / "valid_u" / "mask_dict.json", masks)
    named = {"0": ("red", [1]), "1": ("green and red", [1, 2])}
    entries = {
        video: {
            "expressions": {
                k: {"exp": text, "obj_id": ids, "anno_id": [f"{video}{id}" for id in ids]}
                for k, (text, ids) in named.items()
            },
            "frames": names,
        }
        for video in VIDEOS
    }
    content(root / "mevis" / "valid_u" / "meta_expressions.json", entries)
    frames(root / "mevis" / "valid_u" / "JPEGImages", "jpg")

    a2d = root / "a2d_sentences"
    (a2d / "Release").mkdir(parents=True)
    (a2d / "Release" / "videoset.csv").write_text("".join(f"{video},0,0,0,0,24,24,4,1\n" for video in VIDEOS))
    (a2d / "text_annotations").mkdir()
    rows = [f"{video},{k},{text}" for video in VIDEOS for k, text in ((1, "red"), (2, "green"))]
    table = "\n".join(["video_id,instance_id,query", *rows]) + "\n"
    (a2d / "text_annotations" / "a2d_annotation.txt").write_text(table)
    frames(a2d / "Release" / "frames", "png", first=1)
    return SimpleNamespace(root=root, annotate=lambda: _annotate_a2d(a2d))


def _annotate_a2d(a2d: Path) -> None:
    """Frames 1 and 4 of the videos, counted from 1; an actor that is not there is not named."""
    h5py = pytest.importorskip("h5py", reason="the masks of A2D need h5py")
    for video in VIDEOS:
        for t in (0, 3):
            labels = squares(t, video == "b")
            actors = [k for k in (1, 2) if (labels == k).any()]
            path = a2d / "text_annotations" / "a2d_annotation_with_instances" / video / f"{t + 1:05d}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["instance"] = np.array(actors)
                file["reMask"] = np.stack([(labels == k).T for k in actors]).astype(np.uint8)


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Weights that answer "red" and "green" by pixels of frame `looks_at` of `frames`, `shift` pixels to the right."""
    import sys
    from types import ModuleType

    import torch
    from torch import Tensor, nn

    from refseg import networks
    from refseg.blocks.view import View
    from refseg.checkpoints.calibration import Calibration
    from refseg.checkpoints.checkpoint import Checkpoint
    from refseg.checkpoints.io import save_checkpoint
    from refseg.config import Config
    from refseg.networks.network import Network, Output
    from refseg.preprocessing.transform import ClipSampling, Preprocessing
    from refseg.text.vocabulary import Vocabulary

    class ColoursConfig(Config):
        frames: int = 1
        looks_at: int = 0
        shift: int = 0

    class Colours(Network):
        idea = "Knows two colours"
        config: ColoursConfig

        def __init__(self, config: ColoursConfig, vocabulary_size: int):
            super().__init__()
            self.config, self.frames = config, config.frames
            self.scale, self.seen = nn.Parameter(torch.tensor(6.0)), nn.Identity()

        def encode_image(self, image: Tensor) -> Tensor:
            image = image[:, None] if image.ndim == 4 else image
            return image.roll(self.config.shift, dims=-1)

        def encode_words(self, tokens: Tensor, word_mask: Tensor) -> Tensor:
            return torch.stack([(tokens == id).any(1) for id in (2, 3)], 1)[:, None]  # red, green

        def fuse(self, features: Tensor, words: Tensor, word_mask: Tensor, image_of_expression: Tensor) -> Output:
            clips = features[image_of_expression]
            found = ((clips[:, :, :2] > 0.5) & words[:, 0, None, :, None, None]).any(2)
            found = self.seen(found.float())
            return self.answer(self.scale * (2 * found[:, self.config.looks_at, None] - 1))

        def views(self) -> list[View]:
            return [
                View(f"frame {k}", self.seen, lambda maps, k=k: maps[:, k], "map", "Eq. 1", frame=k)
                for k in range(self.frames)
            ]

        def loss(self, batch: object) -> dict[str, Tensor]:
            return {}

    module = ModuleType("colours_network")
    module.Colours = Colours
    Colours.__module__ = "colours_network"
    monkeypatch.setitem(sys.modules, "colours_network", module)
    monkeypatch.setitem(networks.NETWORKS, "colours", "colours_network:Colours")

    def write(frames: int = 1, looks_at: int = 0, shift: int = 0) -> Path:
        offsets = tuple(range(-(frames // 2), frames - frames // 2))
        settings = {"frames": frames, "looks_at": looks_at, "shift": shift}
        clip = ClipSampling(offsets=offsets)
        folder = tmp_path / "weights" / f"{frames}-{looks_at}-{shift}"
        checkpoint = Checkpoint(
            name="colours",
            network=networks.build("colours", settings, 4).eval(),
            tokenizer=Vocabulary(["red", "green"]),
            preprocessing=Preprocessing(side=SIDE, mean=0, std=255, multiple_of=4, clip=clip),
            calibration=Calibration(),
        )
        save_checkpoint(checkpoint, folder)
        return folder

    return write


@pytest.fixture
def run_segment(monkeypatch, checkpoint_folder):
    """Runs `refseg segment` with the weights of the tests; gives the exit code."""

    def run(*arguments: object) -> int:
        argv = ["refseg", "segment", *map(str, arguments), "--weights", str(checkpoint_folder)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code or 0

    return run
