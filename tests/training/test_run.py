import csv
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch._utils import ExceptionWrapper

from refseg.checkpoints.io import load_checkpoint
from refseg.errors import InvalidInput, MissingFile
from refseg.recipes import RECIPES, find_recipe
from refseg.recipes.recipe import FileData, Group, Recipe
from refseg.recipes.small import SEE
from refseg.training import repeated_blocks, run
from refseg.training.devices import Devices
from refseg.training.loop import StageLoop
from refseg.training.parameter_groups import without_decay

CPU = Devices(accelerator="cpu")
train = partial(run.train, save_every=2)
TINY = [
    "initial.finder.stages=null",
    "config={stages: [4, 8, 8, 8], coarse: 8, fine: 8, kernel: 4, width: 16, heads: 2, blocks: 2, word_layers: 1, "
    "candidates: 8, pair_width: 4, pair_value: 4}",
    "data.scenes=64",
    "data.validation_scenes=16",
    "data.calibration_scenes=8",
    "stages.find.steps=6",
    "stages.find.images=4",
    "stages.choose.steps=6",
    "stages.choose.images=4",
    "stages.choose.cached_scenes=64",
    "stages.choose.validate_every=6",
    "stages.together.steps=6",
    "stages.together.images=4",
    "stages.together.expressions_per_image=4",
    "stages.together.validate_every=3",
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def tiny() -> Recipe:
    return find_recipe("selector").with_settings(TINY)


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory, cache) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(tiny, out, resume=False, devices=CPU)
    return out


def test_a_run_leaves_its_recipe_logs_and_checkpoints_that_load(finished, tiny):
    assert Recipe.from_yaml(finished / "recipe.yaml") == tiny
    for name in ("last", "best"):
        checkpoint = load_checkpoint(finished / name)
        assert Recipe.from_yaml(finished / name / "recipe.yaml") == tiny
        assert checkpoint.trained_on["scenes"] == 64
    released = load_checkpoint(finished / "weights")
    assert released.calibration.fitted_on and "scenes 64" in released.card
    log = (finished / "logs" / "together" / "metrics.csv").read_text().splitlines()[0]
    assert {"val/oIoU", "val/mIoU", "val/N-acc", "val/T-acc", "val/relation/mIoU"} <= set(log.split(","))
    assert "val/oIoU" in json.loads((finished / "last" / "config.json").read_text())["trained_on"]["validation"]


@pytest.mark.parametrize(("stage_name", "step"), [("find_loss", 5), ("choose_loss", 3), ("loss", 4)])
def test_a_run_stopped_anywhere_and_resumed_ends_with_the_same_weights(
    finished, tiny, tmp_path, monkeypatch, stage_name, step
):
    plain_step = StageLoop.train_step

    def stops(self, parts):
        if self.stage.objective == stage_name and self.step == step:
            raise RuntimeError("killed")
        return plain_step(self, parts)

    monkeypatch.setattr(run, "export_weights", lambda *_: None)
    monkeypatch.setattr(StageLoop, "train_step", stops)
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="killed"):
        train(tiny, out, resume=False, devices=CPU)
    monkeypatch.setattr(StageLoop, "train_step", plain_step)
    torch.manual_seed(1)  # whatever happened in between
    train(tiny, out, resume=True, devices=CPU)
    weights, expected = (load_file(folder / "last" / "model.safetensors") for folder in (out, finished))
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name


def test_a_finished_run_can_be_resumed_and_changes_nothing(finished, tiny):
    before = (finished / "weights" / "model.safetensors").read_bytes()
    train(tiny, finished, resume=True, devices=CPU)
    assert (finished / "weights" / "model.safetensors").read_bytes() == before


def test_a_run_without_validation_ends_with_its_last_weights_and_can_be_prolonged(tiny, tmp_path, capsys):
    out = tmp_path / "run"
    train(tiny.replace(stages=tiny.stages[:1]), out, resume=False, devices=CPU)
    train(tiny.replace(stages=(tiny.stages[0].replace(steps=8),)), out, resume=True, devices=CPU)
    learnt = load_file(out / "state" / "find")
    for name in ("last", "best"):
        weights = load_file(out / name / "model.safetensors")
        assert all(torch.equal(weights[name], value) for name, value in learnt.items() if name in weights)
        assert any(name.startswith("finder.") for name in weights)
    assert (out / "weights").is_dir()
    assert "does not say how good" not in capsys.readouterr().out


