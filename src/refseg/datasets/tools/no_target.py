"""Check of expressions that refer to nothing, for `refseg data check`: they may be masks that were lost."""

from collections.abc import Mapping, Sequence

from refseg.datasets.tools.findings import Finding, Verdict, make_finding
from refseg.datasets.tools.published_counts import ALWAYS_REFER, SOME_REFER_TO_NOTHING

UNUSUAL = 0.5
"""Share of expressions that refer to nothing from which on it is noted."""
MIN_EXPRESSIONS = 20
"""Expressions from which on a share says something."""


def check_no_target(name: str, referents: Mapping[str, Sequence[int]]) -> Finding:
    """Compares how many expressions refer to nothing with what the data set is known for.

    Args:
        name: name of the data set.
        referents: by split, the number of referents of each expression whose truth is known.
    """
    splits = {split: counts for split, counts in referents.items() if len(counts)}
    none = {split: sum(not count for count in counts) for split, counts in splits.items()}
    total, of_all = sum(none.values()), sum(map(len, splits.values()))
    found = [
        f"split {split}: {number:,} of {len(splits[split]):,} ({number / len(splits[split]):.0%})"
        for split, number in none.items()
        if number
    ]

    def finding(what: str, advice: str, verdict: Verdict) -> Finding:
        return make_finding("no-target", found or [f"none of {of_all:,}"], what, advice, verdict, total)

    lost = "look whether their masks were lost on the way; leave it where it is meant"
    if total and name in ALWAYS_REFER:
        what = f"expressions that refer to nothing; {name} is published without any"
        return finding(what, "take the files again from their source", "problem")
    if total and total == of_all:
        return finding("expressions that refer to nothing, and there are no others", lost, "problem")
    if any(number == len(splits[split]) for split, number in none.items()):
        return finding("expressions that refer to nothing, and a split has no others", lost, "problem")
    if any(number > UNUSUAL * len(splits[split]) >= UNUSUAL * MIN_EXPRESSIONS for split, number in none.items()):
        return finding("expressions that refer to nothing, unusually many", lost, "note")
    if of_all >= MIN_EXPRESSIONS and not total and name in SOME_REFER_TO_NOTHING:
        what = f"expressions that refer to nothing; {name} is published with some"
        return finding(what, "take the file that has them from its source", "note")
    return Finding("no-target", "ok", total, "expressions that refer to nothing")
