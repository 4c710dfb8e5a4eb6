"""Several processes train as one does; they are started here as torchrun starts them."""

import os
import signal
from contextlib import redirect_stderr, redirect_stdout

import pytest
import torch
from safetensors.torch import load_file

from refseg import networks
from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.stored_scenes import stored_scenes
from refseg.distributed import gather_rows, mean
from refseg.errors import InvalidInput, RefsegError
from refseg.networks.dmmi import ContrastiveLoss
from refseg.preprocessing.transform import Preprocessing
from refseg.recipes import find_recipe
from refseg.recipes.recipe import SceneData
from refseg.text.vocabulary import Vocabulary
from refseg.training import progress, repeated_blocks, run
from refseg.training.data.scene_batches import SceneBatches, TokenTable
from refseg.training.devices import Devices
from refseg.training.launching import STARTED_BY, tells_error


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def on(world, function, *arguments):
    from ranks import finish, start

    return finish(start(world, function, *arguments), seconds=300)


def trains(recipe, out, world, strategy="ddp", resume=False, stops_at=None):
    """In a process: trains, and logs every loss; or is killed (`kill -9`) when a step begins."""
    progress.EVERY = 1
    run.export_weights = lambda out, *_: out
    plain = run.StageLoop.train_step

    def step(loop, parts):
        if loop.step == stops_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(loop, parts)

    run.StageLoop.train_step = step
    with out.with_suffix(".log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
        devices = Devices(world, accelerator="cpu", strategy=strategy)
        run.train(recipe, out, resume, devices, save_every=2)


def trained(recipe, out, world, *more):
    assert on(world, trains, recipe, out, world, *more) == [0] * world, out.with_suffix(".log").read_text()[-3000:]
    return load_file(out / "state" / "learn")


def losses(out):
    from kill_and_resume import losses

    return losses(out)


def assert_same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name].float(), other[name].float(), msg=name, **tolerance)


TINY = {"stages": (4, 8, 8, 8), "coarse": 8, "fine": 8, "kernel": 4, "width": 16, "heads": 2, "blocks": 2}
GATHERED = "config.contrastive={weight: 0.01, temperature: 0.05, gathered: true}"
FROZEN = "stages.learn.frozen_batch_norm=true"


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_learn_what_one_learns(tiny_of, files, tmp_path, strategy):
    recipe = tiny_of(files, FROZEN, GATHERED)
    one, two = trained(recipe, tmp_path / "one", 1), trained(recipe, tmp_path / "two", 2, strategy)
    print(losses(tmp_path / "one"), losses(tmp_path / "two"))
    assert len(losses(tmp_path / "one")) == 4
    torch.testing.assert_close(losses(tmp_path / "one"), losses(tmp_path / "two"), rtol=1e-4, atol=1e-5)
    assert_same(one, two, rtol=1e-2, atol=2e-4)
    assert load_checkpoint(tmp_path / "two" / "best").trained_on["validation"]["val/T-acc"] >= 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scenes", "files"])
@pytest.mark.parametrize(("strategy", "worlds"), [("ddp", (2, 2)), ("fsdp", (2, 2)), ("fsdp", (2, 1)), ("ddp", (1, 2))])
def test_a_killed_run_goes_on_on_as_many_processes_or_on_others(tiny_of, files, tmp_path, kind, strategy, worlds):
    data = files.replace(workers=1) if kind == "files" else SceneData(scenes=64, validation_scenes=3)
    recipe = tiny_of(data, FROZEN, GATHERED)
    out, (before, after) = tmp_path / "run", worlds
    assert on(before, trains, recipe, out, before, strategy, False, 3) == [-signal.SIGKILL] * before
    assert [path.name for path in (out / "state").iterdir()] == ["learn-step=2.ckpt"]
    went_on = trained(recipe, out, after, strategy if after > 1 else "ddp", True)
    assert len(losses(out)) == 4
    whole = trained(recipe, tmp_path / "whole", after, strategy if after > 1 else "ddp")
    exact = {"rtol": 0, "atol": 0} if before == after else {"rtol": 1e-2, "atol": 2e-4}
    assert_same(went_on, whole, **exact)


def trains_in_small_parts(*arguments):
    repeated_blocks.SMALLEST = 1
    trains(*arguments)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cmpc_small", "dcmfnet_small"])  # parts of them are called in parts
def test_networks_whose_parts_are_called_in_parts_train_where_weights_are_shared(name, tmp_path):
    settings = [
        "data.scenes=64",
        "data.validation_scenes=2",
        "data.calibration_scenes=2",
        FROZEN,
        "stages.learn.steps=2",
    ]
    settings += ["stages.learn.images=2", "stages.learn.expressions_per_image=2", "stages.learn.validate_every=2"]
    recipe = find_recipe(name).with_settings(settings)
    one, two = tmp_path / "one", tmp_path / "two"
    for out, world, strategy in ((one, 1, "ddp"), (two, 2, "fsdp")):
        codes = on(world, trains_in_small_parts, recipe, out, world, strategy)
        assert codes == [0] * world, out.with_suffix(".log").read_text()[-3000:]
    torch.testing.assert_close(losses(one), losses(two), rtol=1e-3, atol=1e-4)


