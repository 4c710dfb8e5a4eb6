"""`refseg compare`: two systems on the same expressions, and whether they differ by more than chance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.commands.columns import align
from refseg.counting import counted

if TYPE_CHECKING:
    from rich.console import Console

    from refseg.evaluation.comparison import Comparison, Difference
    from refseg.evaluation.leaderboard import Leaderboard
    from refseg.evaluation.rows import Row


def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="Rows (expressions.jsonl) of one system, or their folder.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Rows of the other on the same expressions.")],
    more: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="C...", help="Further systems: a table of all, and a test of each pair.", show_default=False
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="Compare under these only; may be given several times.", show_default="all in both"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare two systems, B minus A: paired differences with 95 % intervals, and Wilcoxon's test.

    Of three systems or more: a table of all, the best first, with 95 % intervals, and a test of each pair.
    """
    from rich.console import Console

    from refseg import protocols
    from refseg.errors import printable
    from refseg.evaluation.comparison import compare as run
    from refseg.evaluation.comparison import paired

    if more:
        _rank([first, second, *more], protocol or [], as_json)
        return
    a, b = paired(*_read([first, second]))
    found = [run(a, b, protocols.build(name)) for name in _chosen_protocols([a, b], protocol or [])]
    if as_json:
        print(json.dumps({"a": str(first), "b": str(second), "protocols": [one.to_dict() for one in found]}, indent=1))
        return
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    shown = "video" if a[0].frame else "image"
    console.print(f"A {printable(str(first))}\nB {printable(str(second))}")
    for comparison in found:
        show(comparison, console, shown)


def _read(files: Sequence[Path]) -> "list[list[Row]]":
    """Reads the rows of each system."""
    from refseg.errors import InvalidInput, printable
    from refseg.evaluation.rows import read_rows, rows_file

    systems = [read_rows(file) for file in files]
    for file, rows in zip(files, systems, strict=True):
        if not rows:
            raise InvalidInput(f"{file} holds no rows; give those that `refseg evaluate` or `refseg score` wrote")
    places = [rows_file(file).resolve() for file in files]
    if twice := [file for k, file in enumerate(files) if places[k] in places[:k]]:
        raise InvalidInput(f"{printable(str(twice[0]))} is given twice; give each system once")
    return systems


def _chosen_protocols(systems: "Sequence[Sequence[Row]]", chosen: list[str]) -> list[str]:
    """Returns the protocols to compare under: those that are chosen, or all that all systems have in common."""
    from refseg.errors import InvalidInput, choose_one

    names = [dict.fromkeys(name for row in rows for name in row.scores) for rows in systems]
    common = [name for name in names[0] if all(name in some for some in names)]
    if not common:
        raise InvalidInput("the files have no protocol in common; evaluate all of them under the same")
    for name in chosen:
        if name not in common:
            raise InvalidInput(f"not all files have figures under {name!r}; {choose_one(name, common)}")
    return chosen or common


def _rank(files: list[Path], protocol: list[str], as_json: bool) -> None:
    from rich.console import Console

    from refseg import protocols
    from refseg.evaluation.leaderboard import rank

    systems = dict(zip(map(str, files), _read(files), strict=True))
    chosen = _chosen_protocols(list(systems.values()), protocol)
    boards = [rank(systems, protocols.build(name)) for name in chosen]
    if as_json:
        print(json.dumps({"systems": list(systems), "protocols": [one.to_dict() for one in boards]}, indent=1))
        return
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    shown = "video" if systems[str(files[0])][0].frame else "image"
    for board in boards:
        _show_board(board, console, shown)


def _show_board(board: "Leaderboard", console: "Console", shown: str) -> None:
    from refseg.errors import printable
    from refseg.evaluation.report.report import COLUMNS, VIDEO_COLUMNS

    console.print(f"\n{board.protocol}", style="bold")
    _print_counts(board, console, shown)
    metrics = [one for one in (*VIDEO_COLUMNS, *COLUMNS) if one in board.standings[0].values]
    metrics = list(dict.fromkeys(metrics))
    lines = [["", "system", board.metric, "95 % interval", *(name for name in metrics if name != board.metric)]]
    for place, one in enumerate(board.standings, start=1):
        rest = [f"{100 * one.values[name]:.2f}" for name in metrics if name != board.metric]
        interval = _interval(one.intervals.get(board.metric))
        lines.append([str(place), printable(one.name), f"{100 * one.values[board.metric]:.2f}", interval, *rest])
    _print_lines(lines, console, left=2)
    lines = [["", "", f"{board.metric} difference", "95 % interval", "p", "p, all pairs"]]
    numbers = {one.name: str(place) for place, one in enumerate(board.standings, start=1)}
    for pair in board.pairs:
        names = f"{numbers[pair.higher]} - {numbers[pair.lower]}", ""
        interval = _interval(pair.interval, sign="+")
        lines.append([*names, f"{100 * pair.difference:+.2f}", interval, f"{pair.p_value:.2g}", f"{pair.adjusted:.2g}"])
    console.print(
        f"\npairs; p of Wilcoxon's test on {board.tested} by {shown}, and for all pairs together by Holm's method"
    )
    _print_lines(lines, console, left=1)


def _print_counts(compared: "Comparison | Leaderboard", console: "Console", shown: str) -> None:
    from refseg.evaluation.report.few_caveat import find_few_caveat

    console.print(f"{counted(compared.expressions, 'expression')}, {counted(compared.images, shown)}; percent")
    if few := find_few_caveat(compared.expressions, compared.images, shown):
        console.print(f"beware: {few}", style="yellow")


def _interval(ends: tuple[float, float] | None, sign: str = "") -> str:
    return f"{100 * ends[0]:{sign}.2f} to {100 * ends[1]:{sign}.2f}" if ends else "-"


def _print_lines(lines: list[list[str]], console: "Console", left: int) -> None:
    """Prints cells in columns, the first ones aligned left."""
    for line in align(lines, [n < left for n in range(len(lines[0]))]):
        console.print(line)


def show(comparison: "Comparison", console: "Console", shown: str = "image") -> None:
    """Prints the tables of one protocol; expressions are about what is `shown`."""
    console.print(f"\n{comparison.protocol}", style="bold")
    _print_counts(comparison, console, shown)
    metrics = {name: (None, difference) for name, difference in comparison.metrics.items()}
    _print_differences(console, "metric", metrics)
    console.print(
        f"better in B: {100 * comparison.better:.2f} % of answers, worse: {100 * comparison.worse:.2f} %; "
        f"Wilcoxon on {comparison.tested} by {shown}: p = {comparison.p_value:.2g}"
    )
    for column, table in comparison.by.items():
        console.print(f"\n{comparison.tested} by {column}, {comparison.protocol}", style="bold")
        _print_differences(console, column, table)


def _print_differences(console: "Console", corner: str, lines: "Mapping[str, tuple[int | None, Difference]]") -> None:
    from refseg.errors import printable

    has_counts = any(number is not None for number, _ in lines.values())
    cells = [[corner, *(["expr."] if has_counts else []), "A", "B", "B - A", "95 % interval"]]
    for name, (number, difference) in lines.items():
        counts = [f"{number:,}"] if has_counts else []
        values = [f"{100 * value:.2f}" for value in (difference.a, difference.b)]
        values.append(f"{100 * (difference.b - difference.a):+.2f}")
        if difference.a < 0 or difference.b < 0:  # as COCO has it: without a true mask of that size
            values = ["-"] * 3
        cells.append([printable(name), *counts, *values, _interval(difference.interval, sign="+")])
    _print_lines(cells, console, left=1)