def test_states_of_another_program_are_told_and_kept(tiny, tmp_path):
    out, find = tmp_path / "run", tiny.replace(stages=tiny.stages[:1])
    state, finished = out / "state" / "find-step=2.ckpt", out / "state" / "find"
    state.parent.mkdir(parents=True)
    (out / "recipe.yaml").write_text(find.to_yaml())
    for content in ({"epoch": 1}, [1], {"state_dict": {"x": torch.zeros(1).expand(2**20)}, "loops": 3}):
        torch.save(content, state)
        with pytest.raises(InvalidInput, match=f"{state} does not belong to this run .*; put back a copy"):
            train(find, out, resume=True, devices=CPU)
    save_file({"x": torch.zeros(2)}, finished)
    with pytest.raises(InvalidInput, match=f"{finished} does not belong to this run .*; put back a copy"):
        train(find, out, resume=True, devices=CPU)
    assert state.exists() and finished.exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"trained_on": {}}', '{"trained_on": {"validation": {}}}'])
def test_a_best_checkpoint_that_does_not_say_how_good_it_is_is_as_good_as_none(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert run.best_score(tmp_path) == -1
    assert run.best_score(tmp_path / "none") == -1


def test_bad_combinations_are_refused_before_anything_is_written(finished, tiny, tmp_path):
    with pytest.raises(InvalidInput, match="holds a run already; add resume=True"):
        train(tiny, finished, resume=False, devices=CPU)
    with pytest.raises(InvalidInput, match="differs from this recipe"):
        train(tiny.with_settings(["seed=1"]), finished, resume=True, devices=CPU)
    for recipe, devices, resume, message in (
        (tiny, 1, True, "holds no run to resume"),
        (tiny, 3, False, "3 devices cannot share evenly"),
        (tiny.with_settings(["stages.choose.cached_scenes=65"]), 1, False, "caches 65 scenes of 64"),
        (
            tiny.with_settings(["stages.choose.cached_scenes=0"]),
            1,
            False,
            "before, so set for how many scenes: .*=1000",
        ),
        (
            tiny.with_settings(["stages.find.cached_scenes=8"]),
            1,
            False,
            "find_loss learns from images, so leave it out",
        ),
        (tiny.with_settings(["stages.find.objective=lose"]), 1, False, "no objective lose"),
        (tiny.with_settings(["stages.find.groups.finder.only=[wheel]"]), 1, False, "nothing of group finder learns"),
        (tiny.with_settings(["config={colour: 1}"]), 1, False, "colour"),
    ):
        with pytest.raises(InvalidInput, match=message):
            train(recipe, tmp_path / "new", resume=resume, devices=Devices(devices, accelerator="cpu"))
        assert not (tmp_path / "new").exists()
    for devices, message in (
        (Devices(99, accelerator="gpu"), "99 GPUs are needed"),
        (Devices(accelerator="cpu", strategy="fsdp"), "channels_last is not for strategy fsdp"),
    ):
        images = [f"stages.{stage.name}.images=99" for stage in tiny.stages]
        with pytest.raises(InvalidInput, match=message):
            train(tiny.with_settings(["channels_last=true", *images]), tmp_path / "new", False, devices)


def test_a_network_that_learns_from_objects_is_refused_data_without_them(tiny, tmp_path):
    data = FileData(dataset="jsonl", settings={"root": str(tmp_path / "own.jsonl")})
    with pytest.raises(InvalidInput, match="selector learns from all objects of an image .* which jsonl does not tell"):
        train(tiny.replace(data=data, stages=tiny.stages[-1:]), tmp_path / "run", devices=CPU)
    for name in ("jsonl", "a2d_sentences"):
        data = FileData(dataset=name, settings={"root": str(tmp_path)})
        with pytest.raises(
            InvalidInput, match=f"objects of a clip .* which {name} does not tell; it takes drawn_clips\\."
        ):
            train(find_recipe("selector_video").replace(data=data), tmp_path / "run", devices=CPU)
    for name, setting, said in (
        ("selector", "config.attributes=[2, 8, 3, 3]", "learns 2 classes of shape, and drawn_scenes has 8"),
        ("selector_video", "config.motions=4", "learns 4 classes of motion, and drawn_clips has 8"),
    ):
        with pytest.raises(InvalidInput, match=said):
            train(find_recipe(name).with_settings([setting]), tmp_path / "run", devices=CPU)
    assert not (tmp_path / "run").exists()


def test_an_objective_that_teaches_none_of_its_groups_is_told(tiny, tmp_path):
    stage = tiny.stages[-1].replace(objective="find_loss", groups={"chooser": Group(lr=1e-3)}, steps=1)
    with pytest.raises(InvalidInput, match="objective find_loss teaches nothing of chooser; name other groups"):
        train(tiny.replace(stages=(stage,)), tmp_path / "run", devices=CPU)


def test_an_error_of_a_process_that_reads_data_is_told_as_it_was_raised(tiny, tmp_path, monkeypatch):
    try:
        raise MissingFile("a.png is missing; copy it again")
    except MissingFile:
        sent = ExceptionWrapper(where="in DataLoader worker process 0")  # what torch raises in the first process
    monkeypatch.setattr(run, "_train", lambda *_: sent.reraise())
    with pytest.raises(MissingFile) as caught:
        train(tiny, tmp_path / "run", devices=CPU)
    assert str(caught.value) == "a.png is missing; copy it again"


def test_a_batch_norm_that_wants_more_than_one_expression_says_so(tmp_path):
    stage = find_recipe("dcmfnet_small").stages[0].replace(images=1, expressions_per_image=1)
    scenes = ["data.scenes=64", "data.validation_scenes=2"]
    recipe = find_recipe("dcmfnet_small").replace(stages=(stage,), initial={}).with_settings(scenes)
    with pytest.raises(InvalidInput, match="stage learn: a batch norm of the network wants two expressions"):
        train(recipe, tmp_path / "run", resume=False, devices=CPU)


def test_the_last_steps_are_validated_and_kept_though_they_fill_no_interval(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "export_weights", lambda *_: None)
    stage = tiny.stages[-1].replace(steps=5, validate_every=3)
    train(tiny.replace(stages=(stage,)), tmp_path / "run", resume=False, devices=CPU)
    end = load_file(tmp_path / "run" / "state" / stage.name)
    last = load_checkpoint(tmp_path / "run" / "last").network.state_dict()
    assert all(torch.equal(end[name], value) for name, value in last.items())
    (logs,) = (tmp_path / "run" / "logs").rglob("metrics.csv")
    rows = list(csv.DictReader(logs.open()))
    assert [row["step"] for row in rows if row.get("val/oIoU")] == ["3", "5"]


@pytest.mark.slow
def test_two_processes_train_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "refseg", "train", "selector", "--devices", "2", "--accelerator", "cpu"]
    settings = [f"--set={setting}" for setting in TINY]
    done = subprocess.run([*command, *settings, "--out", str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert load_checkpoint(tmp_path / "run" / "weights").calibration.fitted_on
    assert done.stdout.count("weights:") == 1


SMALL = [name for name in RECIPES if name.endswith(("_small", "_small_aligner")) and "video" not in name]
QUICK = ("dmmi_small", "cris_small")  # one that wants erased phrases, one that is asked much about an image


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in SMALL])
def test_every_small_preset_trains_is_validated_and_leaves_weights(name, tmp_path):
    settings = ["data.scenes=64", "data.validation_scenes=2", "data.calibration_scenes=2"]
    settings += ["stages.learn.steps=2", "stages.learn.images=1"]
    settings += ["stages.learn.expressions_per_image=2", "stages.learn.validate_every=1"]
    train(find_recipe(name).with_settings(settings), tmp_path / "run", resume=False, devices=CPU)
    assert load_checkpoint(tmp_path / "run" / "weights").trained_on["scenes"] == 64


