import csv
import gzip
import json
import os
from functools import cache
from pathlib import Path

import pytest

from refseg.text.expression_types import LENGTHS, PRECEDENCE, length_class, main_type, types

ROOT = Path(__file__).parents[2]
LABELS = ROOT / "tests" / "assets" / "expression_types.tsv"
REALSET = Path(os.environ.get("REFSEG_REALSET", ROOT.parent / "shared" / "realset"))


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("kettle", ""),
        ("the fire hydrant", ""),
        ("rusty-looking bucket without a lid", "negation attribute"),
        ("tractor that isn't moving", "negation attribute"),
        ("third lantern from the right", "ordinal location"),
        ("tallest of the candles", "ordinal relation"),
        ("the 2nd row", "ordinal"),
        ("both ducks", "plural"),
        ("children in the back", "plural location"),
        ("the kettle and the pot", "plural"),
        ("trousers", ""),
        ("left of the kettle", "relation"),
        ("kettle to the left of the stove", "relation"),
        ("kettle on the left of the picture", "location"),
        ("goat right behind the fence", "relation"),
        ("goat on the right behind the fence", "relation location"),
        ("goat looking left", "attribute"),
        ("nurse with her left arm up", "attribute"),
        ("nurse in a green apron", "attribute"),
        ("nurse in a small boat", "relation attribute"),
        ("nurse carrying a lamp", "relation"),
        ("roof of the barn", "relation"),
        ("cup of tea", ""),
        ("goat closest to us", "location"),
        ("goat closest to the barn", "relation"),
        ("TOP LEFT GOAT", "location"),
        ("", ""),
    ],
)
def test_an_expression_has_the_types_that_its_words_say(expression, expected):
    assert " ".join(types(expression)) == expected


def test_the_main_type_is_the_first_of_the_precedence():
    assert [main_type(text) for text in ("two goats left", "goat left", "goat", "")] == [
        "plural",
        "location",
        "attribute",
        "attribute",
    ]


def test_length_classes_change_at_their_limits():
    assert [length_class(" ".join(["word"] * n)) for n in (0, 1, 2, 3, 4, 7, 8, 40)] == [
        LENGTHS[i] for i in (0, 0, 1, 1, 2, 2, 3, 3)
    ]


@cache
def sentences(file: str) -> dict[str, str]:
    with gzip.open(REALSET / "text" / file, "rt", encoding="utf-8") as opened:
        if ".jsonl" in file:
            return {str(n): json.loads(line)["sent"] for n, line in enumerate(opened, start=1)}
        return {f"{region}:{i}": text for region, texts in json.load(opened).items() for i, text in enumerate(texts)}


@pytest.mark.skipif(not (REALSET / "text").is_dir(), reason="needs the real set: REFSEG_REALSET or ../shared/realset")
@pytest.mark.parametrize("part, main, exact", [("development", 99, 97), ("held out", 94, 87)])
def test_the_rules_are_as_right_as_the_documentation_says(part, main, exact):
    with LABELS.open(encoding="utf-8") as opened:
        rows = [row for row in csv.DictReader(opened, delimiter="\t") if row["part"] == part]
    found = [types(sentences(row["file"])[row["key"]]) for row in rows]
    true = [tuple(row["types"].split()) for row in rows]
    mains = [[next(iter(names), "attribute") for names in side] for side in (found, true)]
    assert len(rows) == 100 and {name for names in true for name in names} == set(PRECEDENCE)
    assert sum(a == b for a, b in zip(*mains, strict=True)) == main
    assert sum(a == b for a, b in zip(found, true, strict=True)) == exact
