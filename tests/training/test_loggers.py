"""Curves of a run: one table and one TensorBoard curve a stage, however often it was resumed."""

import csv
import re
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from refseg.commands import train as command
from refseg.errors import InvalidInput, MissingFile
from refseg.recipes.recipe import SceneData
from refseg.training import progress, run
from refseg.training.devices import Devices
from refseg.training.loggers import LOGGERS, Kind, Logger, check_loggers
from refseg.training.loop import StageLoop
from refseg.training.metrics_table import MetricsTable, read_rows
from refseg.training.plot import plot_run

CPU = Devices(accelerator="cpu")
pytestmark = pytest.mark.usefixtures("without_export")


class TestMetricsTable:
    def test_values_of_a_step_share_a_row_and_new_columns_may_come_later(self, tmp_path):
        table = MetricsTable(tmp_path / "metrics.csv")
        table.write(20, {"train/loss": 0.5})
        table.write(40, {"train/loss": 0.25})
        table.write(40, {"val/oIoU": 0.75})
        table.write(60, {"train/loss": 0.125})
        table.close()
        assert (tmp_path / "metrics.csv").read_text() == (
            "step,train/loss,val/oIoU\n20,0.5,\n40,0.25,0.75\n60,0.125,\n"
        )

    def test_rows_after_the_step_that_a_run_goes_on_from_are_written_again(self, tmp_path):
        for done in (0, 40):
            table = MetricsTable(tmp_path / "metrics.csv", done)
            if done:
                table.write(40, {"val/oIoU": 1.0})  # made up for
            for step in range(done + 20, 100, 20):
                table.write(step, {"train/loss": float(step)})
            table.close()
        rows = read_rows(tmp_path / "metrics.csv")
        assert [row["step"] for row in rows] == [20, 40, 60, 80]
        assert rows[1] == {"step": 40, "train/loss": 40.0, "val/oIoU": 1.0}

    def test_a_row_that_was_cut_short_is_dropped_and_other_files_are_told(self, tmp_path):
        file = tmp_path / "metrics.csv"
        file.write_text("step,train/loss\n20,0.5\n40,0.2")
        assert [row["step"] for row in read_rows(file)] == [20]
        file.write_text("a,b\nx,y\n")
        with pytest.raises(InvalidInput, match="is no table of metrics"):
            MetricsTable(file)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tensorbord"], "unknown logger 'tensorbord'; did you mean tensorboard. choose one of: csv"),
        (["none", "csv"], "none goes with no other"),
        (["wandb"], "logger wandb needs the package no_such; install it with: pip install no_such"),
    ],
)
def test_a_logger_that_cannot_be_used_is_told_before_anything_is_imported(names, message, monkeypatch):
    monkeypatch.setitem(LOGGERS, "wandb", Kind(LOGGERS["wandb"].open, "no_such"))
    with pytest.raises(InvalidInput, match=message):
        check_loggers(names)


def test_a_resumed_run_has_one_curve_with_rates_recipe_and_pictures(tiny_of, files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 1)
    recipe, out = tiny_of(files, "stages.learn.steps=5", "stages.learn.validate_every=2"), tmp_path / "run"
    plain = StageLoop.train_step

    def killed(self, parts):
        if self.step == 4:
            raise RuntimeError("killed")
        return plain(self, parts)

    with monkeypatch.context() as patch:
        patch.setattr(StageLoop, "train_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            run.train(recipe, out, devices=CPU, save_every=3)
    run.train(recipe, out, resume=True, devices=CPU, save_every=3)
    folder = out / "logs" / "learn"
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5"] and all(row["train/loss"] for row in rows)
    assert [row["step"] for row in rows if row["val/oIoU"]] == ["2", "4", "5"]
    assert float(rows[0]["lr/fusion"]) >= 0 and float(rows[2]["lr/fusion"]) > 0

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5]
    assert [event.step for event in events.Scalars("val/oIoU")] == [2, 4, 5]
    pictures = [tag for tag in events.Tags()["images"] if tag.startswith("examples/")]
    assert 1 <= len(pictures) <= 4 and re.search("[a-z]", pictures[0].removeprefix("examples/"))
    picture = events.Images(pictures[0])[0]
    assert picture.width == 3 * picture.height  # image, truth, answer
    plugins = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert b"stages.learn.groups.fusion.lr" in plugins.content

    told = capsys.readouterr().out
    assert re.search(r"step 2 of 5: oIoU \d+\.\d \(best \d+\.\d at step 2\), mIoU", told)
    assert plot_run(out) == out / "curves.png" and (out / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_without_a_logger_nothing_is_logged_and_nothing_plotted(tiny_of, tmp_path):
    recipe = tiny_of(SceneData(scenes=8, validation_scenes=2), "stages.learn.steps=1")
    run.train(recipe, tmp_path / "run", devices=CPU, loggers=["none"])
    assert not (tmp_path / "run" / "logs").exists()
    with pytest.raises(MissingFile, match="has no metrics.csv of a stage; give the folder of a run"):
        plot_run(tmp_path / "run")


def test_any_logger_gets_what_the_table_gets(tiny_of, tmp_path, monkeypatch):
    written, shown, closed = [], [], []

    class Kept(Logger):
        def write(self, step, values):
            written.append((step, *values))

        def show(self, step, name, image):
            shown.append((step, image.dtype.name))

        def close(self, failed):
            closed.append(failed)

    monkeypatch.setitem(LOGGERS, "wandb", Kind(lambda stage: Kept(), "json"))
    recipe = tiny_of(SceneData(scenes=8, validation_scenes=2), "stages.learn.steps=1")
    run.train(recipe, tmp_path / "run", devices=CPU, loggers=["wandb"])
    assert [entry[:2] for entry in written] == [(1, "train/loss"), (1, "val/oIoU")]
    assert shown == [(1, "uint8")] * 2 and closed == [False]


def test_the_command_that_goes_on_has_what_the_first_one_had(tmp_path):
    options = {"devices": 2, "nodes": 1, "strategy": "ddp", "accelerator": "cpu", "save_every": 250}
    options |= {"save_minutes": 5.0, "logger": ["csv", "none"]}
    said = command.resuming("selector", tmp_path / "a run", ["seed=1"], options)
    assert said == (
        f"refseg train --resume --out '{tmp_path}/a run' --devices 2 --accelerator cpu --logger csv --logger none"
    )
    said = command.resuming("my.py:mine", tmp_path, ["seed=1"], options | {"logger": None, "devices": 1})
    assert said == f"refseg train my.py:mine --set seed=1 --resume --out {tmp_path} --accelerator cpu"


def test_loggers_and_curves_are_known_without_torch():
    code = "import sys; from refseg.training import loggers, plot; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
