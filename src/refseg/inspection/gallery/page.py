"""A gallery as one HTML page that needs no other file, in the style of the reports."""

from html import escape

from PIL import Image

from refseg.evaluation.report.html_parts import CSS
from refseg.inspection.gallery.lines import MARK, Cell, GalleryLine, GalleryLines
from refseg.masks.pictures import data_uri, encode_picture

PAGE_JPEG_QUALITY = 88
SECTION_START, SECTION_END = '<section class="sheet">', "</section>"
"""Begin and end of what other pages take over."""
SHEET_CSS = """
.sheet .card { padding: .4rem 1rem 1rem; overflow: auto; max-height: 94vh; }
.sheet .grid { display: grid; gap: 0 .5rem; grid-template-columns: repeat(var(--columns), minmax(110px, 1fr));
  min-width: calc(var(--columns) * 118px); }
.sheet .head { position: sticky; top: 0; background: #fff; color: var(--soft); font-weight: 600; font-size: .84rem;
  text-align: center; padding: .5rem 0; overflow-wrap: anywhere; align-self: stretch; display: grid; place-items: end;
  justify-content: center; }
.sheet .said { grid-column: 1 / -1; border-top: 1px solid var(--line); margin: .5rem 0 .3rem; padding-top: .6rem;
  display: flex; justify-content: space-between; gap: 1rem; overflow-wrap: anywhere; }
.sheet .said span { color: var(--soft); font-size: .8rem; }
.sheet figure { border: 0; border-radius: 0; overflow: visible; text-align: center; }
.sheet figure img { width: 100%; border-radius: 4px; }
.sheet figcaption { padding: .15rem 0 .3rem; font-size: .84rem; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.sheet figcaption b { display: inline; color: var(--ink); }
@media (max-width: 560px) { .sheet .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); min-width: 0; }
  .sheet .head { display: none; }
  .sheet figure::before { content: attr(data-label); color: var(--soft); font-weight: 600; font-size: .84rem;
    overflow-wrap: anywhere; } }
@media print { .sheet .card { max-height: none; overflow: visible; border: 0; padding: 0; }
  .sheet .grid { min-width: 0; } }
"""
WIDE_CSS = "main { max-width: min(100%, calc(var(--columns) * 270px + 5rem)); }"


def render_page(gallery: GalleryLines) -> str:
    """Returns the whole page."""
    title = escape(gallery.title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="{MARK}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{CSS}{SHEET_CSS}{WIDE_CSS}</style></head>\n"
        f'<body style="--columns: {len(gallery.columns)}"><main>\n<header><h1>{title}</h1></header>\n'
        f"{render_section(gallery)}\n</main></body></html>\n"
    )


def render_section(gallery: GalleryLines) -> str:
    """Returns what stands below the title, for other pages."""
    heads = "".join(f'<div class="head">{escape(label)}</div>' for label in gallery.columns)
    lines = "\n".join(_line(line, gallery.columns) for line in gallery.lines)
    return (
        f'{SECTION_START}<p class="note">{escape(gallery.note)}</p>\n<div class="card">'
        f'<div class="grid" style="--columns: {len(gallery.columns)}">{heads}\n{lines}\n</div></div>{SECTION_END}'
    )


def extract_section(page: str) -> str:
    """Returns the section of a page that `render_page` has written; "" if there is none."""
    _, start, rest = page.partition(SECTION_START)
    inner, end, _ = rest.partition(SECTION_END)
    return f"{start}{inner}{end}" if end else ""


def _line(line: GalleryLine, columns: tuple[str, ...]) -> str:
    cells = "".join(_cell(cell, label, line.expression) for cell, label in zip(line.cells, columns, strict=True))
    said = f'<div class="said"><b>“{escape(line.expression)}”</b><span>{escape(line.about)}</span></div>'
    return f"{said}{cells}"


def _cell(cell: Cell, label: str, expression: str) -> str:
    caption = escape(cell.caption)
    description = escape(f"{label}: {expression}" if not cell.caption else f"{label}: {expression} ({cell.caption})")
    source = data_uri(encode_picture(Image.fromarray(cell.picture), "JPEG", PAGE_JPEG_QUALITY), "image/jpeg")
    return (
        f'<figure data-label="{escape(label)}"><img alt="{description}" src="{source}">'
        f"<figcaption>{f'<b>{caption}</b>' if cell.is_best else caption}</figcaption></figure>"
    )
