"""Networks, data sets, protocols and recipes of one's own, from a folder outside of the package."""

import sys
from contextlib import contextmanager

import pytest

from refseg import datasets, networks, protocols, recipes
from refseg.cli import main
from refseg.datasets.drawn_clips.dataset import DrawnClips
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput, MissingFile
from refseg.evaluation.evaluate import evaluate
from refseg.extensions import add_extension
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes.recipe import FileData
from refseg.training.data.file_batches import ClipItems, items_of

NETWORK = """
import torch
from torch import nn

from refseg.config import Config
from refseg.networks.network import Network


class OwnConfig(Config):
    width: int = 4


class OwnNetwork(Network):
    idea = "Pixels and words meet in a dot product"
    config: OwnConfig

    def __init__(self, config, vocabulary_size):
        super().__init__()
        self.config = config
        self.image_encoder = nn.Conv2d(3, config.width, 3, padding=1)
        self.word_encoder = nn.Embedding(vocabulary_size, config.width)

    def encode_image(self, image):
        return self.image_encoder(image)

    def encode_words(self, tokens, word_mask):
        return self.word_encoder(tokens)

    def fuse(self, image_features, words, word_mask, image_of_expression):
        sentence = (words * word_mask[..., None]).sum(1)
        return self.answer(torch.einsum("mchw,mc->mhw", image_features[image_of_expression], sentence)[:, None])

    def loss(self, batch):
        words = self.encode_words(batch.tokens, batch.word_mask)
        logits = self.fuse(self.encode_image(batch.image), words, batch.word_mask, batch.image_of_expression).logits
        return {"loss": nn.functional.binary_cross_entropy_with_logits(logits[:, 0], batch.soft_masks())}
"""
RECIPE = """
from own_network import OwnNetwork

from refseg.networks import NETWORKS
from refseg.recipes.recipe import Group, Recipe, SceneData, Stage

NETWORKS["OwnNetwork"] = OwnNetwork


def own_recipe():
    groups = {"image_encoder": Group(lr=1e-2), "word_encoder": Group(lr=1e-2)}
    stage = Stage(name="learn", groups=groups, steps=2, images=2, expressions_per_image=2, validate_every=2)
    data = SceneData(scenes=64, validation_scenes=2, calibration_scenes=2)
    return Recipe(name="own", network="OwnNetwork", data=data, stages=(stage,))
"""
DATASET = """
from refseg.datasets.drawn_scenes.dataset import DrawnScenes


class OwnScenes(DrawnScenes):
    pass
"""
PROTOCOL = """
from refseg.protocols.standard import Standard


class OwnProtocol(Standard):
    name = "OwnProtocol"
"""


@contextmanager
def restored(folder):
    """What a command adds to tables, modules and paths is not there for the next one."""
    tables = networks.NETWORKS, datasets.DATASETS, protocols.PROTOCOLS, recipes.RECIPES
    before = [dict(table) for table in tables]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [*sys.path])
            patch.chdir(folder)
            patch.setenv("REFSEG_CACHE", str(folder / "cache"))
            yield patch
    finally:
        for table, content in zip(tables, before, strict=True):
            table.clear()
            table.update(content)
        for name in [name for name in sys.modules if name.startswith("own_")]:
            del sys.modules[name]


def refseg(folder, *words):
    """Exit code of a command."""
    with restored(folder) as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["refseg", *words])
        main()
    return ended.value.code or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files, and `run`, which was trained from them."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in {"network": NETWORK, "recipe": RECIPE, "dataset": DATASET, "protocol": PROTOCOL}.items():
        (folder / f"own_{name}.py").write_text(text)
    words = "train", "own_recipe.py:own_recipe", "--out", "run", "--accelerator", "cpu"
    assert refseg(folder, *words) == 0
    return folder


