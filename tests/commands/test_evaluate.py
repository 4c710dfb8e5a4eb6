import json
import sys

import pytest
from typer import Typer
from typer.testing import CliRunner

from refseg.commands.evaluate import evaluate
from refseg.crf import DenseCRF
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput

FILES = ["expressions.jsonl", "report.json", "report.md"]


def run(*arguments):
    app = Typer()
    app.command()(evaluate)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_an_evaluation_prints_and_writes_its_tables(checkpoint_folder, tmp_path):
    out = tmp_path / "results"
    result = run(checkpoint_folder, "drawn_scenes", "--split", "val", "--count", 3, "--out", out)
    assert result.exit_code == 0 and "kind of relation" in result.output
    assert sorted(path.name for path in out.iterdir()) == FILES
    about = json.loads((out / "report.json").read_text())["about"]
    missing = {"dataset", "split", "generator_version", "seed", "precision", "command", "hardware", "date", "seconds"}
    assert missing <= set(about) and len(about["weights"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["drawn_sceens"], "choose one of: drawn_scenes"),
        (["drawn_scenes", "--split", "tset"], "choose one of: train, val"),
        (["drawn_scenes", "--protocol", "lavvt"], "choose one of: standard"),
        (["drawn_scenes", "--count", 9999], "1 to 2,000"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(arguments, message, checkpoint_folder):
    with pytest.raises(InvalidInput, match=message):
        run(checkpoint_folder, *arguments)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(MissingFile, match="nowhere"):
        run(tmp_path / "nowhere", "drawn_scenes")


def test_damaged_weights_are_named(checkpoint_folder, tmp_path):
    for file in checkpoint_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:1000] if "model" in file.name else file.read_bytes())
    with pytest.raises(InvalidInput, match="damaged"):
        run(tmp_path, "drawn_scenes")


def test_an_unwritable_place_is_noticed_before_the_work(checkpoint_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("refseg.evaluation.report.evaluate", lambda *_, **__: pytest.fail("it evaluated first"))
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableOutput):
        run(checkpoint_folder, "drawn_scenes", "--count", 1, "--out", tmp_path / "file" / "results")


def test_an_interrupted_evaluation_leaves_nothing(checkpoint_folder, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("refseg.evaluation.report.evaluate", interrupted)
    run(checkpoint_folder, "drawn_scenes", "--count", 1, "--out", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_without_its_library_a_crf_is_refused_before_the_work(checkpoint_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    monkeypatch.setattr("refseg.evaluation.report.evaluate", lambda *_, **__: pytest.fail("it evaluated first"))
    with pytest.raises(InvalidInput, match=r"pip install 'refseg\[crf\]'"):
        run(checkpoint_folder, "drawn_scenes", "--count", 1, "--crf")


def test_a_report_says_that_a_crf_drew_the_masks_and_how(checkpoint_folder, tmp_path):
    pytest.importorskip("pydensecrf")
    run(checkpoint_folder, "drawn_scenes", "--split", "val", "--count", 1, "--crf", "--out", tmp_path / "results")
    report = json.loads((tmp_path / "results" / "report.json").read_text())
    assert report["about"]["crf"] == DenseCRF().model_dump() and report["metrics"]["oIoU"] > 0.3
    assert "far 20.0" in (tmp_path / "results" / "report.md").read_text()
