import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from refseg import metrics, protocols
from refseg.errors import InvalidInput
from refseg.evaluation.comparison import compare, paired, wilcoxon
from refseg.evaluation.report.breakdown import breakdowns
from refseg.evaluation.rows import Row, Score, counts_of, read_rows
from refseg.evaluation.scoring import STANDARD


def rows(ious, protocol="standard"):
    """Two expressions an image, unions of 100 pixels."""
    return [
        Row(
            id=f"{i}",
            image_id=f"image {i // 2}",
            expression=f"expression {i}",
            type="plural" if i % 3 else "ordinal",
            kind="",
            part="",
            size="",
            referents=1,
            exists=None,
            seconds=0.0,
            error="",
            scores={protocol: Score(round(100 * iou), 100, iou > 0, round(100 * iou) / 100)},
        )
        for i, iou in enumerate(ious)
    ]


LAVT = protocols.build("lavt")
RANDOM = np.random.default_rng(0)
GOOD = RANDOM.uniform(0.4, 1.0, 60)
WORSE = GOOD - RANDOM.uniform(0.0, 0.4, 60)


@given(st.lists(st.integers(-20, 20).filter(bool), min_size=26, max_size=80))
def test_the_signed_rank_test_of_many_pairs_is_scipys_approximation(differences):
    values = np.array(differences) / 7
    expected = stats.wilcoxon(values, zero_method="wilcox", correction=False, method="asymptotic").pvalue
    assert wilcoxon(values) == pytest.approx(expected)


@given(st.lists(st.integers(-90, 90).filter(bool), min_size=1, max_size=25, unique_by=abs), st.integers(0, 3))
def test_the_signed_rank_test_of_few_pairs_is_exact(differences, zeros):
    expected = stats.wilcoxon(np.array(differences), method="exact").pvalue
    assert wilcoxon([*differences, *[0] * zeros]) == pytest.approx(expected)


def test_a_system_does_not_differ_from_itself():
    same = compare(rows(GOOD), rows(GOOD), STANDARD)
    assert same.p_value == 1 and same.better == same.worse == 0
    assert all(d.a == d.b and d.interval in (None, (0, 0)) for d in same.metrics.values())


def test_a_clearly_better_system_is_found_so():
    found = compare(rows(WORSE), rows(GOOD), STANDARD)
    low, high = found.metrics["mIoU"].interval
    assert 0 < low < found.metrics["mIoU"].b - found.metrics["mIoU"].a < high
    assert found.p_value < 1e-4 and found.better > 0.9 and (found.expressions, found.images) == (60, 30)


@pytest.mark.parametrize(
    ("protocol", "tested", "differs"),
    [("standard", "mIoU", False), ("dmmi", "mIoU", False), ("refsegformer", "mIoU", False), ("rela", "gIoU", True)]
    + [(name, "mIoU", True) for name in ("lavt", "cris", "vlt", "cmpc", "cmirnet")],
)
def test_the_test_is_on_the_expressions_of_the_metric_that_it_names(protocol, tested, differs):
    """Every other expression refers to nothing, and the systems differ in their answers to these alone."""
    of_a, of_b = rows([0.5, 0.0] * 30, protocol), rows([0.5, 1.0] * 30, protocol)
    a, b = ([replace(row, referents=1 - i % 2) for i, row in enumerate(some)] for some in (of_a, of_b))
    found = compare(a, b, protocols.build(protocol))
    assert found.tested == tested in found.metrics
    assert (found.p_value < 1e-4) == (found.metrics[tested].b != found.metrics[tested].a) == differs


@pytest.mark.parametrize("protocol", ["standard", "dmmi", "lavt", "cris", "vlt", "cmpc", "cmirnet", "refsegformer"])
def test_types_have_the_protocols_own_metric(protocol):
    scoring = protocols.build(protocol)
    some = [replace(row, referents=int(i % 4 > 0), id=f"{i // 3}-{i}") for i, row in enumerate(rows(GOOD, protocol))]
    found = compare(some, some, scoring)
    for kind, table in breakdowns(some, scoring)["type"].items():
        count, difference = found.by["type"][kind]
        assert difference.a == pytest.approx(table[found.tested])
        assert count == table["expressions"] - (0 if scoring.counts_no_target else table["no_target"])


