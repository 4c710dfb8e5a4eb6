"""Content of the studies: rows that resolve, figures that fit, sizes that agree, rows that are one training."""

import os
import shutil

import pytest
from typer.testing import CliRunner

from refseg.cli import app
from refseg.errors import InvalidInput, MissingFile
from refseg.inspection.costs import count_costs
from refseg.networks import build, configured
from refseg.progress import no_progress
from refseg.recipes import find_recipe
from refseg.recipes.recipe import FileData
from refseg.studies import STUDIES, find_study
from refseg.studies.claims import judge_claims, signed_rank
from refseg.studies.plot import draw_line
from refseg.studies.resolve import (
    SMALL_METRICS,
    check_small,
    describe_data,
    list_scored_splits,
    parse_rows,
    resolve_recipe,
    training_key,
)
from refseg.studies.results import read_results
from refseg.studies.run import run_study
from refseg.studies.study import Claim, Column, Row, Study
from refseg.studies.study_text import format_claims, format_title, paper_table, settings_table
from refseg.studies.trainings import DATA_FOLDER_VARIABLE, count_mean_pairs, count_pairs, train_row
from refseg.studies.write import list_remarks, study_tables


def key(name, number, data="", small=False):
    study = STUDIES[name]
    return training_key(resolve_recipe(study, study.rows[number - 1], data, small))


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if study.is_trained])
def test_every_row_resolves_at_full_size_and_in_small(name):
    study = STUDIES[name]
    for row in study.rows:
        for data, recipe_name in study.recipe_names(row):
            recipe = resolve_recipe(study, row, data)
            assert recipe is not None, recipe_name
            configured(recipe.network, recipe.config)
        if row.small or study.small:
            recipe = resolve_recipe(study, row, small=True)
            assert recipe is not None
            configured(recipe.network, recipe.config)


def test_the_number_of_figures_is_that_of_the_columns():
    with pytest.raises(ValueError, match="1 figure in 2 columns"):
        columns = Column(title="oIoU", metric="oIoU"), Column(title="mIoU", metric="mIoU")
        Study(name="x", network="cmpc", table="Table 1", columns=columns, rows=(Row(label="a", figures=(1.0,)),))
    papers = [study for study in STUDIES.values() if study.has_figures]
    assert len(papers) == 37 and sum(len(study.rows) for study in papers) == 183


def test_a_study_of_tests_prints_the_papers_values_and_none_of_ours_before_its_rows_are_run(tmp_path):
    study = STUDIES["cmirnet_table4"]
    results = read_results(study, tmp_path / study.name, small=True, settings=(), seeds=1, costs={})
    claims = judge_claims(results)
    (table,) = study_tables(results, claims)
    assert [line[1:] for line in table.lines] == [[f"{row.figures[0]:.6f}"] * 2 + [""] * 5 for row in study.rows]
    assert [(one.below, one.above) for one in claims] == [row.tested for row in study.rows]
    assert not any("Claims" in line for line in list_remarks(results, claims))


def test_table_4_of_our_own_figures_is_of_the_seeds_and_metrics_that_rows_share(tmp_path):
    table = STUDIES["cmirnet_table4"]
    results = read_results(table, tmp_path / table.name, small=True, settings=(), seeds=2, costs={})
    better = {metric: [0.5, 0.9] for metric in SMALL_METRICS}
    results.tested.rows[1].values.update({metric: [0.4] for metric in SMALL_METRICS})
    results.tested.rows[2].values.update(better)
    (tests,) = study_tables(results, judge_claims(results))
    assert tests.lines[0][3] == "0.062500 (of 5 pairs)"  # 2 / 2^5: without N-acc and T-acc
    results.tested.rows[1].values["oIoU"] = [0.7, 0.0]  # whose second seed would turn the difference
    assert study_tables(results, judge_claims(results))[0].lines[0][3] == "0.625000 (of 5 pairs)"
    assert "drawn scenes, split test (200 of them), protocol standard" in list_remarks(results, ())[1]
    full = read_results(table, tmp_path / table.name, small=False, settings=(), seeds=1, costs={})
    assert (
        "refcoco unc val, testA, testB, recipe cmirnet_refcoco_resnet101, protocol cmirnet" in list_remarks(full, ())[0]
    )


def test_rows_of_others_tell_which_metric_they_are():
    shown = [line[0] for line in paper_table(STUDIES["cmirnet_table1"]).lines]
    assert len(shown) == len(set(shown))
    assert {label for label in shown if "LAVT" in label} == {"mIoU LAVT [12] (SwinB)", "oIoU LAVT [12] (SwinB)"}


