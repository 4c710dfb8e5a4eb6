"""Of a folder that holds one-target references and general ones, the figures say which were scored."""

import json

import pytest

from refseg import datasets
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.datasets.drawn_scenes.export import export
from refseg.errors import command_line
from refseg.evaluation.evaluate import score_masks
from refseg.masks.rle import encode_rle


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "drawn").mkdir()
    export(DrawnScenes("val", 2), tmp_path / "drawn")
    refs = json.loads((tmp_path / "drawn" / "grefs(drawn).json").read_text())
    one = [ref | {"ann_id": ref["ann_id"][0]} for ref in refs if len(ref["ann_id"]) == 1 and ref["ann_id"] != [-1]]
    (tmp_path / "drawn" / "refs(drawn).json").write_text(json.dumps(one))
    return tmp_path / "drawn"


def test_what_was_left_out_is_counted_and_the_option_that_takes_it_is_named(folder):
    with command_line():
        one, every = (datasets.build("refer", split="val", root=folder, **more) for more in ({}, {"grefs": True}))
        others = sum(len(e.targets) != 1 for sample in every for e in sample.expressions)
        assert others and one.selection == (
            f"refs(drawn), one target each; left out: {others} expressions about several targets or none, which "
            "--grefs takes from grefs(drawn).json"
        )
        assert every.selection == "grefs(drawn)"
    (folder / "grefs(drawn).json").write_text("[{}, 3]")  # which is not read, so its faults are no matter
    assert "left out: those about several" in datasets.build("refer", split="val", root=folder).selection


def test_the_result_line_and_the_report_say_which_references_were_scored(folder, tmp_path):
    samples = datasets.build("refer", split="val", root=folder)
    lines = [
        json.dumps({"id": sample.expression_id(i), **encode_rle(sample.mask(i))})
        for sample in samples
        for i in range(len(sample.expressions))
    ]
    (tmp_path / "masks.jsonl").write_text("\n".join(lines))
    report = score_masks(tmp_path / "masks.jsonl", "refer", split="val", root=folder, out=tmp_path / "out")
    assert all("; refs(drawn), one target each; left out: " in line for line in report.result())
    assert "* selection: refs(drawn), one target each; left out: " in (tmp_path / "out" / "report.md").read_text()
