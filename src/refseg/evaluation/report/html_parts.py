"""Parts of HTML pages that need no other file: the document with its style, warnings, tables."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from refseg.evaluation.report.report import Section

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


def document(title: str, body: Iterable[str], style: str = "", kind: str = "") -> str:
    """Returns a whole page.

    Args:
        title: not yet escaped.
        body: its parts, in HTML.
        style: CSS beside that of all pages.
        kind: class of the body, for that style.
    """
    opened = f'<body class="{kind}">' if kind else "<body>"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{CSS}{style}</style></head>\n{opened}<main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def beware(caution: str) -> str:
    """Returns a warning in a box."""
    return f'<div class="beware"><strong>Beware.</strong> {escape(caution)}</div>'


def two_columns(lines: Mapping[str, str]) -> str:
    """Returns a table of names and what is said of them."""
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td class=text>{escape(value)}</td></tr>" for name, value in lines.items()
    )
    return f'<div class="card scroll"><table><tbody>{cells}</tbody></table></div>'


def measured_how(facts: Mapping[str, str]) -> str:
    """Returns the table of what figures must not travel without, with its title."""
    return f"<h2>How this was measured</h2>{two_columns(facts)}"


def titled_table(section: Section) -> str:
    """Returns a table in a card, with its title."""
    return f"<h2>{escape(capitalised(section[0]))}</h2>{card_table(section)}"


def card_table(section: Section) -> str:
    """Returns a table in a card that scrolls where it is too wide."""
    return f'<div class="card scroll">{table(section[1], section[2])}</div>'


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a table of texts."""
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"


def capitalised(text: str) -> str:
    """Returns a text with a capital first letter; those of names, within it, stay."""
    return text[:1].upper() + text[1:]
