"""The reader on the true objects of drawn scenes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from reader import drawn_scenes  # noqa: E402


@pytest.mark.parametrize("tier", ["base", "hard"])
def test_nearly_every_sentence_about_drawn_scenes_is_right(tier):
    judged = list(drawn_scenes(tier, 8, "val"))
    wrong = [(sentence, str(answer.query)) for _, sentence, right, answer in judged if not right]
    assert len(judged) > 150
    assert len(wrong) <= 1, wrong
