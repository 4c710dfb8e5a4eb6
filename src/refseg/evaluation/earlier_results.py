"""Results that a folder holds already: the same evaluation is replaced with all of its protocols, another one never."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refseg.counting import another
from refseg.errors import UnwritableOutput, another_out, printable, shown
from refseg.evaluation.rows import MASKS, ROWS
from refseg.files.atomic import remove_leftovers

REPORT, TEXT, PAGE = "report.json", "report.md", "report.html"
CIRCUMSTANCES = frozenset(
    "answers processes batch_images precision command date hardware versions seconds images videos frames expressions "
    "frame_answers no_target unfamiliar_images protocols".split()
)
"""Facts of a report in which two runs of the same evaluation may differ."""


@dataclass(frozen=True)
class EarlierResults:
    """An evaluation that a folder holds already.

    Attributes:
        protocols: names of its protocols.
        shortcuts: its table of shortcuts.
        date: when it was run.
        precision: of the network's arithmetic, such as "float32"; "" if the report does not say it.
    """

    protocols: tuple[str, ...]
    shortcuts: dict[str, dict[str, float]] = field(default_factory=dict)
    date: str = ""
    precision: str = ""


def find_earlier(out: Path, facts: Mapping[str, Any]) -> EarlierResults | None:
    """Returns the results of the same evaluation in a folder; None if it has none.

    Args:
        out: folder for results.
        facts: data set, settings and weights, or the place of the masks, of the evaluation that is to be written there.

    Raises:
        UnwritableOutput: if the folder holds results of another evaluation, or something else of their names.
    """
    remove_leftovers(out)
    there = [name for name in (REPORT, ROWS, TEXT, PAGE, MASKS) if (out / name).exists()]
    if not there:
        return None
    try:
        report = json.loads((out / REPORT).read_text(encoding="utf-8"))
        before = dict(report["about"])
        protocols = tuple(map(str, report["metrics"]))
        shortcuts = dict(report.get("shortcuts") or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnwritableOutput(
            f"{out} holds {there[0]}, and no {REPORT} that says of which evaluation it is; give {another_out()}"
        ) from None
    old, new = _identity(before), _identity(json.loads(json.dumps(facts)))
    for name in {**new, **old}:
        if old.get(name) != new.get(name):
            change = f"{_told(before, name)}, now {_told(facts, name)}"
            raise UnwritableOutput(
                f"{out} holds an evaluation with {another(name)} ({change}); give {another_out()}, or remove it first"
            )
    return EarlierResults(protocols, shortcuts, str(before.get("date", "")), str(before.get("precision", "")))


def check_precision(earlier: EarlierResults, precision: str, out: Path) -> None:
    """Raises UnwritableOutput if a folder holds results in another precision, known only after weights are loaded."""
    if earlier.precision and earlier.precision != precision:
        raise UnwritableOutput(
            f"{out} holds an evaluation with another precision ({printable(earlier.precision)}, now {precision}); give "
            f"{another_out()}, or remove it first"
        )


def tell_earlier(earlier: EarlierResults, chosen: list[str], out: Path, on_message: Callable[[str], None]) -> None:
    """Says what becomes of the results of the same evaluation under `chosen` protocols."""
    kept = [name for name in earlier.protocols if name not in chosen]
    new = [name for name in chosen if name not in earlier.protocols]
    if new and not kept:
        on_message(f"{out} holds this evaluation; {printable(', '.join(new))} is added to it")
    elif kept:
        names = printable(", ".join(kept))
        on_message(f"{out} holds this evaluation under {names} too; the new report has both")
    else:
        on_message(f"{out} holds the same evaluation of {printable(earlier.date) or 'an unknown date'}; it is replaced")


def _identity(about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the facts that make figures comparable; weights by their content, masks by their place."""
    kept = {name: value for name, value in about.items() if name not in CIRCUMSTANCES and value is not None}
    weights = kept.get("weights")
    if isinstance(weights, Mapping):
        return kept | {"weights": weights.get("sha256")}
    return kept | {"answers": about.get("answers")}


def _told(about: Mapping[str, Any], name: str) -> str:
    value = about.get(name)
    if name == "weights" and isinstance(value, Mapping):
        value = f"{value.get('name')} {str(value.get('sha256'))[:8]}"
    return printable(str(value)) if isinstance(value, str) else shown(value)
