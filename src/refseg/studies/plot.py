"""A plot of a study as SVG: bars of the rows, or a line over the number that they differ in, with the paper's marks."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from statistics import mean

from refseg.studies.results import Results

PLOT_WIDTH, ROW_HEIGHT, LABEL_WIDTH, LINE_PLOT_HEIGHT = 760, 24, 260, 260
OUR_COLOUR, PAPER_COLOUR = "#2f6fde", "#98a2b3"


def draw_plot(results: Results) -> str:
    """Returns a plot of the metric that the claims are about; "" if nothing was run.

    Of a row that was scored on some splits, the paper's mean is over those as well.
    """
    study, metric = results.study, results.study.leading_metric()
    points = []
    ranges: dict[int, tuple[float, float]] = {}
    for number, row in enumerate(study.rows, start=1):
        measured = results.rows[number].values
        titles = [c.title for c in results.columns if study.find_metric(row, c) == metric]
        ours = [value for name in titles for value in measured.get(name, [])]
        theirs = [
            figure
            for figure, column in zip(row.figures, study.columns, strict=True)
            if figure is not None
            and study.find_metric(row, column) == metric
            and (results.small or not ours or column.title in measured)
        ]
        if not ours and not theirs:
            continue
        points.append((row.label, 100 * mean(ours) if ours else None, mean(theirs) if theirs else None))
        if len(titles) == 1 and len(ours) > 1:
            ranges[len(points) - 1] = 100 * min(ours), 100 * max(ours)
    if all(ours is None for _, ours, _ in points):
        return ""
    photographs = " (photographs)" if results.small else ""
    paper = f", paper{photographs} in grey" if study.has_figures else ""
    seeds = ", from the lowest seed to the highest in black" if ranges and not study.over else ""
    heading = f"<h3>{escape(metric)}, percent: ours in blue{seeds}{paper}</h3>"
    return heading + (draw_line(points, study.over) if study.over else _bars(points, ranges))


def _bars(points: Sequence[tuple[str, float | None, float | None]], ranges: Mapping[int, tuple[float, float]]) -> str:
    top = max(value for _, ours, theirs in points for value in (ours, theirs) if value is not None) or 1.0
    scale = (PLOT_WIDTH - LABEL_WIDTH - 60) / top
    parts = []
    for n, (label, ours, theirs) in enumerate(points):
        y = n * ROW_HEIGHT
        parts.append(f'<text x="{LABEL_WIDTH - 8}" y="{y + 16}" text-anchor="end">{escape(label[:42])}</text>')
        if ours is not None:
            width = max(ours, 0) * scale
            size = f'width="{width:.1f}" height="{ROW_HEIGHT - 8}"'
            parts.append(f'<rect x="{LABEL_WIDTH}" y="{y + 4}" {size} fill="{OUR_COLOUR}"/>')
            parts.append(f'<text x="{PLOT_WIDTH - 8}" y="{y + 16}" text-anchor="end">{ours:.1f}</text>')
        if n in ranges:
            low, high = (LABEL_WIDTH + end * scale for end in ranges[n])
            parts.append(f'<path d="M{low:.1f} {y + ROW_HEIGHT // 2}H{high:.1f}" stroke="black" stroke-width="2"/>')
        if theirs is not None:
            x = LABEL_WIDTH + theirs * scale
            parts.append(f'<path d="M{x:.1f} {y + 1}v{ROW_HEIGHT - 2}" stroke="{PAPER_COLOUR}" stroke-width="3"/>')
    return _svg(parts, ROW_HEIGHT * len(points) + 4)


def draw_line(points: Sequence[tuple[str, float | None, float | None]], over: str) -> str:
    """Returns a line plot over the number in the labels of rows.

    Args:
        points: label, our figure and the paper's of each row, in percent.
        over: what the number is.
    """
    numbered = [(_parse_number(label), ours, theirs) for label, ours, theirs in points]
    numbered.sort(key=lambda point: point[0])
    values = [value for _, ours, theirs in numbered for value in (ours, theirs) if value is not None]
    low, high = min(values), max(values)
    low, high = low - 1, high + 1
    step = (PLOT_WIDTH - 120) / max(len(numbered) - 1, 1)

    def place(n: int, value: float) -> tuple[float, float]:
        return 60 + n * step, 20 + (LINE_PLOT_HEIGHT - 60) * (high - value) / (high - low)

    parts = [f'<text x="{PLOT_WIDTH / 2}" y="{LINE_PLOT_HEIGHT - 4}" text-anchor="middle">{escape(over)}</text>']
    parts += [
        f'<text x="{60 + n * step:.1f}" y="{LINE_PLOT_HEIGHT - 22}" text-anchor="middle">{number:g}</text>'
        for n, (number, _, _) in enumerate(numbered)
    ]
    for which, colour in ((2, PAPER_COLOUR), (1, OUR_COLOUR)):
        there = [(n, point[which]) for n, point in enumerate(numbered)]
        dots = [(*place(n, value), value) for n, value in there if value is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in dots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, value in dots:
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            parts.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle" fill="{colour}">{value:.1f}</text>')
    return _svg(parts, LINE_PLOT_HEIGHT)


def _parse_number(label: str) -> float:
    """Returns the number that a row of a table over a number is about: the last of "TGMM-1~6" is the same for all."""
    found = re.search(r"(\d+) heads", label) or re.search(r"TGMM-(\d+)", label) or re.search(r"(\d+)", label)
    return float(found[1]) if found else 0.0


def _svg(parts: Sequence[str], height: int) -> str:
    return f'<svg viewBox="0 0 {PLOT_WIDTH} {height}" width="100%" role="img">{"".join(parts)}</svg>'
