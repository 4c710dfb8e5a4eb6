import json

import pytest

from refseg.errors import InvalidInput, MissingFile


@pytest.fixture(scope="module")
def evaluated(run, checkpoint_folder, tmp_path_factory):
    """The results of an evaluation with its masks."""
    out = tmp_path_factory.mktemp("evaluated")
    run("evaluate", checkpoint_folder, "--split", "val", "--count", 4, "--masks", "--out", out)
    return out


def test_masks_score_as_the_network_that_wrote_them(run, evaluated, tmp_path):
    run("score", evaluated / "masks.jsonl", "drawn_scenes", "--split", "val", "--count", 4, "--out", tmp_path)
    stored, scored = (json.loads((folder / "report.json").read_text()) for folder in (evaluated, tmp_path))
    for name in ("metrics", "intervals", "by", "errors", "errors_by_type", "risk_coverage", "reliability"):
        assert scored[name] == stored[name], name
    assert "<figure>" in (tmp_path / "report.html").read_text()


def test_a_mask_too_few_is_named_and_nothing_is_written(run, evaluated, tmp_path):
    lines = (evaluated / "masks.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "some.jsonl").write_text("".join(lines[1:]))
    with pytest.raises(InvalidInput, match=f"lacks 1 of {len(lines)} masks: val-base-0/0"):
        run("score", tmp_path / "some.jsonl", "drawn_scenes", "--split", "val", "--count", 4, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_masks_of_no_expression_are_named_on_the_page_too(run, evaluated, tmp_path):
    output = run("score", evaluated / "masks.jsonl", "drawn_scenes", "--split", "val", "--count", 3, "--out", tmp_path)
    assert "masks of no expression" in output and "masks of no expression" in (tmp_path / "report.md").read_text()


def test_a_comparison_names_what_differs_and_by_how_much(run, evaluated, tmp_path, monkeypatch):
    other = tmp_path / "other"
    lines = [json.loads(line) for line in (evaluated / "masks.jsonl").read_text().splitlines()]
    for line in lines[::2]:
        line["counts"] = [128 * 128]
    (tmp_path / "emptied.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run("score", tmp_path / "emptied.jsonl", "drawn_scenes", "--split", "val", "--count", 4, "--out", other)
    output = run("compare", other, evaluated / "expressions.jsonl")
    monkeypatch.setenv("COLUMNS", "30")
    assert run("compare", other, evaluated / "expressions.jsonl") == output  # whose lines no narrow terminal folds
    assert "beware: Only" in output and "about 4 images" in output
    assert "Wilcoxon" in output and "mIoU" in output and "mIoU by type" in output
    (found,) = json.loads(run("compare", other, evaluated, "--json"))["protocols"]
    assert found["metrics"]["mIoU"]["b"] > found["metrics"]["mIoU"]["a"] and found["metrics"]["mIoU"]["interval"][0] > 0


def test_three_systems_are_a_table_and_a_test_of_each_pair(run, evaluated, tmp_path):
    rows = (evaluated / "expressions.jsonl").read_text()
    for name in ("b.jsonl", "c.jsonl"):
        (tmp_path / name).write_text(rows)
    files = evaluated, tmp_path / "b.jsonl", tmp_path / "c.jsonl"
    output = run("compare", *files)
    assert all(said in output for said in ("oIoU", "1 - 2", "1 - 3", "2 - 3", "Holm", str(files[2])))
    found = json.loads(run("compare", *files, "--json"))
    assert found["systems"] == [str(file) for file in files]
    assert [pair["p_value"] for pair in found["protocols"][0]["pairs"]] == [1, 1, 1]
    with pytest.raises(InvalidInput, match="given twice"):
        run("compare", *files, evaluated)


def test_a_comparison_prints_no_terminal_sequences_of_data(run, evaluated, tmp_path):
    lines = [json.loads(line) for line in (evaluated / "expressions.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line["type"] = "\x1b[2J" if number % 2 else "plain"
    (tmp_path / "expressions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    output = run("compare", tmp_path, evaluated)
    assert "\x1b" not in output and r"\x1b[2J" in output


def test_files_of_other_expressions_and_unknown_protocols_are_refused(run, evaluated, tmp_path):
    lines = (evaluated / "expressions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "less.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(InvalidInput, match="1 only in the first"):
        run("compare", evaluated, tmp_path / "less.jsonl")
    (tmp_path / "same.jsonl").write_text("".join(lines))
    with pytest.raises(InvalidInput, match="choose one of: standard"):
        run("compare", evaluated, tmp_path / "same.jsonl", "--protocol", "lavt")
    with pytest.raises(InvalidInput, match="line 1, is no row"):
        run("compare", evaluated / "report.md", evaluated)
    with pytest.raises(InvalidInput, match="report.json is a report, without rows; give the expressions.jsonl beside"):
        run("compare", evaluated / "report.json", evaluated)
    with pytest.raises(InvalidInput, match="given twice"):
        run("compare", evaluated, evaluated / "expressions.jsonl")
    with pytest.raises(MissingFile, match="is missing"):
        run("compare", tmp_path / "nowhere", evaluated)
