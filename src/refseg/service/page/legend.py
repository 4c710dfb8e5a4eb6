"""Answers as HTML; all that comes from users or networks is escaped."""

from collections.abc import Iterable
from html import escape

from refseg.masks.overlay import Colour
from refseg.service.page.answers import ExpressionAnswer, WeightsAnswers
from refseg.service.page.drawing import BOTH, FIRST_ONLY, SECOND_ONLY, choose_colour

MAX_LISTED = 12  # candidates of an expression that are listed
MAX_SHADE = 0.6  # opacity behind the heaviest word of a line, on which text is read in light and dark


def format_legend(column: WeightsAnswers) -> str:
    """Returns the list of a network's answers: colour, expression, verdict, size and boxes of objects, warnings."""
    if column.problem:
        return format_failure(column.weights, column.problem)
    warnings = (text for one in column.answers for text in one.facts["warnings"])
    return format_answers(column.weights, "", map(_item, range(len(column.answers)), column.answers), warnings)


def format_failure(weights: str, problem: str) -> str:
    """Returns why weights could not answer."""
    return f'<h3>{escape(weights)}</h3><p class="refseg-warning" role="alert">{escape(problem)}</p>'


def format_answers(weights: str, above: str, items: Iterable[str], warnings: Iterable[str]) -> str:
    """Returns the answers of weights: their name, HTML above the list, its items, and each warning once."""
    told = "".join(f'<p class="refseg-warning">{escape(text)}</p>' for text in dict.fromkeys(warnings))
    return f'<h3>{escape(weights)}</h3>{above}<ul class="refseg-legend">{"".join(items)}</ul>{told}'


def format_answer(number: int, expression: str, verdict: str, places: str = "") -> str:
    """Returns an item of the list of answers, with the colour that the expression has by its number."""
    below = f'<br><span class="refseg-small">{escape(places)}</span>' if places else ""
    return f"<li>{_square(choose_colour(number))}<b>{escape(expression)}</b><br>{escape(verdict)}.{below}</li>"


def format_difference(first: str, second: str, agreement: float) -> str:
    """Returns what the colours mean where two networks differ, and the IoU of what they mark."""
    names = ((BOTH, "both"), (FIRST_ONLY, f"{first} only"), (SECOND_ONLY, f"{second} only"))
    keys = "".join(f'<span class="refseg-key">{_square(colour)}{escape(name)}</span>' for colour, name in names)
    return f"<p>Where they differ: {keys}IoU of what is shown {agreement:.1%}</p>"


def _square(colour: Colour) -> str:
    red, green, blue = colour
    return f'<span class="refseg-colour" style="background: rgb({red}, {green}, {blue})"></span>'


def _item(number: int, answer: ExpressionAnswer) -> str:
    facts = answer.facts
    share = (
        f", {facts['area'] / max(facts['size'][0] * facts['size'][1], 1):.1%} of the image" if facts["found"] else ""
    )
    places = "; ".join(", ".join(map(str, box)) for box in answer.boxes[:MAX_LISTED])
    boxes = f"{_of_masks(answer)}: {places}" if places else ""
    return format_answer(number, answer.expression, answer.verdict + share, boxes)


def _of_masks(answer: ExpressionAnswer) -> str:
    return "box of the mask" if len(answer.boxes) == 1 else "boxes of the masks"


def format_readings(columns: Iterable[WeightsAnswers]) -> str:
    """Returns how weights read each sentence: a reader's program, what each object scored, the weights of words."""
    parts = []
    for column in columns:
        told = [(one, _reading(one) + _candidates(one) + _words(one)) for one in column.answers]
        if column.answers:
            parts += [f"<h3>{escape(column.weights)}</h3>", _about_words(column.answers)]
        if column.answers and not any(text for _, text in told):
            parts.append("<p>These weights do not tell how they read a sentence.</p>")
        parts += [f"<h4>{escape(one.expression)}</h4>{text}" for one, text in told if text]
    return "".join(parts)


def _words(answer: ExpressionAnswer) -> str:
    """Returns the words, shaded by their weights, in a line for each part of the network that weighs them."""
    words = answer.facts.get("words")
    if not words:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(row["name"])} ({escape(row["source"])})</th>'
        f"<td>{_shaded(words['pieces'], row['values'])}</td></tr>"
        for row in words["rows"]
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _about_words(answers: Iterable[ExpressionAnswer]) -> str:
    """Returns what the shades of the words of all answers mean, if they have any."""
    rows = [row for one in answers for row in (one.facts.get("words") or {"rows": ()})["rows"]]
    if not rows:
        return ""
    meanings = "; ".join(dict.fromkeys(row["meaning"] for row in rows if row["meaning"]))
    about = f"{meanings[:1].upper()}{meanings[1:]}. " if meanings else ""
    return (
        f'<p class="refseg-small">{escape(about)}The stronger a word is shaded, the larger its number in the '
        "line; point at it to read the number.</p>"
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
    nothing = "" if rows or reading["reason"] else "<br>The finder found nothing to choose from."
    read = f"<p>Read as: {escape(reading['program'])}{unread}{nothing}</p>"
    head = ("chosen", "classes", "found with", "is meant with", "box of the finder")
    return read + (_table(head, rows) if rows else "")


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
