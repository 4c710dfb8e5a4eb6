"""Findings of `refseg data check`.

A "problem" makes figures wrong or training fail; a "note" is how the data are, good to know before a figure is printed.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refseg.files.text import MARKS, encoding_of

EXAMPLES = 5

Verdict = Literal["ok", "note", "problem", "skipped"]
Track = Callable[[Sequence[Any], str], Iterable[Any]]


@dataclass(frozen=True)
class Finding:
    """Result of a check.

    Attributes:
        check: its name.
        verdict: "ok" if it found nothing, "skipped" if it could not or should not look.
        count: how many it found.
        what: what that means, in a line.
        examples: the first few.
        advice: what to do.
    """

    check: str
    verdict: Verdict
    count: int
    what: str
    examples: tuple[str, ...] = ()
    advice: str = ""


def make_finding(
    check: str,
    found: Sequence[str],
    what: str,
    advice: str = "",
    verdict: Verdict = "problem",
    count: int | None = None,
    examples: int = EXAMPLES,
) -> Finding:
    """Makes the finding of a check; "ok" where nothing was found, of this verdict otherwise."""
    if not found:
        return Finding(check, "ok", 0, what)
    return Finding(check, verdict, len(found) if count is None else count, what, tuple(found[:examples]), advice)


def sort_by_verdict(findings: Iterable[Finding]) -> list[Finding]:
    """Sorts findings: problems first, then notes."""
    order: tuple[Verdict, ...] = ("problem", "note", "skipped", "ok")
    return sorted(findings, key=lambda finding: order.index(finding.verdict))


def check_encodings(paths: Sequence[Path]) -> Finding:
    """Finds text files that other programs may not read: with a byte-order mark, or not in UTF-8."""
    found = []
    for path in paths:
        if path.suffix.lower() in (".json", ".jsonl", ".txt", ".csv", ".tsv") and (odd := _odd_encoding(path)):
            found.append(f"{path} is {odd}")
    advice = "they are read here; save them as UTF-8 without a mark for other programs"
    return make_finding("encodings", found, "text files that are not plain UTF-8", advice, "note")


def _odd_encoding(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
        if any(head.startswith(mark) for mark in MARKS):
            return f"{encoding_of(head)} with a byte-order mark"
        if path.suffix.lower() == ".json":  # read before, so it is what its first letters say
            encoding = json.detect_encoding(head)
            return "" if encoding == "utf-8" else encoding.upper()
        file.seek(0)
        try:
            for line in file:
                line.decode()
        except UnicodeDecodeError:
            return "not in UTF-8"
    return ""


def as_size(size_hw: Sequence[int]) -> str:
    """Returns a size as text: width x height pixels."""
    return f"{size_hw[1]} x {size_hw[0]} pixels"
