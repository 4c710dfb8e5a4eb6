"""Evaluation from Python; what the command adds is tested with it."""

import dataclasses

import pytest

from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput
from refseg.evaluation.evaluate import evaluate, score_masks
from refseg.evaluation.rows import read_rows
from refseg.protocols import build


@pytest.fixture(scope="module")
def by_name(checkpoint_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("by_name")
    report = evaluate(checkpoint_folder, "drawn_scenes", split="val", count=2, protocols=["lavt"], masks=True, out=out)
    return report, out


def without_time(rows):
    return [dataclasses.replace(row, seconds=0) for row in rows]


def test_what_is_open_is_evaluated_as_what_is_named(by_name, checkpoint_folder, tmp_path):
    report, out = by_name
    opened = evaluate(
        load_checkpoint(checkpoint_folder), DrawnScenes("val", count=2), protocols=[build("lavt")], out=tmp_path / "out"
    )
    assert opened.metrics == report.metrics and list(opened.metrics) == ["lavt", "standard"]
    assert without_time(read_rows(tmp_path / "out")) == without_time(read_rows(out))
    same = ("dataset", "split", "seed", "generator_version", "images", "expressions")
    assert {name: opened.about[name] for name in same} == {name: report.about[name] for name in same}
    assert len(opened.about["weights"]["sha256"]) == 64


def test_masks_that_were_written_score_as_the_weights_did(by_name):
    report, out = by_name
    scored = score_masks(out / "masks.jsonl", "drawn_scenes", split="val", count=2)
    assert scored.metrics["standard"] == report.metrics["standard"]


def test_an_open_data_set_takes_no_settings(checkpoint_folder):
    with pytest.raises(InvalidInput, match="count: settings of a data set that is open"):
        evaluate(checkpoint_folder, DrawnScenes("val", count=2), count=1)
