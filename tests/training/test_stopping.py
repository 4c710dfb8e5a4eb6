"""A training that is asked to stop finishes its step, saves its state, and goes on as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout

import pytest
import torch

from refseg.recipes.recipe import SceneData
from refseg.training import run
from refseg.training.devices import Devices
from refseg.training.loop import StageLoop
from refseg.training.stopping import SIGNALS, Timer, TrainingStopped, stop_requests

CPU = Devices(accelerator="cpu")
pytestmark = pytest.mark.usefixtures("without_export")


@pytest.fixture(autouse=True)
def heeded():
    """Signals that whatever started the tests made them ignore, as a shell does in the background."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def recipe(tiny_of, files):
    return tiny_of(files, "stages.learn.steps=6", "stages.learn.validate_every=3", "stages.learn.ema=0.9")


def steps(out):
    return sorted(int(path.stem.split("=")[1]) for path in (out / "state").glob("*.ckpt"))


def signalled(monkeypatch, at, number=signal.SIGTERM, during="train_step"):
    """Sends a signal to this process within a step, or within a validation, as soon as so many steps are done."""
    plain = getattr(StageLoop, during)

    def sends(self, *arguments):
        if self.step == at:
            signal.raise_signal(number)
        return plain(self, *arguments)

    monkeypatch.setattr(StageLoop, during, sends)