def test_refs_of_many_sentences_count_as_much_as_others():
    """B is better on refs of one sentence, and worse by less on those of five."""
    changes = [change for _ in range(12) for change in (0.4, *[-0.1] * 5)]
    ids = [f"{i // 6 * 2 + (i % 6 > 0)}-{i}" for i in range(72)]
    a, b = (
        [replace(row, id=id, image_id=f"image {i // 6}") for i, (row, id) in enumerate(zip(some, ids, strict=True))]
        for some in (rows([0.5] * 72, "refsegformer"), rows([0.5 + change for change in changes], "refsegformer"))
    )
    found = compare(a, b, protocols.build("refsegformer"))
    assert found.metrics["mIoU"].interval[0] > 0 and found.p_value < 0.01
    flat = compare(
        *([replace(row, scores={"lavt": row.scores["refsegformer"]}) for row in some] for some in (a, b)), LAVT
    )
    assert flat.metrics["mIoU"].interval[1] < 0 and flat.p_value < 0.01


def test_both_systems_meet_the_same_resamples():
    a, b = rows(WORSE), rows(GOOD)
    images = [row.image_id for row in a]
    drawn = [metrics.bootstrap(counts_of(some, "standard"), images)["oIoU"] for some in (a, b)]
    assert compare(a, b, STANDARD).metrics["oIoU"].interval == metrics.interval(drawn[1] - drawn[0])


def test_swapping_the_systems_turns_the_interval_round():
    one, other = compare(rows(WORSE), rows(GOOD), STANDARD), compare(rows(GOOD), rows(WORSE), STANDARD)
    low, high = one.metrics["mIoU"].interval
    assert other.metrics["mIoU"].interval == pytest.approx((-high, -low)) and one.p_value == other.p_value


def test_a_releases_protocol_has_intervals_as_well():
    lavt = protocols.build("lavt")
    released = compare(rows(WORSE, "lavt"), rows(GOOD, "lavt"), lavt)
    ours = compare(rows(WORSE), rows(GOOD), STANDARD)
    assert released.metrics["oIoU"].interval == pytest.approx(ours.metrics["oIoU"].interval)


def test_types_are_compared_one_by_one():
    table = compare(rows(WORSE), rows(GOOD), STANDARD).by["type"]
    assert {name: count for name, (count, _) in table.items()} == {"ordinal": 20, "plural": 40}


def test_rows_are_paired_by_id_whatever_their_order():
    a, b = rows(WORSE), rows(GOOD)
    assert paired(a, b[::-1]) == (a, b)


def test_files_about_different_expressions_are_refused_with_the_differences():
    a, b = rows(GOOD[:6]), rows(GOOD[2:10])[1:]
    with pytest.raises(InvalidInput, match=r"1 only in the first \(0\); 2 only in the second \(6, 7\)"):
        paired(a, b)


def test_another_text_of_the_same_id_is_refused():
    a, b = rows(GOOD[:2]), rows(GOOD[:2])
    object.__setattr__(b[1], "expression", "another")
    with pytest.raises(InvalidInput, match=r"1 of another text or truth \(1\)"):
        paired(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ["1"]}, "id: Input should be a valid string"),
        ({"referents": "1"}, "referents: Input should be a valid integer"),
        ({"scores": {"standard": 1}}, "scores.standard: "),
        ({"scores": {"standard": Score(5, 4, True, 1.0).to_dict()}}, "an intersection is larger than its union"),
        ({"area": -1}, "negative or too large"),
        ({"area": 10**30}, "negative or too large"),
        ({"exists": float("nan")}, "exists: Input should be a finite number"),
        ({"new": 1}, "new: Unexpected keyword argument"),
        ({"error": json.loads("[" * 150 + "]" * 150)}, "error: Input should be a valid string"),
    ],
)
def test_rows_of_other_types_are_refused_with_their_line(tmp_path, change, message):
    (row,) = rows([0.5])
    path = tmp_path / "expressions.jsonl"
    path.write_text(f"{row.json()}\n{json.dumps(row.to_dict() | change)}\n")
    with pytest.raises(InvalidInput, match=f"line 2, is no row of an evaluation .*{message}"):
        read_rows(path)


def test_rows_are_read_back_as_they_were_written(tmp_path):
    written = rows([0.5, 0.0, 1.0])
    (tmp_path / "expressions.jsonl").write_text("".join(f"{row.json()}\n" for row in written))
    assert read_rows(tmp_path) == written


def test_a_protocol_that_counts_others_in_one_file_is_refused():
    a, b = rows(GOOD[:4]), rows(GOOD[:4])
    object.__setattr__(b[1], "scores", {})
    with pytest.raises(InvalidInput, match="standard does not count the same expressions"):
        compare(a, b, STANDARD)
