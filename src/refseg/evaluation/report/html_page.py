"""The report as one HTML page that needs no other file: tables, plots, and the worst answers as pictures."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from refseg.evaluation.earlier_results import PAGE
from refseg.evaluation.error_types import BOUNDARY, CORRECT, INVENTED, KINDS, MISSED, MISSED_ONE, PART, TOO_MUCH, WRONG
from refseg.evaluation.report.breakdown import Table
from refseg.evaluation.report.plots import can_plot, plots
from refseg.evaluation.report.report import ERRORS, OF_ABSENCE, OF_BOXES, OF_VIDEOS, Report, Section, percent
from refseg.evaluation.report.worst_examples import Example
from refseg.evaluation.rows import Row
from refseg.evaluation.scoring import STANDARD

COLOURS = {
    CORRECT: "#2a9d6f",
    BOUNDARY: "#9ad4b4",
    PART: "#f0cf65",
    TOO_MUCH: "#f4a259",
    MISSED_ONE: "#c39be0",
    INVENTED: "#7d6fd6",
    WRONG: "#e0604c",
    MISSED: "#98a2b3",
}
MEANING = {
    CORRECT: "IoU at least 0.9; nothing, where there is nothing",
    BOUNDARY: "IoU at least 0.5, wrong only within 1 % of the diagonal of the true edge",
    PART: "more is missing than too much",
    TOO_MUCH: "more is too much than missing",
    MISSED_ONE: "of several referents some are taken in and some are not",
    INVENTED: "an answer where there is nothing, or another object besides",
    WRONG: "most of the answer is elsewhere, and most of the truth is not in it",
    MISSED: "an empty answer, and there is a referent",
}
CSS = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #e3e7ee; --wash: #f6f8fb; --blue: #2f6fde; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2.2rem 1.4rem 4rem; }
header p { color: var(--soft); margin: .2rem 0 1.2rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; }
h3 { font-size: .95rem; margin: 0 0 .6rem; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 1rem 1.2rem; margin: 0 0 1rem; }
.two .card { margin: 0; }
.beware { background: #fff6e5; border: 1px solid #f1cf8b; border-left: 6px solid #e39a1c; border-radius: 12px;
  padding: .7rem 1.2rem; margin: .7rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(135px, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.figures .card { padding: .8rem 1rem; }
.figures b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: .82rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: right; padding: .34rem .6rem; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
th.text, td.text { text-align: left; white-space: normal; }
tr:last-child td { border-bottom: 0; }
tbody tr:hover { background: var(--wash); }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(430px, 1fr)); gap: 1rem; align-items: start; }
.two > *, .gallery > * { min-width: 0; }
.plot img { width: 100%; display: block; }
.bar { display: flex; height: 30px; border-radius: 8px; overflow: hidden; margin-bottom: .9rem; }
.bar i { display: block; }
.dot { display: inline-block; width: .75em; height: .75em; border-radius: 50%; margin-right: .5em; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--blue); font-weight: 600; }
.gallery { display: grid; align-items: start; grid-template-columns: repeat(auto-fill, minmax(500px, 1fr)); gap: 1rem; }
figure { margin: 0; background: #fff; border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
figure div { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; background: #fff; }
figure img { width: 100%; display: block; }
figcaption { padding: .6rem .9rem .8rem; overflow-wrap: anywhere; }
figcaption b { display: block; }
figcaption span, .note { color: var(--soft); font-size: .84rem; }
@media (max-width: 560px) { .gallery, .two { grid-template-columns: 1fr; } }
"""


def write_page(report: Report, rows: Sequence[Row], examples: Sequence[Example], folder: Path) -> None:
    """Writes report.html into a folder."""
    (folder / PAGE).write_text(page(report, rows, examples), encoding="utf-8")


def page(report: Report, rows: Sequence[Row], examples: Sequence[Example]) -> str:
    """The whole page."""
    by_protocol, *others = report.overall()
    body = [
        f"<header><h1>{escape(report.title())}</h1><p>{report.counts()}; figures in percent</p></header>",
        *(f'<div class="beware"><strong>Beware.</strong> {escape(caution)}</div>' for caution in report.cautions),
        _figures(report),
        _titled(by_protocol),
        _releases(report),
        *(_titled(table) for table in others if table[0] != ERRORS),
        f"<h2>Kinds of error</h2>{_errors(report.errors)}",
        _plots(report, rows),
        f"<h2>Where it is good and where not, protocol {escape(report.first)}</h2>",
        *map(_breakdown, report.breakdown(report.first)),
        *(_details(name, report.breakdown(name)) for name in report.metrics if name != report.first),
        *map(_titled, report.rest()),
        _gallery(examples),
        _facts(report),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(report.title())}</title>'
        f"<style>{CSS}</style></head>\n<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def _figures(report: Report) -> str:
    values = report.metrics[report.first]
    intervals = report.intervals.get(report.first, {})
    wanted = (*OF_VIDEOS, *OF_BOXES, "oIoU", "mIoU", "gIoU", "cIoU", "Prec@0.5", "N-acc", "T-acc", *OF_ABSENCE, "Acc")
    shown = [name for name in wanted if name in values][:6]
    cards = [
        f'<div class="card"><span>{escape(name)}</span><b>{percent(values[name])}</b><span>'
        + (" to ".join(map(percent, intervals[name])) if name in intervals else escape(report.first))
        + "</span></div>"
        for name in shown
    ]
    return f'<div class="figures">{"".join(cards)}</div>'