def same_end(one, other):
    for name in ("state/learn", "last/model.safetensors", "best/model.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert (one / "logs/learn/metrics.csv").read_text().count("\n") == (
        other / "logs/learn/metrics.csv"
    ).read_text().count("\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_finishes_the_step_and_saves_it(recipe, tmp_path, monkeypatch, number):
    before = signal.getsignal(number)
    signalled(monkeypatch, at=3, number=number)
    with pytest.raises(TrainingStopped, match="stopped after step 4 of stage learn; its state is saved") as stopped:
        run.train(recipe, tmp_path / "run", devices=CPU)
    assert stopped.value.signal == number and steps(tmp_path / "run") == [4]
    assert isinstance(stopped.value, KeyboardInterrupt) and signal.getsignal(number) is before


@pytest.mark.parametrize(("at", "during", "saved"), [(1, "train_step", 2), (2, "train_step", 3), (3, "validate", 3)])
def test_a_stopped_run_ends_with_the_bytes_of_one_that_was_never_stopped(
    recipe, tmp_path, monkeypatch, at, during, saved
):
    run.train(recipe, tmp_path / "whole", devices=CPU)
    with monkeypatch.context() as patch:
        signalled(patch, at, during=during)
        with pytest.raises(TrainingStopped):
            run.train(recipe, tmp_path / "run", devices=CPU)
    assert steps(tmp_path / "run") == [saved]
    assert not (tmp_path / "run" / "last").exists()  # a validation waits until the run goes on
    torch.manual_seed(1)
    run.train(recipe, tmp_path / "run", resume=True, devices=CPU)
    same_end(tmp_path / "run", tmp_path / "whole")


def test_the_second_signal_stops_at_once_and_one_sent_twice_counts_once():
    with pytest.raises(KeyboardInterrupt), stop_requests(tells=False) as request:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # to the process, and to its group
        assert request.signal == signal.SIGINT
        request._at -= 2  # seconds ago
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it was not raised")


def test_signals_that_a_process_ignores_are_ignored_still():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests(tells=False) as request:
            signal.raise_signal(signal.SIGHUP)
            assert not request.signal
    finally:
        signal.signal(signal.SIGHUP, before)


def test_beside_the_main_thread_no_handler_is_set():
    found = []

    def body():
        with stop_requests() as request:
            found.append(request.signal)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [0]


def test_a_timer_is_due_after_its_minutes_and_can_be_set_again():
    now = [0.0]
    timer = Timer(2, clock=lambda: now[0])
    now[0] = 119
    assert not timer.is_due()
    now[0] = 120
    assert timer.is_due()
    timer.set()
    assert not timer.is_due()


def test_states_are_saved_by_time(recipe, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(run.States, "write", lambda self, step, state: saved.append(step))
    run.train(recipe, tmp_path / "run", devices=CPU, save_minutes=1e-9)
    assert saved == [1, 2, 3, 4, 5, 6]


def of_rank(recipe, out, world, resume, stops_at):
    """In a process: trains, and sends itself SIGTERM in a step if it is the second one."""
    run.export_weights = lambda out, *_: out
    plain = StageLoop.train_step

    def step(loop, parts):
        if loop.step == stops_at and loop.fabric.global_rank == 1:
            signal.raise_signal(signal.SIGTERM)
        return plain(loop, parts)

    StageLoop.train_step = step
    with out.with_suffix(".log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            run.train(recipe, out, resume, Devices(world, accelerator="cpu"))
        except TrainingStopped as stopped:
            print(stopped)
            raise SystemExit(9) from stopped


@pytest.mark.slow
def test_all_processes_stop_after_the_same_step_when_one_is_asked_to(recipe, tmp_path):
    from ranks import finish, start

    recipe = recipe.with_settings(["stages.learn.frozen_batch_norm=true", "stages.learn.ema=null"])
    out, whole = tmp_path / "run", tmp_path / "whole"
    codes = finish(start(2, of_rank, recipe, out, 2, False, 1), seconds=300)
    assert codes == [9, 0], out.with_suffix(".log").read_text()[-3000:]  # Fabric would kill the first process
    assert steps(out) == [2] and "stopped after step 2" in out.with_suffix(".log").read_text()
    for folder, resume in ((out, True), (whole, False)):
        codes = finish(start(2, of_rank, recipe, folder, 2, resume, None), seconds=300)
        assert codes == [0, 0], folder.with_suffix(".log").read_text()[-3000:]
    same_end(out, whole)


def started(files, tiny_of, folder, devices):
    """The command in a group of its own, with more to do than a test waits for."""
    long = tiny_of(files.replace(workers=2), "stages.learn.steps=100000", "stages.learn.validate_every=1000")
    (folder / "tiny.yaml").write_text(long.to_yaml())
    command = [sys.executable, "-m", "refseg", "train", str(folder / "tiny.yaml"), "--out", str(folder / "run")]
    command += ["--accelerator=cpu", "--save-every=2", f"--devices={devices}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes)


def commands_of(group):
    listed = subprocess.run(["ps", "-o", "args=", "-g", str(group)], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if " train " in line]


@pytest.mark.slow
@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["the whole group", "the first process"])
def test_sigterm_before_the_first_step_ends_all_processes(files, tiny_of, tmp_path, send):
    process = started(files, tiny_of, tmp_path, devices=2)
    end = time.monotonic() + 300
    while len(commands_of(process.pid)) < 2:  # the first one waits for the second, within a library
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)
    send(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=20)  # until no process can write any more
    assert process.returncode == 128 + signal.SIGTERM, err
    assert err.splitlines()[-1] == "stopped before the first step" and "Traceback" not in out + err
    assert not commands_of(process.pid) and not (tmp_path / "run" / "recipe.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_sigterm_to_the_whole_group_saves_and_prints_the_command_that_goes_on(files, tiny_of, tmp_path, devices):
    process = started(files, tiny_of, tmp_path, devices)
    end = time.monotonic() + 300
    while not list((tmp_path / "run" / "state").glob("*.ckpt")):
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "Traceback" not in err and "worker" not in err and not commands_of(process.pid)
    again = out.splitlines()[-1].split()
    assert again[:5] == ["refseg", "train", "--resume", "--out", str(tmp_path / "run")]
    newest = max(steps(tmp_path / "run"))
    assert f"stopped after step {newest:,} of stage learn; its state is saved. Go on with:" in out
    done = subprocess.run(
        [sys.executable, "-m", *again, "--set", f"stages.learn.steps={newest + 2}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"goes on after step {newest:,}" in done.stdout and steps(tmp_path / "run") == [newest + 2]


class TestLengths:
    def test_a_finished_run_is_prolonged(self, recipe, tmp_path, capsys):
        out = tmp_path / "run"
        run.train(recipe, out, devices=CPU)
        assert steps(out) == [6]
        longer = recipe.with_settings(["stages.learn.steps=8"])
        run.train(longer, out, resume=True, devices=CPU)
        told = capsys.readouterr().out
        assert "stage learn: 8 steps instead of 6 steps; from here on its learning rates are those of" in told
        assert "stage learn goes on after step 6" in told and steps(out) == [8]
        assert "steps: 8" in (out / "recipe.yaml").read_text()
        run.train(longer, out, resume=True, devices=CPU)
        assert "stage learn is finished" in capsys.readouterr().out

    def test_a_run_is_cut_to_what_it_has_done(self, recipe, tmp_path, monkeypatch, capsys):
        out = tmp_path / "run"
        with monkeypatch.context() as patch:
            signalled(patch, 3)
            with pytest.raises(TrainingStopped):
                run.train(recipe, out, devices=CPU)
        run.train(recipe.with_settings(["stages.learn.steps=2"]), out, resume=True, devices=CPU)
        assert steps(out) == [4] and "step 4 of 2: oIoU" in capsys.readouterr().out
        assert "val/oIoU" in json.loads((out / "last" / "config.json").read_text())["trained_on"]["validation"]

    def test_rates_of_a_prolonged_run_are_those_of_its_new_length(self, recipe, tmp_path, monkeypatch):
        rates = {}
        plain = StageLoop.train_step

        def step(self, parts):
            found = plain(self, parts)
            rates[self.length.steps, self.step] = self.learning_rates()["fusion"]
            return found

        monkeypatch.setattr(StageLoop, "train_step", step)
        long = recipe.with_settings(["stages.learn.steps=8"])
        run.train(long, tmp_path / "long", devices=CPU)
        expected, rates = dict(rates), rates
        rates.clear()
        run.train(recipe, tmp_path / "run", devices=CPU)
        run.train(long, tmp_path / "run", resume=True, devices=CPU)
        assert rates[8, 7] == expected[8, 7] != rates[6, 6]

    def test_other_settings_are_refused_by_name(self, recipe, tmp_path):
        run.train(recipe, tmp_path / "run", devices=CPU)
        other = recipe.with_settings(["seed=7", "stages.learn.steps=9"])
        with pytest.raises(run.InvalidInput, match=r"differs from this recipe in seed \(0, now 7\); only steps"):
            run.train(other, tmp_path / "run", resume=True, devices=CPU)
        with pytest.raises(run.InvalidInput, match="is finished after 6 steps; it can be prolonged, but not cut"):
            run.train(recipe.with_settings(["stages.learn.steps=3"]), tmp_path / "run", resume=True, devices=CPU)

    def test_a_stage_without_patience_left_ends(self, tiny_of, tmp_path, capsys, monkeypatch):
        scenes = SceneData(scenes=16, validation_scenes=2)
        recipe = tiny_of(scenes, "stages.learn.steps=9", "stages.learn.validate_every=1", "stages.learn.patience=2")
        scores = iter([0.1, 0.3, 0.2, 0.3, 0.9])
        monkeypatch.setattr(StageLoop, "validate", lambda *_: {"oIoU": next(scores)})
        run.train(recipe, tmp_path / "run", devices=CPU)
        told = capsys.readouterr().out
        assert "step 2 of 9: oIoU 30.0 (best 30.0 at step 2)" in told
        assert "step 4 of 9: oIoU 30.0 (best 30.0 at step 2)" in told
        assert "ends after step 4: the last 2 validations were not better than that of step 2" in told
        run.train(recipe, tmp_path / "run", resume=True, devices=CPU)
        assert "stage learn is finished" in capsys.readouterr().out
