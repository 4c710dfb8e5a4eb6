"""A study on tiny networks: it runs, is stopped, goes on, and prints the same table."""

import json
import os
import shutil
import signal
import threading
from dataclasses import replace
from statistics import stdev

import pytest

from refseg.errors import InvalidInput, RefsegError, UnwritableOutput
from refseg.evaluation.report import html_page
from refseg.progress import no_progress
from refseg.recipes import find_recipe
from refseg.studies import find_study, resolve, tables, trainings
from refseg.studies import run as run_module
from refseg.studies.claims import judge_claims
from refseg.studies.plot import draw_plot
from refseg.studies.results import RowFigures, row_folder
from refseg.studies.run import run_study
from refseg.studies.study import Claim, Row, Study

SETTINGS = [
    "data.scenes=8",
    "stages.learn.steps=2",
    "stages.learn.images=1",
    "stages.learn.expressions_per_image=2",
    "stages.learn.validate_every=2",
    "data.validation_scenes=1",
    "data.calibration_scenes=1",
]
ROWS = "expressions.jsonl"


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolve, "SMALL_COUNT", 2)
        patch.setattr(html_page, "can_plot", lambda: False)  # of the reports of each row, which are tested elsewhere
        yield


def run(out, rows="1,2", **settings):
    said = []
    results = run_study(
        "eavl_table4", out, small=True, rows=rows, device="cpu", settings=SETTINGS, on_message=said.append, **settings
    )
    return results, said


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return out, *run(out)


def written(out, name="eavl_table4"):
    """What is written but for the minutes."""
    found = json.loads((out / name / "study.json").read_text())
    for cost in found["costs"].values():
        assert cost.pop("seconds") > 0
    return found


def test_rows_are_trained_scored_and_compared(whole):
    out, results, said = whole
    assert [bool(results.rows[n].values) for n in (1, 2, 3, 4)] == [True, True, False, False]
    done = [line for line in said if "trainings done" in line]
    assert [line.partition(": ")[2].partition(" trainings")[0] for line in done] == ["0 of 2", "1 of 2", "2 of 2"]
    assert ["others take about" in line for line in done] == [False, True, False]
    found = written(out)
    assert [one["verdict"] for one in found["claims"]][1:] == ["not run", "not run"]
    assert found["claims"][0]["paper"] == pytest.approx(64.85 - 63.19) and found["claims"][0]["p_value"] is not None
    assert found["rows"][0]["paper"]["mIoU"] == 64.85 and found["rows"][2]["values"] == {}
    assert set(found["costs"]) == {"1", "2"} and found["costs"]["1"]["pairs"] == 4
    for file in ("study.md", "study.html"):
        text = (out / "eavl_table4" / file).read_text()
        assert "sign of a difference may be compared, its size may not" in text and "1 seed" in text
        assert f"all rows {' '.join(SETTINGS)}" in text
    assert "<svg" in text and "paper (photographs)" in text
    lines = [row_folder(out / "eavl_table4", results.study, n, "test", 0, True) / ROWS for n in (1, 2)]
    assert all(file.is_file() for file in lines)


def fake_answers(results, folder):
    """Writes files of answers that are all right, and all wrong."""
    right, wrong = (folder / name for name in ("right", "wrong"))
    lines = (row_folder(results.folder, results.study, 1, "test", 0, True) / ROWS).read_text().splitlines()
    for file, is_right in ((right, True), (wrong, False)):
        rows = [json.loads(line) for line in lines]
        for score in (row["scores"]["standard"] for row in rows):
            score |= {"intersection": score["union"] * is_right, "iou": float(is_right)}
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return right, wrong


