"""A training that starts from a whole checkpoint, on a table of one's own."""

import json
import re

import pytest
import torch
from PIL import Image, ImageDraw

from refseg import networks
from refseg.checkpoints.calibration import Calibration
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.errors import InvalidInput, MissingFile
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes import find_recipe
from refseg.recipes.recipe import FileData, Group, Stage
from refseg.text.word_pieces import WordPieces
from refseg.training import run
from refseg.training.data.held_out import HeldOut
from refseg.training.devices import Devices
from refseg.training.initial_checkpoint import with_checkpoint
from refseg.training.loop import StageLoop
from refseg.training.parameter_groups import Length, build_optimizer, trainable_parameters

CPU = Devices(accelerator="cpu")
PLACES = {"left": 8, "right": 40}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny DMMI, not trained."""
    from kill_and_resume import CONFIG

    tokenizer = WordPieces(24)
    checkpoint = Checkpoint(
        "dmmi", networks.build("dmmi", CONFIG, len(tokenizer)), tokenizer, Preprocessing(side=64), Calibration()
    )
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    save_checkpoint(checkpoint, folder)
    return folder


def table(folder, *splits):
    """Ten pictures with a square each on the left and on the right; the lines of image k are in split k, if given."""
    lines = []
    for number in range(10):
        image = Image.new("RGB", (64, 64), (number * 20, 80, 120))
        for left in PLACES.values():
            ImageDraw.Draw(image).rectangle((left, 24, left + 15, 39), fill=(250, 250, 250 - 20 * number))
        image.save(folder / f"{number}.png")
        for word, left in PLACES.items():
            mask = [[left, 24, left + 16, 24, left + 16, 40, left, 40]]
            line = {"image": f"{number}.png", "expression": f"the {word} square", "mask": mask}
            lines.append(line | ({"split": splits[number]} if splits else {}))
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "own.jsonl"


def recipe(weights, own, *settings):
    few = ["stages.learn.epochs=1", "stages.learn.images=4", "data.workers=0"]
    given = [f"initial.weights={weights}", f"data.settings.root={own}", *few, *settings]
    return find_recipe("finetune").with_settings(given)


def test_a_table_without_splits_and_any_checkpoint_make_a_model(weights, tmp_path, capsys, monkeypatch):
    own, out = table(tmp_path), tmp_path / "run"
    first = {}
    plain = StageLoop.train_step

    def step(self, parts):
        first.setdefault("weights", {name: value.clone() for name, value in self.network.state_dict().items()})
        return plain(self, parts)

    monkeypatch.setattr(StageLoop, "train_step", step)
    run.train(recipe(weights, own), out, devices=CPU)
    told = capsys.readouterr().out
    assert "jsonl has no split 'val': 2 of 10 images of split 'all', drawn with seed 0, are held out" in told
    assert "stage learn: 2 steps of 4 images" in told  # 8 images are left
    steps = re.findall(r"^step (\d) of 2: oIoU ([\d.]+) \(best ([\d.]+) at step (\d)\)", told, re.M)
    assert [step for step, *_ in steps] == ["0", "2"]  # the start, too: better weights than the result are kept
    assert ("no validation was better than that of the weights it started from" in told) == (steps[-1][-1] == "0")
    start, made = load_checkpoint(weights), load_checkpoint(out / "weights")
    assert all(torch.equal(first["weights"][name], value) for name, value in start.network.state_dict().items())
    assert made.name == "dmmi" and made.network.config == start.network.config
    assert made.preprocessing == start.preprocessing and made.trained_on["held out"] == "2 images, seed 0"
    assert "weights started from" in made.card
    run.train(recipe(weights, own), out, resume=True, devices=CPU)
    assert "stage learn is finished" in capsys.readouterr().out


def test_a_data_set_s_own_validation_split_is_taken(weights, tmp_path, capsys):
    own = table(tmp_path, *["train"] * 7, *["val"] * 3)
    data = recipe(weights, own).data
    assert HeldOut.of(data, 0) is None
    only_train = table(tmp_path, *["train"] * 7, *["test"] * 3)
    held = HeldOut.of(data.replace(settings={"root": str(only_train)}), 0)
    assert (held.data.train, held.total, held.count) == ("train", 7, 1)


def test_no_image_is_both_learnt_from_and_validated_on(weights, tmp_path):
    data = recipe(weights, table(tmp_path), "data.held_out=0.3").data
    held, again, other = HeldOut.of(data, 0), HeldOut.of(data, 0), HeldOut.of(data, 1)
    ids = [[sample.image_id for sample in each.images(True)] for each in (held, again, other)]
    assert ids[0] == ids[1] != ids[2] and len(ids[0]) == 3
    learnt = [sample.image_id for sample in held.images(False)]
    assert sorted(ids[0] + learnt) == sorted(f"{k}.png" for k in range(10))
    assert len(held.images(True, count=2)) == 2


def test_what_cannot_be_held_out_is_told(weights, tmp_path):
    data = recipe(weights, table(tmp_path)).data
    with pytest.raises(InvalidInput, match="held_out is for data sets of images in files, not drawn_clips"):
        HeldOut.of(FileData(dataset="drawn_clips", settings={"count": 4}, held_out=0.2), 0)
    with pytest.raises(InvalidInput, match="has one image, which cannot be learnt from and validated on"):
        HeldOut.of(data.replace(settings={**data.settings, "count": 1}), 0)


def test_the_recipe_becomes_that_of_the_checkpoint(weights, tmp_path):
    changed = recipe(weights, tmp_path, "network=dmmi", "config.dropout=0")
    found = with_checkpoint(changed)
    assert found.network == "dmmi" and found.config["dropout"] == 0 and found.config["hidden"] == 16
    assert found.data.preprocessing.side == 64 and with_checkpoint(found) == found
    selector = with_checkpoint(recipe("selector", tmp_path))
    assert set(selector.stages[0].groups) == {"finder", "chooser"}


def test_wrong_weights_are_refused_in_one_line_and_nothing_is_written(weights, tmp_path):
    own = table(tmp_path)
    for name, error, message in (
        ("none", MissingFile, "initial.weights: there are no weights 'none'"),
        ("lavt_swin_base/refcoco", MissingFile, "fetch them: refseg weights get lavt_swin_base/refcoco"),
        (str(own), InvalidInput, "initial.weights: .* is a file"),
    ):
        with pytest.raises(error, match=message):
            run.train(recipe(name, own), tmp_path / "run", devices=CPU)
    with pytest.raises(InvalidInput, match="the words are those of .*; leave out data.vocabulary"):
        run.train(recipe(weights, own, "data.vocabulary=words.txt"), tmp_path / "run", devices=CPU)
    assert not (tmp_path / "run").exists()


def test_lower_layers_learn_slower(weights):
    network = load_checkpoint(weights).network
    group = Group(lr=1.0, layer_decay=0.5)
    stage = Stage(name="x", groups={"image_encoder": group}, steps=1, images=1, expressions_per_image=1)
    trainable = trainable_parameters(network, stage, ())
    optimizer, _ = build_optimizer(network, trainable, stage, Length(1, 1), fused=False)
    named = {id(parameter): name for name, parameter in network.named_parameters()}
    rates = {named[id(each)]: g["initial_lr"] for g in optimizer.param_groups for each in g["params"]}
    assert set(rates) == set(trainable["image_encoder"])
    first = next(rate for name, rate in rates.items() if "patch_embed" in name)
    blocks = [next(rate for name, rate in rates.items() if f"layers.{k}.blocks.0." in name) for k in range(4)]
    assert first < blocks[0] < blocks[1] < blocks[2] < blocks[3] <= 1.0 and max(rates.values()) == 1.0
    flat, _ = build_optimizer(
        network, trainable, stage.replace(groups={"image_encoder": group.replace(layer_decay=1)}), Length(1, 1), False
    )
    assert {g["initial_lr"] for g in flat.param_groups} == {1.0} and len(flat.param_groups) == 2
