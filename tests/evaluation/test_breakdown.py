import pytest

from refseg.evaluation.report.breakdown import (
    breakdowns,
    errors_by_type,
    finder_report,
    kinds_of_errors,
    perfect_choice,
    wrong_answers,
)
from refseg.evaluation.rows import FoundInImage, Row, Score
from refseg.evaluation.scoring import STANDARD


def row(intersection, union, referents=1, **known):
    iou = intersection / union if union else 1.0
    score = Score(intersection, union, intersection > 0 or (union > 0 and referents == 0), iou)
    fields = {"id": "a/0", "image_id": "a", "expression": "x", "type": "", "kind": "", "part": "", "size": ""}
    return Row(
        **{**fields, "error": "", **known},
        referents=referents,
        exists=None,
        seconds=0.0,
        scores={"standard": score},
    )


def test_every_group_is_scored_by_itself():
    rows = [row(1, 2, type="plural"), row(3, 3, type="location"), row(0, 5, 0, type="location")]
    by_type = breakdowns(rows, STANDARD)["type"]
    assert by_type["plural"]["mIoU"] == 0.5 and by_type["location"]["mIoU"] == 1 and by_type["location"]["N-acc"] == 0
    assert by_type["location"]["expressions"] == 2 and by_type["location"]["no_target"] == 1


def test_what_is_unknown_has_no_table():
    assert set(breakdowns([row(1, 2, size="small")], STANDARD)) == {"size", "length", "referents"}


@pytest.mark.parametrize(
    "sizes", [["small", "medium", "large", "mixed"], ["under 1 %", "1 to 5 %", "5 to 20 %", "over 20 %"]]
)
def test_sizes_come_in_their_own_order(sizes):
    rows = [row(1, 2, size=size) for size in sorted(sizes)]
    assert list(breakdowns(rows, STANDARD)["size"]) == sizes


def test_expressions_are_grouped_by_the_number_of_their_referents():
    rows = [row(1, 2, count) for count in (7, 2, 3, 1, 0)]
    table = breakdowns(rows, STANDARD)["referents"]
    assert {name: line["expressions"] for name, line in table.items()} == {
        "none": 1,
        "one": 1,
        "two": 1,
        "three or more": 2,
    }


def test_a_group_without_targets_has_no_iou():
    assert "oIoU" not in breakdowns([row(0, 0, 0, type="plural")], STANDARD)["type"]["plural"]


def test_kinds_of_error_share_all_expressions():
    rows = [row(9, 10, error="correct", type="plural"), row(1, 10, error="part missing", type="ordinal")]
    table = kinds_of_errors(rows)
    assert table["part missing"] == {"expressions": 1, "share": 0.5, "mean IoU": 0.1}
    assert sum(line["share"] for line in table.values()) == 1
    assert errors_by_type(rows)["part missing"] == {"ordinal": 1, "plural": 0}


def test_causes_share_the_wrong_answers_alone():
    rows = [
        row(9, 10, cause="choice"),
        row(1, 10, cause="missed"),
        row(6, 10, cause="mask"),
        row(0, 5, 0, cause="choice"),
        row(0, 0, 0, cause="mask"),
    ]
    table = wrong_answers(rows)
    assert table["IoU below 0.5"] == {"expressions": 5, "wrong": 2, "missed": 0.5, "choice": 0.5, "mask": 0}
    assert table["IoU below 0.9"]["wrong"] == 3


def test_a_perfect_choice_is_scored_on_targets_only():
    assert perfect_choice([row(0, 10, perfect=(8, 10)), row(0, 7, 0, perfect=(0, 0))])["oIoU"] == 0.8


def test_missed_objects_lower_recall_and_spare_ones_precision():
    report = finder_report([FoundInImage(4, 5, (1.0, 0.5, 0.5, 0.0), 1)])
    assert report["recall"] == 0.75 and report["precision"] == pytest.approx(0.6) and report["mean IoU"] == 0.5


def test_nothing_found_has_no_precision():
    assert "precision" not in finder_report([FoundInImage(1, 0, (0.0,), 1)])
