"""Rows to tables: the same metrics for every type of expression, kind of relation, size of target and held-out part."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from refseg.datasets.drawn_scenes import SIZES
from refseg.evaluation.answers import FoundInImage, Row, counts_of
from refseg.metrics import PRECISION_THRESHOLDS
from refseg.protocols.standard import Standard

Table = dict[str, dict[str, float]]

WRONG_BELOW = (0.5, 0.9)  # IoU under which an answer counts as wrong
CAUSES = ("missed", "choice", "mask")
IOUS = ("oIoU", "mIoU", *(f"Prec@{threshold}" for threshold in PRECISION_THRESHOLDS))


def breakdowns(rows: Sequence[Row], protocol: Standard) -> dict[str, Table]:
    """Tables by type, kind, size and part, each with the number of expressions and of no-target ones.

    Where nothing is known (the type of a foreign data set, the size of no target), there is no line, and no table
    without lines.
    """
    tables = {}
    for column in ("type", "kind", "size", "part"):
        groups: dict[str, list[Row]] = {}
        for row in rows:
            if value := getattr(row, column):
                groups.setdefault(value, []).append(row)
        if groups:
            tables[column] = {value: score(groups[value], protocol) for value in sorted(groups, key=_order)}
    return tables


def _order(value: str) -> tuple[int, str]:
    """Sizes from small to large, everything else by name."""
    return (SIZES.index(value) if value in SIZES else len(SIZES)), value


def score(rows: Sequence[Row], protocol: Standard) -> dict[str, float]:
    """The protocol's metrics of these rows, and how many they are."""
    no_target = sum(not row.has_target for row in rows)
    return {"expressions": len(rows), "no_target": no_target, **protocol.summarize(counts_of(rows))}


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


def perfect_choice(rows: Iterable[Row], protocol: Standard) -> dict[str, float]:
    """IoUs that the objects found would score if the right ones were always chosen: what no better chooser can pass."""
    ideal = [
        replace(row, intersection=row.perfect[0], union=row.perfect[1])
        for row in rows
        if row.perfect is not None and row.has_target
    ]
    summary = protocol.summarize(counts_of(ideal))
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
    return row.intersection / row.union < bar if row.has_target else not row.predicted_empty