def test_norms_biases_and_embeddings_do_not_decay(tiny):
    from refseg.networks import build

    network = build("selector", tiny.config, vocabulary_size=10)
    named = dict(network.named_parameters())
    still = without_decay(network, named, None)
    assert {"chooser.words.embedding.weight", "chooser.words.positions", "chooser.norm.weight"} <= still
    assert all(name.endswith("weight") and named[name].ndim > 1 for name in set(named) - still)
    assert without_decay(network, named, ()) == set()
    assert without_decay(network, named, ("norm",)) == {name for name in named if "norm" in name}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_every_stage_computes_activations_again(strategy, tmp_path, monkeypatch):
    monkeypatch.setattr(repeated_blocks, "SMALLEST", 1000)  # parameters of a unit
    again, of_stage = [], run.Run.train_stage

    def stage(self, number):
        again.append(
            sum(isinstance(vars(m).get("forward"), repeated_blocks.Checkpointed) for m in self.network.modules())
        )
        of_stage(self, number)

    monkeypatch.setattr(run.Run, "train_stage", stage)
    monkeypatch.setattr(run, "export_weights", lambda *_: None)
    few = ["data.scenes=64", "data.validation_scenes=2", "activation_checkpointing=true"]
    few += ["stages.learn.steps=2", "stages.learn.images=1"]
    recipe = find_recipe("eavl_small").with_settings(few)
    recipe = recipe.replace(stages=(SEE.replace(steps=2, images=1), *recipe.stages))
    train(recipe, tmp_path / "run", resume=False, devices=Devices(accelerator="cpu", strategy=strategy))
    assert again[0] == again[1] > 0
