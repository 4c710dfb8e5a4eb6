import dataclasses
import io
import json
import math
from typing import get_args

import pytest
from rich.console import Console

from refseg import protocols
from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.evaluation.evaluate import evaluate, evaluate_samples
from refseg.evaluation.report.caveats import find_caveats
from refseg.evaluation.report.report import build_report
from refseg.evaluation.rows import ImageAnswers, read_rows
from refseg.evaluation.scoring import STANDARD
from refseg.preprocessing.transform import Preprocessing

ABOUT = {"dataset": "drawn_scenes", "split": "val", "answers": "first", "weights": {"sha256": "0" * 64}, "seed": 0}
PROTOCOLS = [protocols.build("lavt"), protocols.build("rela"), STANDARD]


@pytest.fixture(scope="module")
def checkpoint(checkpoint_folder):
    return load_checkpoint(checkpoint_folder)


@pytest.fixture(scope="module")
def evaluated(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated")
    return evaluate(checkpoint, DrawnScenes("val", count=4), out=out, shortcuts=True), read_rows(out)


@pytest.fixture(scope="module")
def by_three(checkpoint):
    return evaluate_samples(checkpoint, DrawnScenes("val", count=2), PROTOCOLS, ABOUT)


def test_a_number_travels_with_its_protocols_and_counts(evaluated):
    report, rows = evaluated
    assert list(report.about["protocols"]) == list(report.metrics) == ["standard"] and report.about["images"] == 4
    assert report.about["expressions"] == len(rows)
    assert report.about["no_target"] == sum(not row.has_target for row in rows)


def test_the_protocol_that_was_asked_for_first_leads_and_standard_is_always_there(by_three, checkpoint):
    assert list(by_three.metrics) == ["lavt", "rela", "standard"] and by_three.first == "lavt"
    report = evaluate_samples(checkpoint, DrawnScenes("val", count=1), [protocols.build("cris")], ABOUT)
    assert list(report.metrics) == ["cris", "standard"]


def test_texts_of_data_print_without_terminal_sequences(evaluated):
    _, rows = evaluated
    wild = [dataclasses.replace(row, type="a\x1b[2J", kind="k\x1b]0;t\x07", part="p\nq") for row in rows]
    report = build_report([ImageAnswers(0, wild)], [STANDARD], ABOUT | {"answers": "mine\x1b[31m"})
    report.cautions.append("masks of 7\x1b[2J are left out.")
    printed = io.StringIO()
    report.print(Console(file=printed, width=200))
    report.print_result(Console(file=printed, width=200))
    assert not {letter for letter in printed.getvalue() if not letter.isprintable()} - {"\n"}
    assert r"a\x1b[2J" in printed.getvalue() and r"p\nq" in printed.getvalue()
    assert "\x1b" not in report.markdown()


def test_figures_are_printed_as_their_releases_do(by_three):
    printed = by_three.printed_by_releases()
    assert printed["lavt"] == f"oIoU {100 * by_three.metrics['lavt']['oIoU']:.2f} %, " + printed["lavt"].split(", ")[1]
    assert f"N-acc {by_three.metrics['rela']['N-acc']:.2f}, " in printed["rela"]


def test_what_is_written_reads_back_unrounded(evaluated, tmp_path):
    report, _ = evaluated
    report.write(tmp_path)
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["metrics"] == report.metrics and stored["about"]["seed"] == 0
    assert stored["risk_coverage"]["area"] == report.risk_coverage.area


def test_what_is_not_a_number_is_null_in_json(evaluated, tmp_path):
    report = dataclasses.replace(
        evaluated[0], metrics={"standard": {**evaluated[0].metrics["standard"], "x": math.nan}}
    )
    report.write(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["metrics"]["standard"]["x"] is None


def test_n_acc_is_never_printed_without_t_acc(evaluated, by_three):
    for report in (evaluated[0], by_three):
        for _, head, _ in report.sections():
            assert "N-acc" not in head or "T-acc" in head


def test_markdown_tables_are_rectangular(evaluated):
    report, _ = evaluated
    for title, head, lines in report.sections():
        assert lines and all(len(line) == len(head) for line in lines), title
    assert f"| all | {report.finder['objects']} |" in report.markdown()


@pytest.mark.parametrize("width", [80, 50])
def test_no_table_cuts_a_name_or_a_figure_in_a_narrow_terminal(evaluated, width):
    report, screen, wide = evaluated[0], io.StringIO(), io.StringIO()
    report.print(Console(file=screen, width=width))
    report.print(Console(file=wide, width=300))
    assert "…" not in screen.getvalue() and set(wide.getvalue().split()) == set(screen.getvalue().split())


def test_a_summary_of_nothing_but_rows_needs_no_checkpoint(evaluated):
    _, rows = evaluated
    without = [dataclasses.replace(row, exists=None) for row in rows]
    report = build_report([ImageAnswers(0, without)], [STANDARD], ABOUT)
    assert report.risk_coverage is None and report.metrics == evaluated[0].metrics


def test_few_images_are_told(evaluated, checkpoint):
    assert any("4 images: too few" in line for line in evaluated[0].cautions)


def answers_of(evaluated, unfamiliar=None, **changes):
    rows = [dataclasses.replace(row, **changes) for row in evaluated[1]]
    return [ImageAnswers(0, rows, unfamiliar)]


def test_weights_that_do_not_know_such_images_are_told_first(evaluated, checkpoint):
    said = find_caveats(answers_of(evaluated, unfamiliar=True), [STANDARD], checkpoint)
    assert "100 % of these images" in said[0] and "drawn scenes only" in said[0]
    assert not any(
        "unlike" in line for line in find_caveats(answers_of(evaluated, unfamiliar=False), [STANDARD], checkpoint)
    )


@pytest.mark.parametrize(("share", "told"), [(1, True), (0.6, True), (0.4, False)])
def test_answers_that_are_mostly_empty_are_told(evaluated, checkpoint, share, told):
    rows = evaluated[1]
    meant = [row for row in rows if row.has_target]
    missed = {row.id + row.image_id for row in meant[: round(share * len(meant))]}
    rows = [answered(row, row.id + row.image_id not in missed) for row in rows]
    for weights, advice in ((checkpoint, "refseg calibrate"), (None, "masks of this data set")):
        said = [line for line in find_caveats([ImageAnswers(0, rows)], [STANDARD], weights) if "are empty" in line]
        assert bool(said) == told and all(advice in line and "N-acc" in line for line in said)
    (line,) = find_caveats([ImageAnswers(0, [answered(row, False) for row in meant])], [STANDARD])[:1]
    assert "100 % of the answers about what is there are empty. Check" in line
    none = [row for row in rows if not row.has_target]
    assert not any("are empty" in line for line in find_caveats([ImageAnswers(0, none)], [STANDARD]))


def answered(row, has_prediction):
    return dataclasses.replace(
        row, scores={"standard": dataclasses.replace(row.scores["standard"], has_prediction=has_prediction)}
    )


def test_words_that_are_unknown_or_cut_off_are_told(evaluated, checkpoint):
    assert any(
        "never seen" in line
        for line in find_caveats(answers_of(evaluated, expression="a zebra"), [STANDARD], checkpoint)
    )
    long = answers_of(evaluated, expression="red " * 40)
    assert any("lost their end" in line for line in find_caveats(long, [STANDARD], checkpoint))


def test_another_input_than_the_releases_is_told_with_the_protocols_that_it_concerns(evaluated, checkpoint):
    (line,) = [line for line in find_caveats(answers_of(evaluated), PROTOCOLS, checkpoint) if "network sees" in line]
    assert "lavt, rela: a squashed square of 480 x 480" in line and "standard" not in line
    preprocessing = checkpoint.preprocessing.replace(resize="square", side=480)
    fitting = dataclasses.replace(checkpoint, preprocessing=preprocessing)
    assert not any("network sees" in line for line in find_caveats(answers_of(evaluated), PROTOCOLS, fitting))


def test_protocols_made_for_expressions_with_a_referent_are_told_where_some_have_none(evaluated, checkpoint):
    (line,) = [
        line for line in find_caveats(answers_of(evaluated), PROTOCOLS, checkpoint) if "refer to nothing" in line
    ]
    assert "lavt" in line and "rela" not in line


@pytest.mark.parametrize("resize", get_args(Preprocessing.model_fields["resize"].annotation))
def test_what_a_network_sees_is_said_whatever_it_is(checkpoint, evaluated, resize):
    other = dataclasses.replace(checkpoint, preprocessing=Preprocessing(resize=resize))
    caveats = " ".join(find_caveats(answers_of(evaluated), [protocols.build("lavt")], other))
    assert "The network sees" in caveats and ("(side " in caveats) == (resize != "none")
