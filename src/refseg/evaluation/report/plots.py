"""The plots of the report, as SVG that a page can hold; matplotlib draws them where it is installed."""

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from refseg.evaluation.report.breakdown import grouped
from refseg.evaluation.report.report import Report
from refseg.evaluation.rows import Row
from refseg.evaluation.scoring import STANDARD
from refseg.masks.pictures import data_uri

INK, GRID, BLUE, ORANGE, GREY = "#38414f", "#e3e7ee", "#2f6fde", "#e8702a", "#a8b0bd"
FONT = "DejaVu Sans"  # comes with matplotlib, which measures with it; the page shows its own
STYLE = {
    "font.size": 9.5,
    "font.family": FONT,
    "svg.fonttype": "none",
    "svg.hashsalt": "refseg",  # the same figures make the same file
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "text.parse_math": False,  # types of expressions are names of the user's
}


def can_plot() -> bool:
    """Is matplotlib installed?"""
    return find_spec("matplotlib") is not None


def plots(report: Report, rows: Sequence[Row]) -> dict[str, str]:
    """Data URIs of the plots that these rows allow, by title; none without matplotlib."""
    if not can_plot():
        return {}
    drawn = {"IoU of expressions that refer to something": _plot(lambda axes: _ious(axes, rows))}
    if len(types := grouped(rows, "type")) > 1:
        drawn["IoU by type of expression"] = _plot(lambda axes: _by_type(axes, types))
    if report.risk_coverage:
        drawn["Risk and coverage: if only the surest answers count"] = _plot(lambda axes: _risk(axes, report))
        drawn["Reliability: does what is said to exist exist?"] = _plot(lambda axes: _reliability(axes, report))
    return drawn


def _plot(draw: Callable[[Any], None]) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.1), layout="constrained")
        draw(figure.add_subplot())
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue().replace(f"'{FONT}'".encode(), b"system-ui, sans-serif")
    return data_uri(svg, "image/svg+xml")


def _iou(rows: Sequence[Row]) -> Any:
    return np.array([row.scores[STANDARD.name].iou or 0.0 for row in rows if row.has_target])


def _ious(axes: Any, rows: Sequence[Row]) -> None:
    ious = _iou(rows)
    axes.hist(ious, bins=20, range=(0, 1), color=BLUE, edgecolor="white", linewidth=0.6)
    if len(ious):
        axes.axvline(ious.mean(), color=ORANGE, linewidth=1.6)
        side = "right" if ious.mean() > 0.5 else "left"
        axes.annotate(
            f"mean {ious.mean():.2f}",
            (ious.mean(), 0.94),
            xycoords=("data", "axes fraction"),
            xytext=(-6 if side == "right" else 6, 0),
            textcoords="offset points",
            ha=side,
            color=ORANGE,
        )
    axes.set(xlabel="IoU, standard", ylabel="answers", xlim=(0, 1))


def _by_type(axes: Any, types: dict[str, list[Row]]) -> None:
    names = [name for name in types if any(row.has_target for row in types[name])][::-1]
    values = [_iou(types[name]) for name in names]
    places = range(len(names))
    axes.barh(places, [value.mean() for value in values], color=BLUE, height=0.62)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{value.mean():.2f}  ({len(value):,})",
            (value.mean(), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(places, names)
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="mean IoU, standard (expressions with a referent)", xlim=(0, 1.18), xticks=np.linspace(0, 1, 6))


def _risk(axes: Any, report: Report) -> None:
    curve = report.risk_coverage
    assert curve is not None
    axes.plot(curve.coverage, curve.risk, color=BLUE, linewidth=2)
    axes.fill_between(curve.coverage, curve.risk, color=BLUE, alpha=0.1, linewidth=0)
    axes.set(
        xlabel="coverage (share of expressions answered)", ylabel="risk (mean of 1 - IoU)", xlim=(0, 1), ylim=(0, 1)
    )
    axes.annotate(f"area {curve.area:.3f}", (0.97, 0.93), xycoords="axes fraction", ha="right", color=INK)


def _reliability(axes: Any, report: Report) -> None:
    found = report.reliability
    assert found is not None
    most = max(found.expressions)
    twin = axes.twinx()
    twin.bar(found.probability, [n / most for n in found.expressions], width=0.05, color=GREY, alpha=0.35)
    twin.set_ylim(0, 3)
    twin.axis("off")
    axes.set_zorder(twin.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.plot(found.probability, found.share, color=BLUE, marker="o", markersize=5, linewidth=2)
    axes.set(xlabel="probability of existence", ylabel="share that refer to something", xlim=(0, 1), ylim=(0, 1.02))
    axes.annotate(f"ECE {found.ece:.3f}", (0.03, 0.93), xycoords="axes fraction", color=INK)