def test_a_claim_is_about_the_seeds_that_all_splits_have_or_about_one_data_set(whole, tmp_path):
    right, wrong = fake_answers(whole[1], tmp_path)
    study = Study(
        name="two",
        table="two data sets",
        recipe="lavt_DATA",
        columns=[{"metric": "mIoU", "data": data} for data in ("refcoco", "refcoco+")],
        rows=(Row(label="a"), Row(label="b")),
        claims=(Claim(above=1, below=(2,)), Claim(above=1, below=(2,), data="refcoco+")),
    )
    results = replace(whole[1], study=study, folder=tmp_path, small=False, seeds=3, rows={1: None, 2: None})
    better = {"refcoco_val": (True, True, False), "refcoco+_val": (True, False)}  # row 1, by seed; one is not run
    for split, of_seeds in better.items():
        for seed, first in enumerate(of_seeds):
            for number, file in ((1, right if first else wrong), (2, wrong if first else right)):
                folder = row_folder(tmp_path, study, number, split, seed, False)
                folder.mkdir(parents=True)
                shutil.copy(file, folder / ROWS)
    both, one = judge_claims(results)
    assert (both.seeds, both.splits, both.ours) == ((1, 2), (1, 2), pytest.approx(0.5))
    assert (one.place, one.seeds, one.splits, one.ours) == ("refcoco+", (1, 2), (0, 1), pytest.approx(0))
    assert judge_claims(replace(results, seeds=1))[0].ours == pytest.approx(1)


def test_a_claim_tells_how_many_seeds_agree(whole, tmp_path):
    out, results, _ = whole
    right, wrong = fake_answers(results, tmp_path)
    faked = replace(
        results, folder=tmp_path, seeds=3, rows={n: RowFigures(dict(row.values)) for n, row in results.rows.items()}
    )
    for seed, of_rows in enumerate(((right, wrong), (wrong, right), (right, wrong))):
        for number, file in enumerate(of_rows, start=1):
            folder = row_folder(tmp_path, results.study, number, "test", seed, True)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / ROWS)
    claim = next(claim for claim in judge_claims(faked) if claim.verdict != "not run")
    assert (claim.above, claim.below, claim.seeds) == (1, 2, (2, 3)) and claim.ours == pytest.approx(1 / 3)
    assert claim.verdict == "undecided" and claim.interval[0] > 0
    assert claim.splits == (1, 1) and claim.spread == pytest.approx(stdev([1, -1, 1]))
    first = next(claim for claim in judge_claims(replace(faked, seeds=1)) if claim.verdict != "not run")
    assert first.verdict == "holds" and first.seeds == (1, 1)
    tested = Study(
        name="x", network="cmirnet", table="T", rows=(Row(label="a", tested=(2, 1), figures=(0.1, 0.1)),)
    )  # of row 1 above row 2
    (line,) = tables.tests_table(tested, faked, judge_claims(faked)[:1]).lines
    assert line[4] == "+33.33 ± 115.47" and line[6] == "2 of 3"
    faked.rows[1].values["mIoU"] = [0.25, 0.5, 0.75]
    drawn = draw_plot(faked)
    assert "lowest seed to the highest" in drawn and drawn.count('stroke="black"') == 1 and ">50.0<" in drawn


class Killed(BaseException):
    """As an end that nothing foresees."""


def test_a_study_that_is_killed_goes_on_and_writes_the_same_tables(whole, tmp_path):
    from contextlib import contextmanager

    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "eavl_table4")  # the first row is trained and the second one is not begun
    shutil.rmtree(tmp_path / "trainings" / f"eavl_small-{whole[1].rows[2].costs.keys[0]}")
    left = 2  # steps until the end

    @contextmanager
    def progress(total, rank=0, of="images", done=0):
        def advance(steps, note=""):
            nonlocal left
            if of.startswith("steps of"):
                left -= 1
                if left == 0:
                    raise Killed

        yield advance

    with pytest.raises(Killed):
        run(tmp_path, progress=progress)
    assert written(tmp_path)["rows"][1]["values"] == {}
    _, said = run(tmp_path)
    assert any("is trained (" in line for line in said) and any("goes on in" in line for line in said)
    assert written(tmp_path) == written(whole[0])


