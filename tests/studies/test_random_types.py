"""CMPC's Table 11 in small: one training, whose words get random types when it answers."""

import shutil

import pytest

from refseg.evaluation.report import html_page
from refseg.evaluation.rows import ROWS, read_rows
from refseg.studies import resolve
from refseg.studies.results import row_folder
from refseg.studies.run import run_study
from refseg.studies.score_row import SCORES_FOLDER
from refseg.studies.trainings import TRAININGS_FOLDER

SETTINGS = [
    "data.scenes=4",
    "stages.learn.steps=1",
    "stages.learn.images=1",
    "stages.learn.expressions_per_image=2",
    "stages.learn.validate_every=1",
    "data.validation_scenes=1",
    "data.calibration_scenes=1",
]


def answers(out):
    results = run_study("cmpc_table11", out, small=True, device="cpu", settings=SETTINGS, on_message=lambda line: None)
    folders = [row_folder(out / "cmpc_table11", results.study, number, "test", 0, True) for number in (1, 2)]
    return [[answer.exists for answer in read_rows(folder / ROWS)] for folder in folders]


@pytest.fixture(autouse=True)
def two_scenes(monkeypatch):
    monkeypatch.setattr(resolve, "SMALL_COUNT", 2)
    monkeypatch.setattr(html_page, "can_plot", lambda: False)


@pytest.mark.slow
def test_rows_share_a_training_and_random_types_are_the_same_when_they_are_scored_again(tmp_path):
    random, predicted = answers(tmp_path)
    (training,) = (tmp_path / TRAININGS_FOLDER).iterdir()
    assert random != predicted
    shutil.rmtree(training / SCORES_FOLDER)
    assert answers(tmp_path) == [random, predicted]
