"""A plot of a study as SVG: bars of the rows, or a line over the number that they differ in, with the paper's marks."""

import re
from collections.abc import Sequence
from html import escape
from statistics import mean

from refseg.studies.results import Results

WIDTH, ROW, LEFT, HEIGHT = 760, 24, 260, 260
BLUE, GREY = "#2f6fde", "#98a2b3"


def plot(results: Results) -> str:
    """Returns a plot of the metric that the claims are about; "" if nothing was run."""
    study, metric = results.study, results.study.leading_metric()
    points = []
    for number, row in enumerate(study.rows, start=1):
        titles = [c.title for c in results.columns if (c.metric or row.metric) == metric]
        ours = [value for name in titles for value in results.rows[number].values.get(name, [])]
        theirs = [
            figure
            for figure, column in zip(row.figures, study.columns, strict=True)
            if figure is not None and study.metric_of(row, column) == metric
        ]
        points.append((row.label, 100 * mean(ours) if ours else None, mean(theirs) if theirs else None))
    if all(ours is None for _, ours, _ in points):
        return ""
    paper = "paper (photographs)" if results.small else "paper"
    heading = f"<h3>{escape(metric)}, percent: ours in blue, {paper} in grey</h3>"
    return heading + (_line(points, study.over) if study.over else _bars(points))


def _bars(points: Sequence[tuple[str, float | None, float | None]]) -> str:
    top = max(value for _, ours, theirs in points for value in (ours, theirs) if value is not None) or 1.0
    scale = (WIDTH - LEFT - 60) / top
    parts = []
    for n, (label, ours, theirs) in enumerate(points):
        y = n * ROW
        parts.append(f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(label[:42])}</text>')
        if ours is not None:
            width = max(ours, 0) * scale
            parts.append(f'<rect x="{LEFT}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}" fill="{BLUE}"/>')
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 16}">{ours:.1f}</text>')
        if theirs is not None:
            x = LEFT + theirs * scale
            parts.append(f'<path d="M{x:.1f} {y + 1}v{ROW - 2}" stroke="{GREY}" stroke-width="3"/>')
    return _svg(parts, ROW * len(points) + 4)


def _line(points: Sequence[tuple[str, float | None, float | None]], over: str) -> str:
    numbered = sorted((_number(label), ours, theirs) for label, ours, theirs in points)
    values = [value for _, ours, theirs in numbered for value in (ours, theirs) if value is not None]
    low, high = min(values), max(values)
    low, high = low - 1, high + 1
    step = (WIDTH - 120) / max(len(numbered) - 1, 1)

    def place(n: int, value: float) -> tuple[float, float]:
        return 60 + n * step, 20 + (HEIGHT - 60) * (high - value) / (high - low)

    parts = [f'<text x="{WIDTH / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(over)}</text>']
    parts += [
        f'<text x="{60 + n * step:.1f}" y="{HEIGHT - 22}" text-anchor="middle">{number:g}</text>'
        for n, (number, _, _) in enumerate(numbered)
    ]
    for which, colour in ((2, GREY), (1, BLUE)):
        there = [(n, point[which]) for n, point in enumerate(numbered)]
        dots = [(*place(n, value), value) for n, value in there if value is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in dots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, value in dots:
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
            parts.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle" fill="{colour}">{value:.1f}</text>')
    return _svg(parts, HEIGHT)


def _number(label: str) -> float:
    """Returns the number that a row of a table over a number is about: the last of "TGMM-1~6" is the same for all."""
    found = re.search(r"(\d+) heads", label) or re.search(r"TGMM-(\d+)", label) or re.search(r"(\d+)", label)
    return float(found[1]) if found else 0.0


def _svg(parts: Sequence[str], height: int) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="100%" role="img">{"".join(parts)}</svg>'
