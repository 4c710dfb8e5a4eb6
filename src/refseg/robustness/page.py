"""The report of a robustness test as one HTML page that needs no other file."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from refseg.evaluation.report.html_parts import (
    beware,
    capitalised,
    card_table,
    document,
    measured_how,
    titled_table,
    two_columns,
)
from refseg.robustness.examples import Example
from refseg.robustness.measures import Measured
from refseg.robustness.report import HEADLINE, MEANINGS, PAGE, RobustnessReport, Section, interval_text, percent

CARDS = (
    "mIoU",
    "sentences mIoU drop",
    "sentences consistency",
    "right flips",
    "absent false alarms",
    "pictures mIoU drop",
    "pictures consistency",
)
EFFECTS = {
    "stay": "It means the same, and must get the same answer",
    "change": "It means another object",
    "vanish": "It names what is not there: the answer must be that nothing matches",
}
STYLE = """
.robust figure div { grid-template-columns: 1fr 1fr 1fr; }
.robust figcaption { display: grid; gap: .1rem; }
.robust .gallery { grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); }
td.heat { --share: 0; background: rgba(224, 96, 76, calc(var(--share) * .85)); }
td.good { --share: 0; background: rgba(42, 157, 111, calc(var(--share) * .6)); }
th { white-space: normal; }
@media (max-width: 560px) { .robust .gallery { grid-template-columns: 1fr; } main { padding: 1.2rem .8rem 3rem; } }
"""


def write_page(report: RobustnessReport, folder: Path) -> None:
    """Writes robustness.html into a folder."""
    (folder / PAGE).write_text(page(report), encoding="utf-8")


def page(report: RobustnessReport) -> str:
    """Returns the whole page."""
    body = [
        f"<header><h1>{escape(report.title())}</h1><p>{escape(report.counts())}; figures in percent, with 95 % "
        "intervals</p></header>",
        *map(beware, report.cautions),
        *(_cards(name, measured, len(report.systems) > 1) for name, measured in report.asked.items()),
        _meanings(),
        _table(report.headline()),
        *map(_details, report.differences()),
        *(_heat(name, measured, report.pictures) for name, measured in report.asked.items() if report.pictures),
        *(_table(section) for section in report.sections() if not section[0].startswith("pictures by severity")),
        *map(_details, report.forms()),
        _kinds(report),
        *(_gallery(report, kind, effect) for kind, effect in _shown_kinds(report)),
        measured_how(report.facts()),
    ]
    return document(report.title(), filter(None, body), STYLE, "robust")


def _cards(name: str, measured: Measured, named: bool) -> str:
    cards = "".join(
        f'<div class="card"><span>{escape(HEADLINE[one])}</span><b>{percent(figure)}</b>'
        f"<span>{escape(interval_text(figure))}</span></div>"
        for one in CARDS
        if (figure := measured.headline.get(one)) is not None
    )
    title = f"<h2>{escape(name)}</h2>" if named else ""
    return f'{title}<div class="figures">{cards}</div>'


def _meanings() -> str:
    return f"<details><summary>What the figures are</summary>{two_columns(MEANINGS)}</details>"


def _heat(name: str, measured: Measured, kinds: Mapping[str, str]) -> str:
    """Returns the drop of mIoU and the share of the same answers by kind and severity, coloured."""
    levels = sorted({row.level for row in measured.rows if row.kind in kinds and row.level}, key=int)
    lines = []
    for kind in kinds:
        cells = []
        for figure_name, style in (("mIoU drop", "heat"), ("consistency", "good")):
            for level in levels:
                row = measured.row(kind, level=level)
                figure = row.figures.get(figure_name) if row else None
                if figure is None:
                    cells.append("<td></td>")
                    continue
                share = min(max(figure.value, 0.0), 1.0) if figure.value == figure.value else 0.0
                hint = escape(interval_text(figure), quote=True)
                cells.append(f'<td class="{style}" style="--share:{share:.3f}" title="{hint}">{percent(figure)}</td>')
        lines.append(f"<tr><td>{escape(kind)}</td>{''.join(cells)}</tr>")
    heads = "".join(f'<th colspan="{len(levels)}">{text}</th>' for text in ("drop of mIoU", "same answer"))
    severities = "".join(f"<th>{level}</th>" for level in levels) * 2
    return (
        f"<h2>Pictures by kind and severity, {escape(name)}</h2>"
        f'<div class="card scroll"><table><thead><tr><th></th>{heads}</tr>'
        f"<tr><th>severity</th>{severities}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _kinds(report: RobustnessReport) -> str:
    lines = "".join(
        f"<tr><td>{escape(kind)}</td><td class=text>{escape(about)}</td>"
        f"<td>{report.first.left_out.get(kind, 0):,}</td></tr>"
        for kind, about in {**report.sentences, **report.pictures}.items()
    )
    head = "<tr><th>kind</th><th class=text>what it does</th><th>questions left out</th></tr>"
    return (
        f'<h2>The kinds</h2><div class="card scroll"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>'
    )


def _shown_kinds(report: RobustnessReport) -> list[tuple[str, str]]:
    """Returns kinds and effects of which there are examples, in the order of the kinds."""
    shown = {(one.kind, one.effect) for one in report.examples}
    kinds = (*report.sentences, *report.pictures)
    return [(kind, effect) for kind in kinds for effect in EFFECTS if (kind, effect) in shown]


def _gallery(report: RobustnessReport, kind: str, effect: str) -> str:
    chosen = [one for one in report.examples if (one.kind, one.effect) == (kind, effect)]
    figures = "".join(_figure(one, kind in report.pictures) for one in chosen)
    return (
        f"<h2>{escape(capitalised(_spaced(kind)))}: the worst</h2>"
        f'<p class="note">{EFFECTS[effect]}. Orange: the answers, before and after; blue: what is meant after.</p>'
        f'<div class="gallery">{figures}</div>'
    )


def _figure(one: Example, is_picture: bool) -> str:
    pictures = "".join(
        f'<img alt="{alt}" src="{source}">'
        for alt, source in (
            ("the answer before", one.before),
            ("the answer after", one.after),
            ("what is meant after", one.truth),
        )
    )
    before = "" if one.original == one.changed else f"<span>before: {escape(one.original)}</span>"
    level = f" · {'severity ' if is_picture else ''}{escape(one.level)}" if one.level else ""
    return (
        f"<figure><div>{pictures}</div><figcaption><b>{escape(one.changed)}</b>{before}"
        f"<span>{escape(one.system)}{level} · IoU {100 * one.iou:.1f} · IoU with the answer before "
        f"{100 * one.agreement:.0f} · {escape(one.id)}</span></figcaption></figure>"
    )


def _table(section: Section) -> str:
    return titled_table((_spaced(section[0]), *section[1:]))


def _details(section: Section) -> str:
    title = capitalised(_spaced(section[0]))
    return f"<details><summary>{escape(title)}</summary>{card_table(section)}</details>"


def _spaced(name: str) -> str:
    """Returns the name of a kind as a title."""
    return name.replace("_", " ")
