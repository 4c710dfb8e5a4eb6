import pytest

from refseg.evaluation.answers import FoundInImage, Row
from refseg.evaluation.breakdown import breakdowns, finder_report, perfect_choice, wrong_answers
from refseg.protocols.standard import Standard


def row(intersection, union, has_target=True, predicted_empty=False, **known):
    fields = {"image_id": "a", "expression": "x", "type": "", "kind": "", "part": "", "size": "", **known}
    return Row(
        **fields,
        intersection=intersection,
        union=union,
        has_target=has_target,
        predicted_empty=predicted_empty,
        exists=None,
        seconds=0.0,
    )


def test_every_group_is_scored_by_itself():
    rows = [row(1, 2, type="plural"), row(3, 3, type="location"), row(0, 5, False, type="location")]
    by_type = breakdowns(rows, Standard())["type"]
    assert by_type["plural"]["mIoU"] == 0.5 and by_type["location"]["mIoU"] == 1 and by_type["location"]["N-acc"] == 0
    assert by_type["location"]["expressions"] == 2 and by_type["location"]["no_target"] == 1


def test_what_is_unknown_has_no_table():
    assert set(breakdowns([row(1, 2, size="small")], Standard())) == {"size"}


def test_sizes_come_in_their_own_order():
    rows = [row(1, 2, size=size) for size in ("mixed", "large", "small", "medium")]
    assert list(breakdowns(rows, Standard())["size"]) == ["small", "medium", "large", "mixed"]


def test_a_group_without_targets_has_no_iou():
    assert "oIoU" not in breakdowns([row(0, 0, False, True, type="plural")], Standard())["type"]["plural"]


def test_causes_share_the_wrong_answers_alone():
    rows = [
        row(9, 10, cause="choice"),
        row(1, 10, cause="missed"),
        row(6, 10, cause="mask"),
        row(0, 5, has_target=False, cause="choice"),
        row(0, 0, has_target=False, predicted_empty=True, cause="mask"),
    ]
    table = wrong_answers(rows)
    assert table["IoU below 0.5"] == {"expressions": 5, "wrong": 2, "missed": 0.5, "choice": 0.5, "mask": 0}
    assert table["IoU below 0.9"]["wrong"] == 3


def test_a_perfect_choice_is_scored_on_targets_only():
    rows = [row(0, 10, perfect=(8, 10)), row(0, 7, has_target=False, perfect=(0, 0))]
    assert perfect_choice(rows, Standard())["oIoU"] == 0.8


def test_missed_objects_lower_recall_and_spare_ones_precision():
    report = finder_report([FoundInImage("a", 4, 5, (1.0, 0.5, 0.5, 0.0), 1)])
    assert report["recall"] == 0.75 and report["precision"] == pytest.approx(0.6) and report["mean IoU"] == 0.5


def test_nothing_found_has_no_precision():
    assert "precision" not in finder_report([FoundInImage("a", 1, 0, (0.0,), 1)])