@pytest.mark.parametrize("name", STUDIES)
def test_a_title_begins_with_the_name_of_the_network(name):
    network = STUDIES[name].network.partition("_")[0]
    assert format_title(STUDIES[name]).lower().startswith(network)


def test_columns_of_one_metric_are_named_by_where_they_are_scored():
    rows = (Row(label="a"),)
    columns = [{"metric": "oIoU", "split": "val"}, {"metric": "oIoU", "split": "testA"}, "mIoU"]
    study = Study(name="x", table="t", columns=columns, rows=rows)
    assert [column.title for column in study.columns] == ["val oIoU", "testA oIoU", "mIoU"]
    costs = Study(name="x", table="t", columns=[{"cost": "params"}, {"cost": "flops", "part": "cgip"}], rows=rows)
    assert [column.title for column in costs.columns] == ["params", "cgip flops"]
    for columns in (["oIoU", "oIoU"], [{"metric": "oIoU", "title": "oIoU"}, "oIoU"]):
        with pytest.raises(ValueError, match="two columns are named 'oIoU'; give one of them another title"):
            Study(name="x", table="t", columns=columns, rows=rows)


@pytest.mark.parametrize(
    ("name", "small", "said"),
    [
        ("dmmi_table3", False, "recipe dmmi_DATA; in small dmmi_small; refcocog umd val; refzom test; protocol dmmi"),
        ("cmirnet_table4", False, "in small cmirnet_small; refcoco unc val, testA, testB; protocol cmirnet"),
        (
            "cmirnet_table4",
            True,
            "in small, recipe cmirnet_small; at most 8 trainings for each seed; 4,000 steps each; scored on",
        ),
        ("selector_motion", False, "Columns: test oIoU, test mIoU, test N-acc, test T-acc"),
    ],
)
def test_a_study_shows_what_it_learns_and_where_it_is_scored(name, small, said):
    shown = CliRunner().invoke(app, ["study", name, "--show", *(["--small"] if small else [])]).output
    assert said in shown


def test_data_are_those_of_all_rows_and_settings():
    rows = (Row(label="a", recipe="lavt_refcoco"), Row(label="b", recipe="lavt_refcocog_umd"))
    study = Study(name="x", table="t", rows=rows)
    assert describe_data(study) == "refcoco unc val; refcocog umd val"
    assert describe_data(study.replace(rows=rows[1:]), ["data.settings.split_by=google"]) == "refcocog google val"
    assert describe_data(Study(name="x", table="t", small="lavt_small", rows=(Row(label="a"),))) == ""


def test_a_line_plot_takes_rows_of_one_number():
    points = [("3 layers", None, 60.0), ("3 layers, wide", 61.0, None), ("1 layer", 50.0, 55.0)]
    assert draw_line(points, "layers").count("<circle") == 4


def test_a_claim_about_one_data_set_has_its_figures_alone(tmp_path):
    study = STUDIES["cmpc_table10"]
    results = read_results(study, tmp_path / study.name, small=False, settings=(), seeds=1, costs={})
    claims = [(one.above, one.below, one.place, round(one.paper, 2)) for one in judge_claims(results)]
    assert claims[1] == (2, 3, "refcoco", 3.81) and claims[-2] == (3, 2, "refcocog_google", 1.93)
    (table,) = [table for table in study_tables(results, judge_claims(results)) if "claims" in table.title]
    assert dict(zip(table.head, table.lines[-1], strict=True))["about"] == "two, long sentences, on refcocog_google"
    small = read_results(study, tmp_path / study.name, small=True, settings=(), seeds=1, costs={})
    assert {(one.above, one.place) for one in judge_claims(small)} == {(2, "")}  # one layer, on scenes
    assert format_claims(study, small=True) == "2 > 1, 3, 4 by oIoU"
    costs = study.model_dump() | {"recipe": "", "columns": [{"cost": "flops"}], "claims": [{"above": 1, "below": 2}]}
    costs["rows"] = [{"label": "a"}, {"label": "b"}]
    assert len(Study.model_validate(costs).list_claims(small=True)) == 1
    with pytest.raises(ValueError, match="take the place of DATA, but not in 'cmpc_refcoco'"):
        Study.model_validate(study.model_dump() | {"recipe": "cmpc_refcoco"})
    with pytest.raises(ValueError, match="a claim names data 'refcocog'; the columns name refcoco, refcocog_google"):
        claims = (Claim(above=1, below=(2,), data="refcocog"),)
        Study.model_validate(study.model_dump() | {"claims": [claim.model_dump() for claim in claims]})


