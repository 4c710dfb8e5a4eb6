"""The report as one HTML page that needs no other file: tables, plots, and the worst answers as pictures."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from refseg.evaluation.earlier_results import PAGE
from refseg.evaluation.error_types import BOUNDARY, CORRECT, INVENTED, KINDS, MISSED, MISSED_ONE, PART, TOO_MUCH, WRONG
from refseg.evaluation.report.breakdown import Table
from refseg.evaluation.report.html_parts import (
    beware,
    capitalised,
    document,
    measured_how,
    table,
    titled_table,
)
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


def write_page(report: Report, rows: Sequence[Row], examples: Sequence[Example], folder: Path) -> None:
    """Writes report.html into a folder."""
    (folder / PAGE).write_text(page(report, rows, examples), encoding="utf-8")


def page(report: Report, rows: Sequence[Row], examples: Sequence[Example]) -> str:
    """The whole page."""
    by_protocol, *others = report.overall()
    body = [
        f"<header><h1>{escape(report.title())}</h1><p>{report.counts()}; figures in percent</p></header>",
        *map(beware, report.cautions),
        _figures(report),
        titled_table(by_protocol),
        _releases(report),
        *(titled_table(section) for section in others if section[0] != ERRORS),
        f"<h2>Kinds of error</h2>{_errors(report.errors)}",
        _plots(report, rows),
        f"<h2>Where it is good and where not, protocol {escape(report.first)}</h2>",
        *map(_breakdown, report.breakdown(report.first)),
        *(_details(name, report.breakdown(name)) for name in report.metrics if name != report.first),
        *map(titled_table, report.rest()),
        _gallery(examples),
        measured_how(report.facts()),
    ]
    return document(report.title(), body)


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
    drawn = f'<div class="card scroll"><table><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table></div>'
    return (
        f"<details open><summary>What the protocols compare, and how their releases print it</summary>{drawn}</details>"
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
                f'<h2><span class="dot" style="background:{COLOURS[kind]}"></span>{capitalised(kind)}: the worst</h2>'
                f'<p class="note">{capitalised(MEANING[kind])}. Left, blue: what is meant. Right, orange: the answer.'
                "</p>"
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


def _breakdown(section: Section) -> str:
    title, head, lines = section
    inner = table(head, lines)
    return f'<div class="card"><h3>{escape(capitalised(title))}</h3><div class="scroll">{inner}</div></div>'


def _details(name: str, tables: Sequence[Section]) -> str:
    inner = "".join(map(_breakdown, tables))
    return f"<details><summary>The same under protocol {escape(name)}</summary>{inner}</details>"
