import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from refseg.cli import app
from refseg.errors import InvalidInput, MissingFile, UnwritableOutput
from refseg.evaluation import answers
from refseg.inference.crf import DenseCRF

FILES = ["expressions.jsonl", "report.html", "report.json", "report.md"]


def run(*arguments):
    result = CliRunner().invoke(app, ["evaluate", *(str(argument) for argument in arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def stops_after(monkeypatch):
    """Makes the pass stop after so many images, as Ctrl-C would; the number may be changed, None lets it finish."""
    left = {"images": None}
    genuine = answers.answer

    def answer(*arguments, **settings):
        for number, image in enumerate(genuine(*arguments, **settings)):
            if number == left["images"]:
                raise KeyboardInterrupt
            yield image

    monkeypatch.setattr("refseg.evaluation.answers.answer", answer)
    return left


def figures(folder):
    report = json.loads((folder / "report.json").read_text())
    return {name: report[name] for name in ("metrics", "by", "errors", "risk_coverage")}


def rows(folder):
    read = [json.loads(line) for line in (folder / "expressions.jsonl").read_text().splitlines()]
    return [{**row, "seconds": 0} for row in read]


def test_an_evaluation_prints_and_writes_its_tables(checkpoint_folder, tmp_path):
    out = tmp_path / "results"
    result = run(checkpoint_folder, "drawn_scenes", "--split", "val", "--count", 3, "--out", out, "--full")
    assert result.exit_code == 0 and "by type of expression" in result.output
    assert "mIoU: mean IoU of the expressions with a referent" in result.output
    assert sorted(path.name for path in out.iterdir()) == FILES
    about = json.loads((out / "report.json").read_text())["about"]
    missing = {"dataset", "split", "generator_version", "seed", "precision", "command", "hardware", "date", "seconds"}
    assert missing <= set(about) and len(about["weights"]["sha256"]) == 64


def test_several_protocols_are_scored_at_once(checkpoint_folder, tmp_path):
    run(checkpoint_folder, "--split", "val", "--count", 1, "--protocol", "lavt", "--protocol", "vlt", "--out", tmp_path)
    assert list(figures(tmp_path)["metrics"]) == ["lavt", "vlt", "standard"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["drawn_sceens"], "choose one of: drawn_scenes"),
        (["drawn_scenes", "--split", "tset"], "choose one of: train, val"),
        (["drawn_scenes", "--protocol", "lavvt"], "choose one of: cmirnet"),
        (["drawn_scenes", "--count", 9999], "1 to 2,000"),
        (["drawn_scenes", "--root", "there"], "no setting root"),
        (["drawn_scenes", "--set", "tier"], "write it as --set grefs=true"),
        (["drawn_scenes", "--masks"], "give --out"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_right_ones(arguments, message, checkpoint_folder):
    with pytest.raises(InvalidInput, match=message):
        run(checkpoint_folder, *arguments)


def test_another_setting_of_the_data_set_reaches_it(checkpoint_folder, tmp_path):
    run(checkpoint_folder, "--split", "val", "--count", 1, "--set", "tier=easy", "--out", tmp_path)
    assert rows(tmp_path)[0]["image_id"] == "val-easy-0"


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(MissingFile, match="nowhere"):
        run(tmp_path / "nowhere", "drawn_scenes")


def test_damaged_weights_are_named(checkpoint_folder, tmp_path):
    for file in checkpoint_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:1000] if "model" in file.name else file.read_bytes())
    with pytest.raises(InvalidInput, match="damaged"):
        run(tmp_path, "drawn_scenes")


def test_an_unwritable_place_is_noticed_before_the_work(checkpoint_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("refseg.checkpoints.io.load_checkpoint", lambda *_, **__: pytest.fail("it loaded first"))
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableOutput):
        run(checkpoint_folder, "drawn_scenes", "--count", 1, "--out", tmp_path / "file" / "results")


def test_a_stopped_evaluation_goes_on_and_ends_as_if_it_had_not_been_stopped(checkpoint_folder, tmp_path, stops_after):
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    arguments = checkpoint_folder, "--split", "val", "--count", 5, "--protocol", "lavt", "--batch-images", 1
    stops_after["images"] = 3
    run(*arguments, "--out", stopped)
    assert [path.name for path in stopped.iterdir()] == [".unfinished"]
    stops_after["images"] = None
    assert "3 of 5 images answered" in run(*arguments, "--out", stopped).output
    run(*arguments, "--out", whole)
    assert sorted(path.name for path in stopped.iterdir()) == FILES
    assert figures(stopped) == figures(whole) and rows(stopped) == rows(whole)
    facts = [json.loads((folder / "report.json").read_text())["about"] for folder in (stopped, whole)]
    assert ["seconds" in one for one in facts] == [False, True]  # those of the first process are not known


def test_a_stopped_evaluation_does_not_go_on_with_another_protocol(checkpoint_folder, tmp_path, stops_after):
    stops_after["images"] = 1
    run(checkpoint_folder, "--split", "val", "--count", 2, "--out", tmp_path)
    with pytest.raises(InvalidInput, match="unfinished evaluation with another protocol"):
        run(checkpoint_folder, "--split", "val", "--count", 2, "--protocol", "lavt", "--out", tmp_path)


@pytest.mark.slow
def test_two_processes_answer_what_one_does(checkpoint_folder, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    arguments = [str(checkpoint_folder), "--split", "val", "--count", "5", "--protocol", "lavt", "--batch-images", "1"]
    run(*arguments, "--out", alone)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["--no-python", sys.executable, "-c", "from refseg.cli import main; main()", "evaluate", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, *command, "--out", str(together)], check=True, env=environment, capture_output=True)
    assert rows(together) == rows(alone) and figures(together) == figures(alone)
    assert json.loads((together / "report.json").read_text())["about"]["processes"] == 2


def test_without_its_library_a_crf_is_refused_before_the_work(checkpoint_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    monkeypatch.setattr("refseg.checkpoints.io.load_checkpoint", lambda *_, **__: pytest.fail("it loaded first"))
    with pytest.raises(InvalidInput, match=r"pip install 'refseg\[crf\]'"):
        run(checkpoint_folder, "drawn_scenes", "--count", 1, "--crf")


def test_a_report_says_that_a_crf_drew_the_masks_and_how(checkpoint_folder, tmp_path):
    pytest.importorskip("pydensecrf")
    run(checkpoint_folder, "drawn_scenes", "--split", "val", "--count", 1, "--crf", "--out", tmp_path / "results")
    report = json.loads((tmp_path / "results" / "report.json").read_text())
    assert report["about"]["crf"] == DenseCRF().model_dump() and report["metrics"]["standard"]["oIoU"] > 0.3
    assert "far 20.0" in (tmp_path / "results" / "report.md").read_text()