def test_a_claim_about_one_split_has_its_figures_alone(tmp_path):
    table = STUDIES["cmirnet_table3"].model_dump() | {"claims": [{"above": 8, "below": 1, "split": "testB"}]}
    study = Study.model_validate(table)
    results = read_results(study, tmp_path / study.name, small=False, settings=(), seeds=1, costs={})
    (one,) = judge_claims(results)
    columns = [n for n, column in enumerate(study.columns) if column.split == "testB" and column.metric == "oIoU"]
    (figure,) = (study.rows[7].figures[n] - study.rows[0].figures[n] for n in columns)
    assert one.place == "testB" and one.paper == pytest.approx(figure) and one.columns == (1, 1)
    assert format_claims(study, small=False) == "8 > 1 by oIoU on testB" and not study.list_claims(small=True)


def test_networks_that_answer_nothing_are_told(tmp_path):
    study = STUDIES["eavl_table4"]
    results = read_results(study, tmp_path / study.name, small=True, settings=(), seeds=1, costs={})
    results.rows[1].missed.append(0.4)
    results.rows[2].missed.extend([1.0, 0.6])
    (beware,) = [line for line in list_remarks(results, ()) if line.startswith("Beware")]
    assert f"are empty in the rows {study.rows[1].label}. They have hardly learnt" in beware


def test_a_claim_tells_in_how_many_columns_the_paper_has_it(tmp_path):
    study = STUDIES["eavl_table5"]
    results = read_results(study, tmp_path / study.name, small=False, settings=(), seeds=1, costs={})
    of_hosts = {one.below: one.columns for one in judge_claims(results) if one.about.startswith("the aligner")}
    assert of_hosts == {1: (8, 8), 4: (7, 8), 5: (8, 8)}  # VLT on G-Ref test is the exception


def test_a_study_of_our_own_network_speaks_of_no_paper(tmp_path):
    study = STUDIES["selector_chooser"]
    results = read_results(study, tmp_path / study.name, small=False, settings=(), seeds=1, costs={})
    tables = study_tables(results, judge_claims(results))
    assert tables[0].title == "Selector, ablations of the chooser"
    text = "\n".join(" ".join([table.title, *table.head, *sum(table.lines, [])]) for table in tables)
    assert "paper" not in text and "same sign" not in text and "dropout > 2: words only" in text


def test_a_study_on_drawn_scenes_alone_is_not_told_to_have_none():
    with pytest.raises(InvalidInput, match="selector_chooser is on drawn scenes at full size; leave small=True out"):
        check_small(STUDIES["selector_chooser"])


def test_cmirnets_table_4_is_computed_from_its_table_3_to_the_printed_digit():
    table = STUDIES["cmirnet_table4"]
    assert len(table.rows) == 12
    for row in table.rows:
        below, above = row.tested
        assert round(signed_rank(STUDIES[table.tests], above, below), 6) == row.figures[0], row.label


@pytest.mark.parametrize(
    ("rows", "data"),
    [
        ([("cmpc_table5", 11), ("cmpc_table8", 2)], ""),
        ([("cmpc_table5", 15), ("cmpc_table9", 1)], ""),
        ([("cmpc_table5", 2), ("cmpc_table10", 1)], "refcoco"),
        ([("cmpc_table5", 4), ("cmpc_table10", 2)], "refcoco"),
        ([("cmpc_table6", 5), ("cmpc_table7", 2), ("cmpc_table2", 1)], ""),
        ([("cmpc_table11", 1), ("cmpc_table11", 2), ("cmpc_table1", 1)], "refcoco"),
        (
            [("cmirnet_table3", 8), ("cmirnet_table5a", 2), ("cmirnet_table5b", 1), ("cmirnet_table5c", 1)]
            + [("cmirnet_table6", 3), ("cmirnet_table7", 3), ("cmirnet_table1", 2)],
            "refcoco",
        ),
        ([("cmirnet_table3", 5), ("cmirnet_table5a", 3)], ""),
        ([("cmirnet_table3", 6), ("cmirnet_table5c", 4)], ""),
        ([("cmirnet_table8", 3), ("cmirnet_table1", 3)], "refcoco"),
        ([("cmirnet_table2", 1), ("cmirnet_table2", 4), ("cmirnet_table1", 7)], "refcoco"),
        ([("eavl_table2", 2), ("eavl_table3", 1), ("eavl_table4", 1)], ""),
        ([("eavl_table2", 3), ("eavl_table3", 3)], ""),
        (
            [("dcmfnet_table2", 4), ("dcmfnet_table2", 12), ("dcmfnet_table4", 5), ("dcmfnet_table5", 4)]
            + [("dcmfnet_table6", 3), ("dcmfnet_table1", 2)],
            "refcoco",
        ),
        ([("dcmfnet_table2", 7), ("dcmfnet_table2", 8)], ""),
        ([("dmmi_table3", 7), ("dmmi_table1", 2)], "refcocog_umd"),
        ([("dmmi_table3", 7), ("dmmi_table2", 1)], "refzom"),
    ],
)
def test_rows_that_are_one_training_have_one_key(rows, data):
    assert len({key(name, number, data) for name, number in rows}) == 1


