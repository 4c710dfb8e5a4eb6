"""Answers as HTML; all that comes from users or networks is escaped."""

from collections.abc import Iterable
from html import escape

from refseg.service.page.answers import ExpressionAnswer, WeightsAnswers
from refseg.service.page.drawing import choose_colour

MAX_LISTED = 12  # candidates of an expression that are listed


def format_legend(column: WeightsAnswers) -> str:
    """Returns the list of a network's answers: colour, expression, verdict, size and boxes of objects, warnings."""
    if column.problem:
        return f'<p class="refseg-warning" role="alert">{escape(column.problem)}</p>'
    items = "".join(_item(k, one) for k, one in enumerate(column.answers))
    warnings = dict.fromkeys(text for one in column.answers for text in one.facts["warnings"])
    return f'<ul class="refseg-legend">{items}</ul>' + "".join(
        f'<p class="refseg-warning">{escape(text)}</p>' for text in warnings
    )


def _item(number: int, answer: ExpressionAnswer) -> str:
    red, green, blue = choose_colour(number)
    facts = answer.facts
    share = (
        f", {facts['area'] / max(facts['size'][0] * facts['size'][1], 1):.1%} of the image" if facts["found"] else ""
    )
    places = "; ".join("box " + ", ".join(map(str, thing["box"])) for thing in facts["instances"][:MAX_LISTED])
    return (
        f'<li><span class="refseg-colour" style="background: rgb({red}, {green}, {blue})"></span>'
        f"<b>{escape(answer.expression)}</b><br>{escape(answer.verdict + share + '.')}"
        + (f'<br><span class="refseg-small">{escape(places)}</span>' if places else "")
        + "</li>"
    )


def format_readings(columns: Iterable[WeightsAnswers]) -> str:
    """Returns how each sentence was read and what each object scored, of the networks that tell it."""
    parts = [
        f"<h4>{escape(one.expression)} <span class='refseg-small'>({escape(column.weights)})</span></h4>{told}"
        for column in columns
        for one in column.answers
        if (told := _reading(one) or _candidates(one))
    ]
    return "".join(parts) or "<p>These weights do not tell how they read a sentence; the reader and detectors do.</p>"


def _reading(answer: ExpressionAnswer) -> str:
    reading = answer.facts.get("reading")
    if not reading:
        return ""
    rows = [
        (
            "✓" if thing["chosen"] else "",
            ", ".join(f"{name} {p:.2f}" for name, p in list(thing["classes"].items())[:3]),
            f"{thing['score']:.2f}",
            f"{thing['probability']:.2f}",
            ", ".join(f"{side:.0f}" for side in thing["box"]),
        )
        for thing in reading["objects"][:MAX_LISTED]
    ]
    words = reading["not_understood"]
    unread = f"<br>Not understood: {escape(', '.join(words))}" if words else ""
    return f"<p>Read as: {escape(reading['program'])}{unread}</p>" + _table(
        ("chosen", "classes", "found with", "is meant with", "box"), rows
    )


def _candidates(answer: ExpressionAnswer) -> str:
    candidates = answer.facts.get("candidates")
    if not candidates:
        return ""
    rows = [
        ("✓" if one["meant"] else "", f"{one['score']:.2f}", ", ".join(f"{side:.0f}" for side in one["box"]))
        for one in candidates[:MAX_LISTED]
    ]
    return _table(("meant", "score", "box"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def cells(tag: str, texts: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    return (
        f"<table><thead>{cells('th', head)}</thead><tbody>{''.join(cells('td', row) for row in rows)}</tbody></table>"
    )