def test_a_finished_study_trains_nothing_again_and_others_share_its_rows(whole):
    out, _, _ = whole
    before = written(out)
    _, said = run(out)
    assert written(out) == before
    assert "each training is scored on" in said[0] and said[1] == "eavl_table4: 2 of 2 trainings done"
    assert len(said) == 4 and all("is trained (" in line for line in said[2:])
    trainings = set((out / "trainings").iterdir())
    run_study("eavl_table3", out, small=True, rows="1", device="cpu", settings=SETTINGS, on_message=lambda line: None)
    assert len(set((out / "trainings").iterdir()) - trainings) <= 1


def test_figures_of_a_recipe_that_has_changed_are_left_out(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    file = tmp_path / "eavl_table4" / "study.json"
    noted = json.loads(file.read_text())
    noted["costs"]["1"]["keys"].append("0" * 12)
    file.write_text(json.dumps(noted))
    (noted["costs"]["2"]["key"],) = noted["costs"]["2"].pop("keys")  # as an earlier version noted it
    file.write_text(json.dumps(noted))
    results, said = run(tmp_path, rows="2")
    assert results.rows[1].values == {} and results.rows[2].values
    assert [line.partition(":")[0] for line in said if "has changed" in line] == ["eavl_table4, row F_tg, F_vg, MQE"]


def test_other_settings_are_refused_in_the_same_folder(whole):
    out, _, _ = whole
    with pytest.raises(UnwritableOutput, match=r"holds this study with other settings: now with .*another place"):
        run_study("eavl_table4", out, small=True, settings=[*SETTINGS, "stages.learn.flip=0"])


def test_what_cannot_be_run_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InvalidInput, match="no rows on drawn scenes"):
        run_study("eavl_table6", tmp_path / "out", small=True)
    with pytest.raises(InvalidInput, match="aligner.querys: unknown field"):
        run_study("eavl_table4", tmp_path / "out", small=True, settings=["config.aligner.querys=4"])
    assert not (tmp_path / "out").exists()


def test_a_table_of_tests_trains_the_rows_that_it_tests_and_takes_all_seeds_that_are_there(tmp_path):
    def table(**given):
        return run_study(
            "cmirnet_table4",
            tmp_path,
            small=True,
            device="cpu",
            settings=SETTINGS,
            on_message=lambda line: None,
            **given,
        )

    table(rows="1", seeds=2)
    trained = {folder.name[:2] for folder in (tmp_path / "cmirnet_table3" / "rows").iterdir()}
    assert trained == {f"{number:02}" for number in find_study("cmirnet_table4").rows[0].tested}
    noted = json.loads((tmp_path / "cmirnet_table3" / "study.json").read_text())
    assert [len(cost["keys"]) for cost in noted["costs"].values()] == [2, 2]  # of both seeds
    assert table(rows="1").seeds == 2


def test_a_training_that_fails_does_not_keep_the_others_from_running(tmp_path, monkeypatch):
    train_row = run_module.train_row

    def fail_first(recipe, *given):
        if recipe.config:
            return train_row(recipe, *given)
        raise RefsegError("loss is not finite")

    monkeypatch.setattr(run_module, "train_row", fail_first)
    said = []
    with pytest.raises(RefsegError, match=r"1 of 2 trainings or their scoring failed.*same command tries again"):
        run_study(
            "eavl_table4", tmp_path, small=True, rows="1,4", device="cpu", settings=SETTINGS, on_message=said.append
        )
    assert any(line.endswith("loss is not finite") for line in said)
    assert len(list((tmp_path / "eavl_table4" / "rows").iterdir())) == 1


def test_a_training_on_several_devices_may_save_its_state_when_the_study_is_stopped(tmp_path, monkeypatch):
    program = tmp_path / "python"
    saved = tmp_path / "saved"
    program.write_text(f"#!/bin/sh\ntrap 'sleep 1; touch {saved}; exit 143' TERM\nwhile true; do sleep 0.1; done\n")
    program.chmod(0o755)
    monkeypatch.setattr(trainings.sys, "executable", str(program))
    recipe = find_recipe("eavl_small")
    run = tmp_path / "trainings" / "run"
    run.parent.mkdir()
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(KeyboardInterrupt, match="its state is saved"):
        trainings.train_row(recipe, run, 2, no_progress, lambda line: None)
    assert saved.is_file()