def gathers():
    generator = torch.Generator().manual_seed(0)
    image, words = torch.randn(5, 4, generator=generator), torch.randn(5, 3, 4, generator=generator)
    named = torch.tensor([True, False, True, True, True])
    torch.manual_seed(1)
    loss = ContrastiveLoss(4, 0.5, gathered=True)
    whole = loss(image, words, named)
    whole.backward()
    expected = loss.align.weight.grad.clone()
    loss.zero_grad()
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    mine = slice(0, 2) if rank == 0 else slice(2, 5)  # not as many each
    own = loss(image[mine], words[mine], named[mine])
    own.backward()
    for amount in (own.detach().clone(), loss.align.weight.grad):
        torch.distributed.all_reduce(amount)
        torch.testing.assert_close(amount / 2, whole.detach() if amount.ndim == 0 else expected)
    rows, first = gather_rows(image[mine])
    assert torch.equal(rows, image) and first == mine.start
    torch.testing.assert_close(mean(image[mine]) * 1.0, image[mine].sum() / 10)


def test_expressions_of_all_processes_are_told_apart_as_one_process_does():
    assert on(2, gathers) == [0, 0]


def selects(stored):
    torch.manual_seed(0)
    words = TokenTable(stored.texts, vocabulary := Vocabulary.of(stored.texts))
    network = networks.build("selector", TINY, len(vocabulary)).eval()
    stage = find_recipe("selector").stages[-1].replace(images=4, expressions_per_image=3)

    def learnt(rank, world):
        network.zero_grad()
        batch = SceneBatches(stored, words, Preprocessing(), stage, (0, 0), rank, world)[0]
        losses = {**network.find_loss(batch), **network.loss(batch)}
        losses["loss"].backward()
        return [value.detach() for value in losses.values()], [each.grad.clone() for each in network.parameters()]

    expected = learnt(0, 1)
    torch.distributed.init_process_group("gloo")
    for own, whole in zip(learnt(torch.distributed.get_rank(), 2), expected, strict=True):
        for one, other in zip(own, whole, strict=True):
            torch.distributed.all_reduce(one)
            torch.testing.assert_close(one / 2, other, rtol=1e-4, atol=1e-6)


def test_selector_in_two_processes_learns_what_it_learns_in_one():
    """Although its losses are means over objects, of which one process may have more than the other."""
    assert on(2, selects, stored_scenes(DrawnScenes("train", 4), workers=1)) == [0, 0]


def diverges(recipe, out):
    plain = run.StageLoop.compute_losses

    def losses(loop, batch):
        if loop.step == 1 and loop.fabric.global_rank == 1:
            batch.image[0, 0, 0, 0] = float("nan")
        return plain(loop, batch)

    run.StageLoop.compute_losses = losses
    with out.with_suffix(".log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            run.train(recipe, out, False, Devices(2, accelerator="cpu"))
        except RefsegError as error:
            print(error)
            raise SystemExit(2) from error


def fails_alone(recipe, out):
    plain = run.StageLoop.compute_losses

    def losses(loop, batch):
        if loop.step == 1 and loop.fabric.global_rank == 1:
            raise InvalidInput("a photograph that this process alone reads is damaged")
        return plain(loop, batch)

    run.StageLoop.compute_losses = losses
    with out.with_suffix(".log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            run.train(recipe, out, False, Devices(2, accelerator="cpu"))
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
            raise SystemExit(2) from error


@pytest.mark.slow
def test_an_error_of_one_process_that_is_not_the_first_is_told_once_and_no_other(tiny_of, files, tmp_path):
    out = tmp_path / "run"
    assert on(2, fails_alone, tiny_of(files), out) == [2, 2]
    told = [line for line in out.with_suffix(".log").read_text().splitlines() if "Error: " in line or "Invalid" in line]
    assert told == ["InvalidInput: a photograph that this process alone reads is damaged"]


def test_one_process_tells_of_errors(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not tells_error()  # before they are connected all have the same
    monkeypatch.setenv(STARTED_BY, "1")
    assert tells_error()  # the first one, which has started it, had none
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert [tells_error(), tells_error()] == [True, False]
    finally:
        torch.distributed.destroy_process_group()


def test_a_loss_that_is_not_finite_in_one_process_stops_all_and_names_its_batch(tiny_of, files, tmp_path):
    import json

    out = tmp_path / "run"
    assert on(2, diverges, tiny_of(files), out) == [2, 2]
    (named,) = out.glob("not-finite-*.json")
    assert named.name == "not-finite-learn-step=1-process=1.json"
    about = json.loads(named.read_text())
    assert about["step"] == 1 and len(about["expressions"]) == 4
    assert out.with_suffix(".log").read_text().count("the loss of stage learn is not finite at step 1") == 1
