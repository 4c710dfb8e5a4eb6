import io
import json

import pytest
from rich.console import Console

from refseg.checkpoints import load_checkpoint
from refseg.datasets.drawn_scenes import DrawnScenes
from refseg.evaluation.report import evaluate
from refseg.protocols.standard import Standard

ABOUT = {"dataset": "drawn_scenes", "split": "val", "weights": {"name": "first", "sha256": "0" * 64}, "seed": 0}


@pytest.fixture(scope="module")
def evaluated(checkpoint_folder):
    return evaluate(load_checkpoint(checkpoint_folder), DrawnScenes("val", count=4), Standard(), ABOUT, shortcuts=True)


def test_a_number_travels_with_its_protocol_and_counts(evaluated):
    report, rows = evaluated
    assert report.about["protocol"] == "standard" and report.about["images"] == 4
    assert report.about["expressions"] == len(rows)
    assert report.about["no_target"] == sum(not row.has_target for row in rows)


def test_what_is_written_reads_back_unrounded(evaluated, tmp_path):
    report, rows = evaluated
    report.write(tmp_path, rows)
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["metrics"] == report.metrics and stored["about"] == report.about
    lines = [json.loads(line) for line in (tmp_path / "expressions.jsonl").read_text().splitlines()]
    assert [line["intersection"] for line in lines] == [row.intersection for row in rows]


def test_n_acc_is_never_printed_without_t_acc(evaluated):
    for _, head, _ in evaluated[0].sections():
        assert "N-acc" not in head or "T-acc" in head


def test_markdown_tables_are_rectangular(evaluated):
    report, _ = evaluated
    for title, head, lines in report.sections():
        assert all(len(line) == len(head) for line in lines), title
    assert f"| all | {report.about['expressions']} |" in report.markdown()


def test_the_tables_fit_into_eighty_columns(evaluated):
    screen = io.StringIO()
    evaluated[0].print(Console(file=screen, width=80))
    assert "…" not in screen.getvalue()
