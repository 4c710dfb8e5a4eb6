"""Draws how data flow through a network: boxes in a grid, joined by curves, as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 150, 46  # of a box
ACROSS, DOWN = 54, 20  # between boxes
MARGIN = 16
LINE = 15  # of text
COLOURS = {  # of a box by what it holds: fill, border
    "input": ("#f4f4f5", "#71717a"),
    "encoder": ("#dbeafe", "#2563eb"),
    "fusion": ("#fef3c7", "#d97706"),
    "decoder": ("#dcfce7", "#16a34a"),
    "output": ("#fae8ff", "#a21caf"),
    "training": ("#ffffff", "#dc2626"),
}


@dataclass(frozen=True)
class Box:
    """A box: column and row (which may be halves), its text in lines, and what it holds (a name of COLOURS)."""

    column: float
    row: float
    text: str
    kind: str


def draw(title: str, boxes: Mapping[str, Box], arrows: Sequence[str]) -> str:
    """Returns the figure as SVG.

    Args:
        title: for those who do not see it.
        boxes: by a name of one's own.
        arrows: "from to" or "from to: what flows"; names of boxes.
    """
    width = MARGIN * 2 + max(_left(box) for box in boxes.values()) + WIDTH
    height = MARGIN * 2 + max(_top(box) for box in boxes.values()) + HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        f'aria-label="{escape(title)}" font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#52525b"/></marker></defs>',
        f'<g transform="translate({MARGIN} {MARGIN})">',
        *(_arrow(boxes, arrow) for arrow in arrows),
        *(_box(box) for box in boxes.values()),
        "</g>",
        "</svg>\n",
    ]
    return "\n".join(parts)


def _left(box: Box) -> float:
    return box.column * (WIDTH + ACROSS)


def _top(box: Box) -> float:
    return box.row * (HEIGHT + DOWN)


def _box(box: Box) -> str:
    fill, border = COLOURS[box.kind]
    left, top = _left(box), _top(box)
    dashed = ' stroke-dasharray="4 3"' if box.kind == "training" else ""
    lines = box.text.split("\n")
    first = top + HEIGHT / 2 - LINE * (len(lines) - 1) / 2 + 4
    words = "".join(
        f'<text x="{left + WIDTH / 2:g}" y="{first + LINE * number:g}" text-anchor="middle" fill="#18181b"'
        f"{' font-weight=&quot;600&quot;'.replace('&quot;', chr(34)) if number == 0 else ''}>{escape(line)}</text>"
        for number, line in enumerate(lines)
    )
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}" '
        f'stroke="{border}"{dashed}/>{words}'
    )


def _arrow(boxes: Mapping[str, Box], arrow: str) -> str:
    ends, _, says = arrow.partition(": ")
    start, end = (boxes[name] for name in ends.split())
    if start.column == end.column:  # up or down
        x1 = x2 = _left(start) + WIDTH / 2
        down = start.row < end.row
        y1, y2 = _top(start) + HEIGHT * down, _top(end) + HEIGHT * (not down)
        path = f"M{x1:g} {y1:g} L{x2:g} {y2:g}"
    else:
        forward = start.column < end.column
        x1, x2 = _left(start) + WIDTH * forward, _left(end) + WIDTH * (not forward)
        y1, y2 = _top(start) + HEIGHT / 2, _top(end) + HEIGHT / 2
        bend = (x2 - x1) / 2
        path = f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
    drawn = f'<path d="{path}" fill="none" stroke="#52525b" marker-end="url(#tip)"/>'
    if says:
        x, y = (x1 + x2) / 2, (y1 + y2) / 2 - 5
        drawn += f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="#52525b" font-size="10">{escape(says)}</text>'
    return drawn