def _releases(report: Report) -> str:
    lines = [
        f"<tr><td>{escape(name)}</td><td class=text>{escape(report.about['protocols'][name]['about'])}</td>"
        f"<td class=text>{escape(figures or '-')}</td></tr>"
        for name, figures in report.printed_by_releases().items()
    ]
    head = "<tr><th>protocol</th><th class=text>compares</th><th class=text>its release prints</th></tr>"
    table = f'<div class="card scroll"><table><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table></div>'
    return (
        f"<details open><summary>What the protocols compare, and how their releases print it</summary>{table}</details>"
    )


def _errors(errors: Table) -> str:
    bar = "".join(
        f'<i style="width:{100 * line["share"]:.3f}%;background:{COLOURS[kind]}" '
        f'title="{kind}: {percent(line["share"])} %"></i>'
        for kind, line in errors.items()
    )
    lines = "".join(
        f'<tr><td><span class="dot" style="background:{COLOURS[kind]}"></span>{kind}</td><td class=text>'
        f"<span class=note>{MEANING[kind]}</span></td><td>{int(line['expressions']):,}</td>"
        f"<td>{percent(line['share'])}</td><td>{percent(line['mean IoU']) if 'mean IoU' in line else '-'}</td></tr>"
        for kind, line in errors.items()
    )
    head = "<tr><th>kind</th><th></th><th>answers</th><th>share</th><th>mean IoU</th></tr>"
    return (
        f'<div class="card"><div class="bar">{bar}</div><div class="scroll"><table><thead>{head}</thead>'
        f"<tbody>{lines}</tbody></table></div></div>"
    )


def _plots(report: Report, rows: Sequence[Row]) -> str:
    if not can_plot():
        return '<p class="note">Plots need matplotlib: pip install "refseg[plot]"</p>'
    drawn = "".join(
        f'<div class="card plot"><h3>{escape(title)}</h3><img alt="{escape(title)}" src="{source}"></div>'
        for title, source in plots(report, rows).items()
    )
    return f'<h2>Plots</h2><div class="two">{drawn}</div>'


def _gallery(examples: Sequence[Example]) -> str:
    parts = []
    for kind in KINDS:
        some = [example for example in examples if example.row.error == kind]
        if some:
            parts.append(
                f'<h2><span class="dot" style="background:{COLOURS[kind]}"></span>{_capital(kind)}: the worst</h2>'
                f'<p class="note">{_capital(MEANING[kind])}. Left, blue: what is meant. Right, orange: the answer.</p>'
                f'<div class="gallery">{"".join(map(_figure, some))}</div>'
            )
    return "".join(parts)


def _figure(example: Example) -> str:
    row = example.row
    iou = percent(row.scores[STANDARD.name].iou or 0.0)
    exists = "" if row.exists is None else f" · exists {100 * row.exists:.0f} %"
    return (
        f'<figure><div><img alt="what is meant" src="{example.truth}">'
        f'<img alt="the answer" src="{example.answer}"></div>'
        f"<figcaption><b>{escape(row.expression)}</b><span>IoU {iou}{exists} · {escape(row.type)} · "
        f"{escape(row.key)}</span></figcaption></figure>"
    )


def _breakdown(table: Section) -> str:
    return f'<div class="card"><h3>{escape(_capital(table[0]))}</h3><div class="scroll">{_bare(table)}</div></div>'


def _details(name: str, tables: Sequence[Section]) -> str:
    inner = "".join(map(_breakdown, tables))
    return f"<details><summary>The same under protocol {escape(name)}</summary>{inner}</details>"


def _facts(report: Report) -> str:
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td class=text>{escape(value)}</td></tr>" for name, value in report.facts().items()
    )
    return f'<h2>How this was measured</h2><div class="card scroll"><table><tbody>{lines}</tbody></table></div>'


def _titled(table: Section) -> str:
    return f"<h2>{escape(_capital(table[0]))}</h2>{_table(table)}"


def _table(table: Section) -> str:
    return f'<div class="card scroll">{_bare(table)}</div>'


def _bare(table: Section) -> str:
    _, head, lines = table
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
