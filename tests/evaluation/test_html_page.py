import re

import numpy as np
import pytest

from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.evaluation.answers import answer
from refseg.evaluation.report.html_page import page
from refseg.evaluation.report.report import build_report
from refseg.evaluation.report.worst_examples import examples, worst
from refseg.evaluation.rows import rows_of
from refseg.evaluation.scoring import STANDARD

ABOUT = {"dataset": "drawn_scenes", "split": "val", "answers": "<first> & best"}


@pytest.fixture(scope="module")
def scenes():
    return DrawnScenes("val", count=6)


@pytest.fixture(scope="module")
def answers(checkpoint_folder, scenes):
    return list(answer(load_checkpoint(checkpoint_folder), scenes))


@pytest.fixture(scope="module")
def pictures(answers, scenes):
    empty = np.zeros((128, 128), bool)
    return examples(worst(answers, most=2), answers, scenes, lambda scene: [empty] * len(scene.expressions))


@pytest.fixture(scope="module")
def html(answers, pictures):
    return page(build_report(answers, [STANDARD], ABOUT), rows_of(answers), pictures)


def test_the_worst_of_each_kind_are_chosen_and_none_that_is_right(answers):
    chosen = worst(answers, most=2)
    rows = {(image.index, i): row for image in answers for i, row in enumerate(image.rows)}
    kinds = [rows[one].error for one in chosen]
    wrong = {row.error for row in rows.values()} - {"correct"}
    assert set(kinds) == wrong and all(kinds.count(kind) <= 2 for kind in wrong)
    for (index, i), kind in zip(chosen, kinds, strict=True):
        of_image = [row.scores["standard"].iou for row in answers[index].rows if row.error == kind]
        assert rows[index, i].scores["standard"].iou == min(of_image)


def test_the_page_needs_no_other_file(html):
    assert not re.findall(r'(?:src|href)="(?!data:)', html) and "<script" not in html and "@import" not in html


def test_what_users_wrote_is_escaped(html):
    assert "&lt;first&gt; &amp; best" in html and "<first>" not in html


def test_every_example_shows_truth_and_answer(html, pictures):
    assert html.count("<figure>") == len(pictures) > 0
    assert html.count("data:image/jpeg;base64,") == 2 * len(pictures)
    assert all(example.truth != example.answer for example in pictures if example.row.has_target)


def test_there_are_plots_where_matplotlib_is(html):
    pytest.importorskip("matplotlib")
    assert html.count("data:image/svg+xml;base64,") == 4


def test_without_matplotlib_the_page_says_what_is_missing(answers, monkeypatch):
    monkeypatch.setattr("refseg.evaluation.report.plots.find_spec", lambda name: None)
    assert "refseg[plot]" in page(build_report(answers, [STANDARD], ABOUT), rows_of(answers), [])


def test_every_element_is_closed(html):
    opened = re.findall(r"<(div|table|tr|td|th|figure|details|section|main|header)\b", html)
    assert all(opened.count(name) == html.count(f"</{name}>") for name in set(opened))
