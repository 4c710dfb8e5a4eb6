"""Answers as HTML; all that comes from users or networks is escaped."""

from collections.abc import Iterable
from html import escape

from refseg.service.page.answers import ExpressionAnswer, WeightsAnswers
from refseg.service.page.drawing import choose_colour

MAX_LISTED = 12  # candidates of an expression that are listed
MAX_SHADE = 0.6  # opacity behind the heaviest word of a line, on which text is read in light and dark


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
    places = "; ".join(", ".join(map(str, box)) for box in answer.boxes[:MAX_LISTED])
    return (
        f'<li><span class="refseg-colour" style="background: rgb({red}, {green}, {blue})"></span>'
        f"<b>{escape(answer.expression)}</b><br>{escape(answer.verdict + share + '.')}"
        + (f'<br><span class="refseg-small">{_of_masks(answer)}: {escape(places)}</span>' if places else "")
        + "</li>"
    )


def _of_masks(answer: ExpressionAnswer) -> str:
    return "box of the mask" if len(answer.boxes) == 1 else "boxes of the masks"


def format_readings(columns: Iterable[WeightsAnswers]) -> str:
    """Returns how each sentence was read: a reader's program, what each object scored, the weights of words."""
    parts = []
    for column in columns:
        told = [(one, _reading(one) + _candidates(one) + _words(one)) for one in column.answers]
        if column.answers and not any(text for _, text in told):
            parts.append(f"<p>{escape(column.weights)} does not tell how it reads a sentence.</p>")
        parts += [
            f"<h4>{escape(one.expression)} <span class='refseg-small'>({escape(column.weights)})</span></h4>{text}"
            for one, text in told
            if text
        ]
    return "".join(parts)


def _words(answer: ExpressionAnswer) -> str:
    """Returns the words, shaded by their weights, in a line for each part of the network that weighs them."""
    words = answer.facts.get("words")
    if not words:
        return ""
    meanings = "; ".join(dict.fromkeys(row["meaning"] for row in words["rows"] if row["meaning"]))
    rows = "".join(
        f'<tr><th scope="row">{escape(row["name"])} ({escape(row["source"])})</th>'
        f"<td>{_shaded(words['pieces'], row['values'])}</td></tr>"
        for row in words["rows"]
    )
    about = f"{meanings[:1].upper()}{meanings[1:]}. " if meanings else ""
    return (
        f'<p class="refseg-small">{escape(about)}The stronger a word is shaded, the larger its number in the '
        f"line; point at it to read the number.</p><table><tbody>{rows}</tbody></table>"
    )


def _shaded(pieces: Iterable[str], values: Iterable[float]) -> str:
    values = list(values)
    most = max([*values, 1e-12])
    return " ".join(
        f'<span class="refseg-word" title="{value:.3f}" style="background: rgba(37, 99, 235, {shade:.2f})">'
        f'{escape(piece)}<span class="refseg-unseen"> {value:.3f},</span></span>'
        for piece, value in zip(pieces, values, strict=True)
        for shade in [MAX_SHADE * max(value, 0.0) / most]
    )


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
        ("chosen", "classes", "found with", "is meant with", "box of the finder"), rows
    )


def _candidates(answer: ExpressionAnswer) -> str:
    candidates = answer.facts.get("candidates")
    if not candidates:
        return ""
    rows = [
        ("✓" if one["meant"] else "", f"{one['score']:.2f}", ", ".join(f"{side:.0f}" for side in one["box"]))
        for one in candidates[:MAX_LISTED]
    ]
    return _table(("meant", "score", "box of the detector"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def cells(tag: str, texts: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    return (
        f"<table><thead>{cells('th', head)}</thead><tbody>{''.join(cells('td', row) for row in rows)}</tbody></table>"
    )
