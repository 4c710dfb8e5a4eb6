"""Rows to tables: the same metrics for every type of expression, size and number of referents, and kind of error."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from refseg.datasets.drawn_scenes.dataset import SIZES
from refseg.evaluation.error_types import KINDS
from refseg.evaluation.rows import FoundInImage, Row
from refseg.evaluation.scoring import SHARES, STANDARD
from refseg.evaluation.summarize import summarize
from refseg.metrics import PRECISION_THRESHOLDS
from refseg.protocols.video_protocol import Scoring
from refseg.text.expression_types import length_class

Table = dict[str, dict[str, float]]

WRONG_BELOW = (0.5, 0.9)  # IoU under which an answer counts as wrong
CAUSES = ("missed", "choice", "mask")
IOUS = ("oIoU", "mIoU", *(f"Prec@{threshold}" for threshold in PRECISION_THRESHOLDS))
NUMBERS = ("none", "one", "two", "three or more")
COLUMNS: dict[str, Callable[[Row], str]] = {
    "type": lambda row: row.type,
    "kind": lambda row: row.kind,
    "length": lambda row: length_class(row.expression),
    "size": lambda row: row.size,
    "referents": lambda row: NUMBERS[min(row.referents, 3)],
    "part": lambda row: row.part,
    "annotator": lambda row: row.annotator,
}
"""What rows are grouped by; rows of which it is not known, "", are left out."""
_ORDER = {value: place for place, value in enumerate((*SIZES, "mixed", *SHARES, *NUMBERS))}


def grouped(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    """Groups rows by one of COLUMNS, in its own order or by name."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if value := COLUMNS[column](row):
            groups.setdefault(value, []).append(row)
    return {value: groups[value] for value in sorted(groups, key=lambda v: (_ORDER.get(v, len(_ORDER)), v))}


def breakdowns(rows: Sequence[Row], protocol: Scoring) -> dict[str, Table]:
    """A table for each of COLUMNS of which anything is known, with the number of expressions and of no-target ones."""
    rows = [row for row in rows if protocol.name in row.scores]
    tables = {
        column: {value: score(some, protocol) for value, some in grouped(rows, column).items()} for column in COLUMNS
    }
    return {column: table for column, table in tables.items() if table}


def score(rows: Sequence[Row], protocol: Scoring) -> dict[str, float]:
    """The protocol's metrics of these rows, and how many there are of those that it counts."""
    rows = [row for row in rows if protocol.name in row.scores]
    counts = {"expressions": len(rows), "no_target": sum(not row.has_target for row in rows)}
    if any(row.frame for row in rows):
        counts |= {"expressions": len({(row.image_id, row.id) for row in rows}), "answers": len(rows)}
    return {**counts, **summarize(rows, protocol)}


def kinds_of_errors(rows: Sequence[Row]) -> Table:
    """How many answers are of each kind, which share that is, and their mean IoU under `standard`."""
    table: Table = {}
    for kind in KINDS:
        ious = [row.scores[STANDARD.name].iou or 0.0 for row in rows if row.error == kind]
        table[kind] = {"expressions": len(ious), "share": len(ious) / max(len(rows), 1)}
        if ious:
            table[kind]["mean IoU"] = float(np.mean(ious))
    return table


def errors_by_type(rows: Sequence[Row]) -> Table:
    """The share of each kind, one a line, among the answers to each type of expression."""
    types = grouped(rows, "type").items()
    return {kind: {name: sum(row.error == kind for row in some) / len(some) for name, some in types} for kind in KINDS}


def finder_report(found: Sequence[FoundInImage]) -> dict[str, float]:
    """Recall, precision and mean IoU of the objects themselves, read without any expression."""
    objects, finds = sum(image.objects for image in found), sum(image.found for image in found)
    matched = objects - sum(image.missed for image in found)
    ious = [value for image in found for value in image.ious]
    report: dict[str, float] = {"objects": objects, "found": finds}
    if objects:
        report |= {"recall": matched / objects, "mean IoU": float(np.mean(ious))}
    if finds:
        report["precision"] = matched / finds
    return report


def perfect_choice(rows: Iterable[Row]) -> dict[str, float]:
    """IoUs that the objects found would score if the right ones were always chosen: what no better chooser can pass."""
    ideal = [
        replace(row, scores={STANDARD.name: replace(row.scores[STANDARD.name], intersection=both, union=either)})
        for row in rows
        if row.perfect is not None and row.has_target
        for both, either in [row.perfect]
    ]
    summary = score(ideal, STANDARD)
    return {"expressions": len(ideal), **{name: summary[name] for name in summary if name in IOUS}}


def wrong_answers(rows: Sequence[Row]) -> Table:
    """Shares of wrong answers due to a missed object, a wrong choice, or the mask; one line per bar for "wrong".

    An expression with a target is answered wrongly if its IoU is below the bar, one without if the answer is not empty.
    """
    table: Table = {}
    for bar in WRONG_BELOW:
        wrong = [row for row in rows if _is_wrong(row, bar)]
        shares = {cause: sum(row.cause == cause for row in wrong) / len(wrong) for cause in CAUSES} if wrong else {}
        table[f"IoU below {bar}"] = {"expressions": len(rows), "wrong": len(wrong), **shares}
    return table


def _is_wrong(row: Row, bar: float) -> bool:
    score = row.scores[STANDARD.name]
    return score.intersection < bar * score.union if row.has_target else score.has_prediction
