"""What rows cost: counted and measured without data, and counted as the papers count."""

import json
from dataclasses import replace

import pytest

from refseg.errors import InvalidInput, UnwritableOutput
from refseg.recipes import find_recipe
from refseg.studies import STUDIES, row_costs, run, timing
from refseg.studies.timing import Timing, count_images
from refseg.studies.trainings import TRAININGS_FOLDER
from refseg.studies.write import study_tables


def test_costs_of_dcmfnets_gate_need_no_data_and_no_training(tmp_path):
    results = run.run_study("dcmfnet_table6", tmp_path, rows="3", costs_only=True, on_message=lambda line: None)
    (main, *_) = study_tables(results, ())
    assert main.lines[4:7] == [
        ["ASGate (Ours)", "ours", "1.77", "", ""],
        ["", "paper", "1.77", "71.00", "83.81"],
        ["", "ours - paper", "+0.00", "", ""],
    ]
    assert not (tmp_path / TRAININGS_FOLDER).exists()
    noted = json.loads((tmp_path / "dcmfnet_table6" / "study.json").read_text())
    assert list(noted["costs"]) == ["3"] and noted["costs"]["3"]["keys"] == []


@pytest.fixture
def counted(monkeypatch):
    """Round costs of any network, and the networks that were asked for."""
    asked = []

    def count_costs(network, config, side):
        asked.append((network, side))
        total = {"parameters": 90_000_000, "multiply_adds": 60_000_000_000}
        return {"parameters": 100_000_000, "multiply_adds": 70_000_000_000, "parts": {"total": total}}

    words = {
        "all": {"parameters": 60_000_000, "multiply_adds": 2_000_000_000},
        "layers": {"parameters": 40_000_000, "multiply_adds": 1_000_000_000},
    }
    monkeypatch.setattr(row_costs, "count_costs", count_costs)
    monkeypatch.setattr(row_costs, "count_words", lambda *_: words)
    monkeypatch.setattr(row_costs, "measure", lambda *given: Timing(12.5, 36.25, "a machine", given[2]))
    monkeypatch.setattr(row_costs, "describe_hardware", lambda device: "a machine")
    monkeypatch.setattr(run, "check_device_name", lambda device: None)
    return asked


def test_eavls_table_6_counts_each_row_as_the_paper_does_and_prints_both_conventions(tmp_path, counted):
    results = run.run_study("eavl_table6", tmp_path, costs_only=True, on_message=lambda line: None)
    assert counted == [
        ("cris_resnet101", 416),
        ("vlt_swin", 480),
        ("lavt_swin_base", 480),
        ("eavl_clip_resnet101", 416),
        ("eavl_swin_base", 480),
    ]
    tables = {table.title: table for table in study_tables(results, ())}
    main = next(iter(tables.values()))
    ours = {line[0]: line[2:] for line in main.lines if line[1] == "ours"}
    assert ours["CRIS, ResNet-101"] == ["", "72.00", "36.25", "160.00", "12.50"]
    assert ours["LAVT, Swin-B"] == ["", "61.00", "36.25", "130.00", "12.50"]
    (difference, *_) = [line[2:] for line in main.lines if line[1] == "ours - paper"]
    assert difference == ["", "+9.28", "", "-1.25", ""]  # of what is measured none: the machines differ
    both = {line[0]: line[1:] for line in tables["Costs with the word encoder, by both conventions"].lines}
    assert both["CRIS, ResNet-101"] == ["everything", "160.00", "72.00", "130.00", "61.00"]
    assert both["Ours, Swin-B"] == ["as thop", "160.00", "72.00", "130.00", "61.00"]
    text = (tmp_path / "eavl_table6" / "study.md").read_text()
    assert "Measured on a machine" in text and "as the paper counts each row" in text


def count_again(out, study="eavl_table6", **given):
    said = []
    results = run.run_study(study, out, rows="1", costs_only=True, on_message=said.append, **given)
    return results.rows[1].costs, said


