"""`refseg compare`: two systems on the same expressions, and whether they differ by more than chance."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.counting import counted

if TYPE_CHECKING:
    from rich.console import Console

    from refseg.evaluation.comparison import Comparison, Difference


def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="Rows (expressions.jsonl) of one system, or their folder.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Rows of the other on the same expressions.")],
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="Compare under these only; may be given several times.", show_default="all in both"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare two systems, B minus A: paired differences with 95 % intervals, and Wilcoxon's test."""
    from rich.console import Console

    from refseg import protocols
    from refseg.errors import InvalidInput, choose_one, printable
    from refseg.evaluation.comparison import compare as run
    from refseg.evaluation.comparison import paired
    from refseg.evaluation.rows import read_rows

    a, b = paired(read_rows(first), read_rows(second))
    if not a:
        raise InvalidInput(f"{first} holds no rows; give those that `refseg evaluate` or `refseg score` wrote")
    names = [dict.fromkeys(name for row in rows for name in row.scores) for rows in (a, b)]
    common = [name for name in names[0] if name in names[1]]
    for name in protocol or []:
        if name not in common:
            raise InvalidInput(f"not both files have figures under {name!r}; {choose_one(name, common)}")
    if not common:
        raise InvalidInput(f"{first} and {second} have no protocol in common; evaluate both under the same")
    found = [run(a, b, protocols.build(name)) for name in protocol or common]
    if as_json:
        print(json.dumps({"a": str(first), "b": str(second), "protocols": [one.to_dict() for one in found]}, indent=1))
        return
    console = Console(highlight=False, markup=False, emoji=False)
    shown = "video" if a[0].frame else "image"
    counts = f"{counted(found[0].expressions, 'expression')}, {counted(found[0].images, shown)}"
    console.print(f"A {printable(str(first))}\nB {printable(str(second))}\n{counts}; percent")
    for comparison in found:
        show(comparison, console, shown)


def show(comparison: "Comparison", console: "Console", shown: str = "image") -> None:
    """Prints the tables of one protocol; expressions are about what is `shown`."""
    measure = "mean J" if "J&F" in comparison.metrics else "mean IoU"
    console.print(f"\n{comparison.protocol}", style="bold")
    metrics = {name: (None, difference) for name, difference in comparison.metrics.items()}
    _table(console, "metric", metrics)
    console.print(
        f"better in B: {100 * comparison.better:.2f} % of answers, worse: {100 * comparison.worse:.2f} %; "
        f"Wilcoxon on {measure} by {shown}: p = {comparison.p_value:.2g}"
    )
    for column, table in comparison.by.items():
        console.print(f"\n{measure} by {column}, {comparison.protocol}", style="bold")
        _table(console, column, table)


def _table(console: "Console", corner: str, lines: "Mapping[str, tuple[int | None, Difference]]") -> None:
    from rich.console import Console
    from rich.table import Table

    from refseg.errors import printable

    assert isinstance(console, Console)
    counted = any(number is not None for number, _ in lines.values())
    table = Table(corner, *(["expr."] if counted else []), "A", "B", "B - A", "95 % interval", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for name, (number, difference) in lines.items():
        values = [difference.a, difference.b, difference.b - difference.a]
        interval = difference.interval
        table.add_row(
            printable(name),
            *([f"{number:,}"] if counted else []),
            *(f"{100 * value:.2f}" for value in values[:2]),
            f"{100 * values[2]:+.2f}",
            f"{100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}" if interval else "-",
        )
    console.print(table)