def test_rows_that_differ_have_different_keys():
    for name, different in {"cmpc_table5": 15, "eavl_table2": 7, "cmirnet_table3": 8, "dcmfnet_table2": 10}.items():
        assert len({key(name, number + 1) for number in range(len(STUDIES[name].rows))}) == different
    assert len({key("cmpc_table5", number, small=True) for number in range(1, 16)}) == 13  # no GloVe in small
    study = STUDIES["eavl_table4"]
    assert len({training_key(resolve_recipe(study, study.rows[0], small=True, seed=seed)) for seed in (0, 1)}) == 2


SIZED = [(name, number) for name, s in STUDIES.items() for number, row in enumerate(s.rows, start=1) if row.size]
SOME = [("cmirnet_table3", 1), ("eavl_table4", 4), ("dmmi_table3", 4)]


@pytest.mark.parametrize(
    ("name", "number"), [pytest.param(*one, marks=() if one in SOME else pytest.mark.slow) for one in SIZED]
)
def test_parameters_and_multiply_adds_are_those_that_were_counted(name, number):
    study = STUDIES[name]
    row = study.rows[number - 1]
    recipe = resolve_recipe(study, row, study.data_sets()[0]).with_settings(row.settings if study.scored_only else [])
    assert isinstance(recipe.data, FileData)
    found = count_costs(recipe.network, recipe.config, recipe.data.preprocessing.side)
    assert round(found["parameters"] / 1e6, 2) == pytest.approx(row.size[0], abs=0.001)
    assert round(found["multiply_adds"] / 1e9, 1) == pytest.approx(row.size[1], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if study.is_trained and study.has_small])
def test_every_row_runs_forward_and_backward_in_small(name):
    import torch

    from refseg.batch import Batch

    study = STUDIES[name]
    for row in study.rows:
        if not (row.small or study.small):
            continue
        recipe = resolve_recipe(study, row, small=True)
        network = build(recipe.network, recipe.config, vocabulary_size=30522).train()
        tokens, words = torch.randint(1, 9, (2, 6)), torch.ones(2, 6, dtype=torch.bool)
        truth = torch.zeros(2, 128, 128)
        truth[:, 20:60, 30:90] = 1
        batch = Batch(
            image=torch.randn(2, *network.image_shape((128, 128))),
            tokens=tokens,
            word_mask=words,
            image_of_expression=torch.arange(2),
            targets=torch.ones(2, 1, dtype=torch.bool),
            truth=truth,
            erased=tokens,
        )
        network.loss(batch)["loss"].backward()


@pytest.mark.parametrize(
    ("text", "numbers"), [("", (1, 2, 3, 4)), ("1,3", (1, 3)), ("2-4", (2, 3, 4)), ("4, 1-2", (1, 2, 4))]
)
def test_rows_are_chosen_by_number(text, numbers):
    assert parse_rows(STUDIES["eavl_table4"], text) == numbers


@pytest.mark.parametrize("text", ["0", "5", "3-9", "x", "2-1", "1-", "-1"])
def test_rows_that_are_not_there_are_refused(text):
    with pytest.raises(InvalidInput, match="its rows are 1 to 4"):
        parse_rows(STUDIES["eavl_table4"], text)


def test_an_unknown_study_is_refused_with_those_that_are_near():
    with pytest.raises(InvalidInput, match="did you mean cmirnet_table3"):
        find_study("cmirnet_tabel3")


def test_columns_of_several_data_sets_are_places_of_their_own():
    places = list_scored_splits(STUDIES["dmmi_table3"], small=False)
    assert list(places) == ["refcocog_umd_val", "refzom_test"]
    assert list_scored_splits(STUDIES["cmpc_table11"], small=False)["refcoco_testA"].crf


