"""Writes a study: study.json for programs, study.md and study.html to read."""

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import mean

from refseg import __version__
from refseg.evaluation.report.caveats import MOSTLY_MISSED
from refseg.evaluation.report.html_parts import document
from refseg.files.atomic import all_or_nothing
from refseg.inspection.gallery.page import SHEET_CSS, extract_section
from refseg.studies.claims import ClaimTest, judge_claims
from refseg.studies.plot import draw_plot
from refseg.studies.results import Results
from refseg.studies.study_file import STUDY_FILE, to_dict
from refseg.studies.study_text import TEXT_COLUMNS, TextTable, format_title, settings_table
from refseg.studies.tables import (
    PAPER_CAUTION,
    SMALL_CAUTION,
    claims_table,
    conventions_table,
    costs_table,
    count_verdicts,
    describe_conditions,
    main_tables,
    tests_table,
)

TEXT_FILE, PAGE_FILE = "study.md", "study.html"
PICTURE_FILES = PICTURE_FILE, PICTURE_PAGE_FILE = "pictures.png", "pictures.html"
CLAIM_CONVENTION = (
    "They are tested under protocol standard on the splits and seeds that both rows have, over the expressions of all "
    "splits together. The interval is over images, "
    "not over seeds; where it contains 0 or seeds disagree, a claim is undecided. p is Wilcoxon's, on mIoU by image, "
    "whatever the claim's metric. Nothing is corrected for the number of comparisons. What stands after ± is the "
    "standard deviation over seeds."
)
CODE = re.compile(r"`([^`]+)`")
"""Code in a note."""
GREY_CSS = (
    "p { color: #5b6675; } tr.paper td { color: #98a2b3; } svg text { font: 12px system-ui, sans-serif; } "
    "td.text:first-child { min-width: 11em; }"
)


def write_study(results: Results) -> None:
    """Writes the three files into the study's folder."""
    claims = judge_claims(results)
    tables = study_tables(results, claims)
    with all_or_nothing(results.folder) as folder:
        (folder / STUDY_FILE).write_text(json.dumps(to_dict(results, claims), indent=1) + "\n", encoding="utf-8")
        _write_texts(results, claims, tables, folder)


def write_texts(results: Results) -> None:
    """Writes the two files to read alone, as where there are new pictures."""
    claims = judge_claims(results)
    with all_or_nothing(results.folder) as folder:
        _write_texts(results, claims, study_tables(results, claims), folder)


def _write_texts(results: Results, claims: Sequence[ClaimTest], tables: Sequence[TextTable], folder: Path) -> None:
    (folder / TEXT_FILE).write_text(to_markdown(results, claims, tables), encoding="utf-8")
    (folder / PAGE_FILE).write_text(to_html(results, claims, tables), encoding="utf-8")


def study_tables(results: Results, claims: Sequence[ClaimTest]) -> list[TextTable]:
    """Returns all tables of a study in their order."""
    if results.tested:
        return [tests_table(results.study, results.tested, claims)]
    tables = list(main_tables(results))
    if claims:
        tables.append(claims_table(claims, results.study))
    if all(row.words for row in results.study.rows):
        tables.append(conventions_table(results))
    return [*tables, costs_table(results), settings_table(results.study, results.small)]


def list_remarks(results: Results, claims: Sequence[ClaimTest]) -> list[str]:
    """Returns lines that stand above the tables."""
    caution = PAPER_CAUTION if results.study.has_figures else SMALL_CAUTION
    lines = [caution] if results.small else []
    lines.append(f"{describe_conditions(results)}; refseg {__version__}")
    scored = results.tested or results
    missed = [
        row.label
        for row, found in zip(scored.study.rows, scored.rows.values(), strict=True)
        if found.missed and mean(found.missed) >= MOSTLY_MISSED
    ]
    if missed:
        lines.append(
            f"Beware: most answers about what is there are empty in the rows {'; '.join(missed)}. They have hardly "
            "learnt: N-acc and gIoU are no merit, and claims about them mean little."
        )
    if any(column.cost in ("params", "flops") for column in results.columns):
        by_row = any(row.words for row in results.study.rows)
        how = "as the paper counts each row" if by_row else "as thop counts, without the word encoder"
        lines.append(f"FLOPs and Params of ours: {how}.")
    machines = dict.fromkeys(row.costs.machine for row in results.rows.values() if row.costs and row.costs.machine)
    if machines and any(column.is_timed for column in results.columns):
        lines.append(
            f"Measured on {', '.join(machines)}, with random weights: images a second one at a time; hours of the "
            "run if there was one, else on one device, from a step of a few images. The paper's machine is another: "
            "only ratios of rows compare."
        )
    if claims and not results.study.tests:
        lines.append(f"Claims, as comparisons of rows: {count_verdicts(claims)}. {CLAIM_CONVENTION}")
    return lines


def to_markdown(results: Results, claims: Sequence[ClaimTest], tables: Sequence[TextTable]) -> str:
    """Returns the study as Markdown."""
    parts = [f"# {format_title(results.study)}", *list_remarks(results, claims)]
    for table in tables:
        align = [":--" if name in TEXT_COLUMNS else "--:" for name in table.head]
        lines = [
            table.head,
            align,
            *(line if n not in table.paper else _emphasize(line) for n, line in enumerate(table.lines)),
        ]
        parts += [f"## {table.title}", "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)]
    if (results.folder / PICTURE_FILE).is_file():
        parts += ["## Pictures", f"![answers of the rows side by side]({PICTURE_FILE})"]
    if results.study.notes:
        parts += ["## Notes", "\n".join(f"* {note}" for note in results.study.notes)]
    return "\n\n".join(parts) + "\n"


def _emphasize(line: Sequence[str]) -> list[str]:
    return [f"*{cell}*" if cell and cell != "-" else cell for cell in line]


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")


def to_html(results: Results, claims: Sequence[ClaimTest], tables: Sequence[TextTable]) -> str:
    """Returns the study as one page that needs no other file."""
    title = format_title(results.study)
    first, *others = list_remarks(results, claims)
    body = [f"<header><h1>{escape(title)}</h1>"]
    body += [f'<div class="beware">{escape(first)}</div>' if results.small else f"<p>{escape(first)}</p>"]
    body += [f"<p>{escape(line)}</p>" for line in others] + ["</header>"]
    if drawing := draw_plot(results):
        body.append(f'<div class="card">{drawing}</div>')
    body += map(_table, tables)
    if (results.folder / PICTURE_PAGE_FILE).is_file():
        pictures = (results.folder / PICTURE_PAGE_FILE).read_text(encoding="utf-8")
        body.append(f"<h2>Pictures</h2>{extract_section(pictures)}")
    if results.study.notes:
        notes = [CODE.sub(r"<code>\1</code>", escape(note)) for note in results.study.notes]
        items = "".join(f"<li>{note}</li>" for note in notes)
        body.append(f"<h2>Notes</h2><div class=card><ul>{items}</ul></div>")
    return document(title, body, GREY_CSS + SHEET_CSS)


def _table(table: TextTable) -> str:
    of_text = [" class=text" if name in TEXT_COLUMNS else "" for name in table.head]
    head = "".join(f"<th{text}>{escape(cell)}</th>" for cell, text in zip(table.head, of_text, strict=True))
    lines = []
    for n, line in enumerate(table.lines):
        cells = "".join(f"<td{text}>{escape(cell)}</td>" for cell, text in zip(line, of_text, strict=True))
        lines.append(f"<tr{' class=paper' if n in table.paper else ''}>{cells}</tr>")
    return (
        f'<h2>{escape(table.title)}</h2><div class="card scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