def test_a_network_is_trained_and_evaluated_from_files_of_ones_own(folder, capsys):
    options = ["--network", "own_network.py:OwnNetwork", "--protocol", "own_protocol.py:OwnProtocol", "--count", "2"]
    words = "evaluate", "run/weights", "own_dataset.py:OwnScenes", "--split", "val", *options
    assert refseg(folder, *words) == 0
    said = capsys.readouterr().out
    assert "OwnScenes" in said and "OwnProtocol" in said


def test_weights_of_a_network_that_was_not_added_say_how_to_add_it(folder, capsys):
    assert refseg(folder, "evaluate", "run/weights") == 2
    said = capsys.readouterr().err
    assert "OwnNetwork" in said and "own_file.py:OwnName" in said


def test_names_that_are_no_files_stay_as_they_are():
    assert add_extension({}, "refcoco+") == "refcoco+"


@pytest.mark.parametrize(
    ("text", "name", "error", "message"),
    [
        (None, "absent.py:A", MissingFile, "absent.py is missing"),
        ("B = 1", "wrong_name.py:A", InvalidInput, "defines no 'A'"),
        ("def", "no_python.py:A", InvalidInput, "no_python.py, line 1"),
        ("1 / 0", "that_fails.py:A", InvalidInput, "cannot be imported .ZeroDivisionError"),
        ("A = 1", "json.py:A", InvalidInput, "rename the file"),
    ],
)
def test_files_that_cannot_be_used_are_told_in_one_line(tmp_path, monkeypatch, text, name, error, message):
    monkeypatch.setattr(sys, "path", [*sys.path])
    if text is not None:
        (tmp_path / name.partition(":")[0]).write_text(text)
    with pytest.raises(error, match=message):
        add_extension({}, f"{tmp_path}/{name}")


def test_data_never_name_a_file_that_is_run(tmp_path):
    (tmp_path / "runs.py").write_text(f"open({str(tmp_path / 'it_ran')!r}, 'w')")
    for build in (networks.network_class, datasets.class_of, protocols.build, recipes.find_recipe):
        with pytest.raises(InvalidInput, match="unknown"):
            build(f"{tmp_path}/runs.py:A")
    assert not (tmp_path / "it_ran").exists()


class EntryPoint:
    def load(self):
        return DrawnScenes


def test_an_installed_package_offers_by_entry_points(monkeypatch):
    found = {("refseg.datasets", "theirs"): [EntryPoint()]}
    monkeypatch.setattr("refseg.extensions.entry_points", lambda group, name: found.get((group, name), []))
    assert datasets.class_of("theirs") is DrawnScenes


@pytest.fixture
def own_clips(monkeypatch):
    class OwnClips(DrawnClips):
        pass

    monkeypatch.setitem(datasets.DATASETS, "OwnClips", OwnClips)
    return "OwnClips"


def test_videos_of_ones_own_are_videos_everywhere(own_clips):
    assert own_clips in datasets.names_of_clips()
    assert set(protocols.fitting(own_clips)) > {"a2d", "standard"}
    with pytest.raises(InvalidInput, match="OwnClips holds videos, images are wanted"):
        datasets.build_images(own_clips, split="val")
    with pytest.raises(InvalidInput, match="shortcuts=True is for images, and OwnClips holds videos"):
        evaluate("selector", own_clips, split="val", count=2, shortcuts=True)
    with pytest.raises(InvalidInput, match="shortcuts=True is for images, and OwnClips holds videos"):
        evaluate("selector", datasets.build(own_clips, split="val", count=2), shortcuts=True)
    data = FileData(dataset=own_clips, train="val", validation="val", preprocessing=Preprocessing(side=64))
    assert isinstance(items_of(datasets.build(own_clips, split="val", count=2), data), ClipItems)


def test_data_sets_of_ones_own_keep_the_contract(monkeypatch):
    monkeypatch.setitem(datasets.DATASETS, "Bare", type("Bare", (list,), {}))
    with pytest.raises(InvalidInput, match="data set 'Bare' is no subclass of refseg.datasets.dataset.Dataset"):
        datasets.build("Bare", split="val")