@pytest.mark.parametrize("name", [f"{paper}_table1" for paper in ("cmpc", "cmirnet", "eavl", "dcmfnet", "dmmi")])
def test_a_main_table_has_the_figures_of_its_recipes(name):
    study = STUDIES[name]
    for row in (row for row in study.rows if not row.settings):
        for column, figure in zip(study.columns, row.figures, strict=True):
            recipe = resolve_recipe(study, row, column.data)
            if recipe is not None:
                assert recipe.about.reports[f"{column.split} {study.find_metric(row, column)}"] == figure


def test_rows_in_small_are_shown_as_they_are_trained_there():
    in_small = settings_table(find_study("eavl_table5"), small=True)
    assert [line[2] for line in in_small.lines[:3]] == ["cris_small", "cris_small_aligner", "not run in small"]
    sized = find_study("cmirnet_table3")
    assert len(settings_table(sized).head) == 5 and len(settings_table(sized, small=True).head) == 3


def test_where_data_lie_makes_no_other_training():
    recipe = find_recipe("lavt_refcoco")
    moved = recipe.with_settings(["data.settings.root=/b", "data.workers=1"])
    assert training_key(recipe.with_settings(["data.settings.root=/a"])) == training_key(moved) == training_key(recipe)
    assert training_key(recipe.with_settings(["data.settings.split_by=google"])) != training_key(recipe)


def test_a_finished_training_tells_which_weights_that_it_started_from_are_newer(tmp_path):
    initial, folder = tmp_path / "words.safetensors", tmp_path / "image"
    folder.mkdir()
    settings = [f"initial.word_encoder={initial}", f"initial.image_encoder={folder}"]
    recipe = find_recipe("lavt_small").with_settings(settings)
    trained = tmp_path / "run" / "weights" / "config.json"
    trained.parent.mkdir(parents=True)
    trained.touch()
    for file in (initial, folder / "config.json"):
        file.touch()
        os.utime(file, (0, 0))
    said = []
    train_row(recipe, tmp_path / "run", 1, no_progress, said.append)
    os.utime(folder / "config.json", (2**32, 2**32))
    train_row(recipe, tmp_path / "run", 1, no_progress, said.append)
    initial.unlink()
    shutil.rmtree(folder)
    train_row(recipe, tmp_path / "run", 1, no_progress, said.append)
    assert said[0] == said[2] == f"is trained ({tmp_path / 'run'})"
    assert said[1].startswith(f"{said[0]}; {folder} changed since then")


@pytest.mark.parametrize(
    ("name", "pairs"), [("lavt_refcoco", 1_696_160), ("cmirnet_refcoco_resnet101", 1_272_120), ("lavt_small", 160_000)]
)
def test_pairs_that_are_seen_are_counted_by_the_published_sizes(name, pairs):
    assert count_pairs(find_recipe(name)) == pairs
    assert count_mean_pairs([find_recipe(name), find_recipe(name)]) == pairs
    assert count_mean_pairs([find_recipe(name), find_recipe("lavt_refzom")]) is None


def test_a_setting_of_all_rows_that_a_row_sets_itself_is_refused():
    study = find_study("eavl_table2")
    for setting in ("config.aligner.queries=3", "config.aligner.queries.x=3"):
        with pytest.raises(InvalidInput, match="sets it itself"):
            resolve_recipe(study, study.rows[0], "", True, [setting])
    assert resolve_recipe(study, study.rows[0], "", True, ["stages.learn.steps=3"]).stages[0].steps == 3


def test_one_folder_is_not_taken_for_several_data_sets(tmp_path, monkeypatch):
    monkeypatch.delenv(DATA_FOLDER_VARIABLE, raising=False)
    root = f"data.settings.root={tmp_path}"
    with pytest.raises(InvalidInput, match=r"one folder, and these rows need refclef, refcoco, refcoco\+, refcocog"):
        run_study("cmirnet_table1", tmp_path / "out", settings=[root])
    with pytest.raises(MissingFile, match=r"where jhmdb_sentences is; set REFSEG_DATA"):
        run_study("cmpc_table3", tmp_path / "out", settings=[root])
    with pytest.raises(InvalidInput, match=r"no recipe for these rows; rows 1, 2, 4, 5, 6, 7, 8 have"):
        run_study("eavl_table5", tmp_path / "out", small=True, rows="3")
    assert not (tmp_path / "out").exists()