def test_costs_are_counted_again_for_another_device_or_machine_that_is_named(tmp_path, counted, monkeypatch):
    costs, said = count_again(tmp_path, device="cpu")
    assert costs.device == "cpu" and len(said) == 1
    assert count_again(tmp_path, device="cpu") == count_again(tmp_path) == (costs, [])
    again, said = count_again(tmp_path, device="cuda")
    assert again.device == "cuda" and len(said) == 1 and count_again(tmp_path)[0] == again
    monkeypatch.setattr(row_costs, "describe_hardware", lambda device: "another machine")
    assert len(count_again(tmp_path, device="cuda")[1]) == 1


def test_costs_of_an_earlier_version_are_counted_again_and_what_a_training_took_is_kept(tmp_path, counted):
    costs, _ = count_again(tmp_path)
    file = tmp_path / "eavl_table6" / "study.json"
    noted = json.loads(file.read_text())
    for name in ("words", "fps", "estimated_hours", "machine", "device", "costs_key"):
        del noted["costs"]["1"][name]
    noted["costs"]["1"]["seconds"] = 7200.0
    file.write_text(json.dumps(noted))
    again, said = count_again(tmp_path)
    assert again == replace(costs, seconds=7200.0) and again.words and len(said) == 1


def test_costs_of_a_recipe_that_has_changed_are_left_out_or_counted_again(tmp_path, counted):
    costs, _ = count_again(tmp_path)
    file = tmp_path / "eavl_table6" / "study.json"
    file.write_text(file.read_text().replace(costs.costs_key, "0" * 12))
    said = []
    results = run.run_study("eavl_table6", tmp_path, rows="2", costs_only=True, on_message=said.append)
    assert results.rows[1].costs is None and results.rows[2].costs and "its recipe has changed" in said[0]
    assert count_again(tmp_path)[0] == costs


def test_damaged_costs_are_told_in_one_line(tmp_path, counted):
    count_again(tmp_path)
    file = tmp_path / "eavl_table6" / "study.json"
    file.write_text(file.read_text().replace('"parameters"', '"prameters"'))
    with pytest.raises(UnwritableOutput, match=r"study.json is damaged; choose"):
        count_again(tmp_path)


def test_hours_of_a_run_are_its_own(tmp_path, counted):
    from refseg.studies.study import Column
    from refseg.studies.tables import compute_cost

    study = STUDIES["eavl_table6"]
    results = run.run_study(study.name, tmp_path, rows="1", costs_only=True, on_message=lambda line: None)
    costs = replace(results.rows[1].costs, seconds=7200.0)
    assert compute_cost(study.rows[0], costs, Column(title="h", cost="hours")) == 2.0


def test_images_of_a_training_follow_from_the_published_sizes():
    assert count_images(find_recipe("eavl_refcoco+")) == 40 * 42_278
    assert count_images(find_recipe("cmpc_refcoco")) == 700_000
    assert count_images(find_recipe("cmirnet_refcoco_pretrained")) is None  # of the merged boxes no size is published
    assert count_images(find_recipe("dmmi_refzom")) is None


def test_speed_and_hours_are_measured_at_the_recipes_own_size(monkeypatch):
    from refseg.inspection import speed

    asked = []
    monkeypatch.setattr(speed, "measure_images_per_second", lambda *given: asked.append(given) or 4.0)
    monkeypatch.setattr(speed, "measure_training_seconds", lambda *given: asked.append(given) or 0.5)
    recipe = find_recipe("cris_refcoco+")
    found = timing.measure(recipe, 416, "cpu")
    assert (found.fps, found.estimated_hours) == (4.0, pytest.approx(50 * 42_278 * 0.5 / 3600))
    assert asked == [
        ("cris_resnet101", recipe.config, 416, "cpu"),
        ("cris_resnet101", recipe.config, 416, "cpu", False),
    ]


def test_a_table_of_tests_has_no_costs(tmp_path):
    with pytest.raises(InvalidInput, match="ask for the costs of that one"):
        run.run_study("cmirnet_table4", tmp_path, costs_only=True)
    assert not list(tmp_path.iterdir())
