"""`refseg study`: a table of a paper, trained and scored row by row."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.commands import options
from refseg.commands.columns import align
from refseg.commands.completion import complete_studies
from refseg.commands.progress import progress
from refseg.optional import importing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from refseg.studies.results import Results

OUT, SMALL_OUT = Path("runs/studies"), Path("runs/studies_small")


def study(
    name: Annotated[
        str,
        typer.Argument(
            help="Which table; or a .yaml file, a table of your own.",
            show_default="list all",
            autocompletion=complete_studies,
        ),
    ] = "",
    show: Annotated[bool, typer.Option("--show", help="Only print its rows and the paper's figures.")] = False,
    small: Annotated[bool, typer.Option("--small", help="On drawn scenes or clips, on a laptop.")] = False,
    costs: Annotated[
        bool, typer.Option("--costs", help="Only count and measure what the rows cost; nothing is trained.")
    ] = False,
    rows: Annotated[str, typer.Option(help="Rows by number: 1,8 or 2-4.", show_default="all")] = "",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings of each row.")] = 1,
    devices: Annotated[int, typer.Option(min=1, help="Processes of a training, each with its own device.")] = 1,
    device: Annotated[str, typer.Option(help="Device of scoring and measuring: cpu, cuda or auto.")] = "auto",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change one setting of all rows: a.b=value. May be repeated.")
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE.py:NAME", help="A recipe of your own that rows name, as refseg train takes it; repeatable."
        ),
    ] = None,
    pictures: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Train nothing, and draw so many expressions on which the trained rows differ most, with the answer "
            "of each row.",
            show_default=False,
        ),
    ] = None,
    expression: Annotated[
        list[str] | None,
        typer.Option("--expression", "-e", metavar="TEXT", help="Draw this one, by its id or its text; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of studies; equal rows of all that it holds are trained once.",
            show_default=f"{OUT}, with --small {SMALL_OUT}",
        ),
    ] = None,
) -> None:
    """List the papers' tables, or train and score one: its rows beside the paper's figures, its claims, its costs.

    Our own network has a table of ablations too, without figures of a paper.

    The same command goes on where it was stopped; other --rows and more --seeds add to a finished study.
    """
    from rich.console import Console

    from refseg.errors import InvalidInput

    if recipe:
        options.add_recipes(recipe)
    folder = out or (SMALL_OUT if small else OUT)
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not name:
        if show or rows or costs or pictures or expression or set_ or seeds > 1 or devices > 1:
            raise InvalidInput("name a table, for example: refseg study cmirnet_table3 --show")
        _list(folder)
        return
    if show:
        if rows or costs or pictures or expression or set_:
            raise InvalidInput("--show prints a whole table as it is; leave out all other options but --small")
        _show(name, small, console)
        return
    if pictures or expression:
        if seeds > 1 or devices > 1 or costs:
            others = "--seeds, --devices and --costs"
            raise InvalidInput(f"pictures are of rows that are trained already; leave out {others}")
        _draw(name, folder, small, rows, pictures, expression or [], device, set_ or [])
        return
    with importing("training", "train"):
        from refseg.studies.run import run_study
    try:
        results = run_study(
            name,
            folder,
            small=small,
            rows=rows,
            costs_only=costs,
            seeds=seeds,
            devices=devices,
            device=device,
            settings=set_ or [],
            progress=progress,
            on_message=lambda line: typer.echo(line, err=True),
        )
    except KeyboardInterrupt as stopped:
        from refseg.training.stopping import TrainingStopped

        typer.echo(f"{str(stopped) or 'stopped'}. The same command goes on.", err=True)
        if isinstance(stopped, TrainingStopped) and stopped.signal:
            raise typer.Exit(128 + stopped.signal) from stopped
        raise
    _print(results, console)


def _draw(
    name: str,
    folder: Path,
    small: bool,
    rows: str,
    number: int | None,
    expressions: list[str],
    device: str,
    settings: list[str],
) -> None:
    from refseg.counting import counted

    with importing("training", "train"):
        from refseg.studies.pictures import draw_pictures
    from refseg.studies import find_study
    from refseg.studies.write import PAGE_FILE, PICTURE_FILES

    drawn = draw_pictures(
        name,
        folder,
        small=small,
        rows=rows,
        number=number,
        expressions=expressions,
        device=device,
        settings=settings,
        progress=progress,
        on_message=lambda line: typer.echo(line, err=True),
    )
    files = ", ".join(str(folder / find_study(name).name / file) for file in (*PICTURE_FILES, PAGE_FILE))
    typer.echo(f"{files}: {counted(len(drawn.lines), 'expression')}, {' | '.join(drawn.columns)}")


def _list(folder: Path) -> None:
    from refseg.studies import STUDIES, find_study
    from refseg.studies.done import count_done

    lines = [("study", "table", "rows", "trainings", "small", "done")]
    for one in STUDIES.values():
        trained = find_study(one.tests) if one.tests else one
        small = str(trained.count_trainings(small=True)) if one.has_small else "-"
        done = count_done(one, folder)
        trainings = str(trained.count_trainings())
        table = one.table if len(one.table) < 62 else f"{one.table[:59]}..."
        lines.append((one.name, table, str(len(one.rows)), trainings, small, str(done) if done else ""))
    typer.echo("\n".join(align(lines, [True, True, False, False, False, False])))
    typer.echo(
        f"\nRows and the paper's figures: refseg study cmirnet_table3 --show. On a laptop: refseg study eavl_table4 "
        f"--small.\nCosts, without data: refseg study cmirnet_table8 --costs. trainings: of one seed at full size, "
        f"small: with --small. done: rows with figures in {folder}; of others: refseg study --small, or --out FOLDER."
    )


def _show(name: str, small: bool, console: "Console") -> None:
    from refseg.counting import counted
    from refseg.studies import find_study
    from refseg.studies.resolve import (
        SMALL_COUNT,
        SMALL_METRICS,
        STANDARD_NAME,
        check_small,
        describe_data,
        resolve_recipe,
    )
    from refseg.studies.study_text import format_claims, format_title, paper_table, settings_table

    chosen = find_study(name)
    trained = find_study(chosen.tests) if chosen.tests else chosen
    if small:
        check_small(chosen)
        facts = [f"in small, recipe {trained.small}" if trained.small else "in small"]
        facts += [f"at most {counted(trained.count_trainings(small), 'training')} for each seed"]
        recipes = filter(None, (resolve_recipe(trained, row, small=True) for row in trained.rows))
        if steps := sorted({sum(stage.steps or 0 for stage in recipe.stages) for recipe in recipes}):
            ends = dict.fromkeys((steps[0], steps[-1]))
            facts.append(f"{' to '.join(f'{end:,}' for end in ends)} steps each")
        facts.append(f"scored on the first {SMALL_COUNT} of split test, protocol {STANDARD_NAME}")
        facts.append(f"columns {', '.join(SMALL_METRICS)}")
    else:
        facts = [trained.recipe and f"recipe {trained.recipe}", trained.small and f"in small {trained.small}"]
        facts += [describe_data(trained), f"protocol {trained.protocol}"]
        facts += [f"all rows {' '.join(trained.common)}" if trained.common else ""]
    console.print(format_title(chosen), style="bold")
    console.print("; ".join(filter(None, facts)))
    for table in (settings_table(chosen, small), *([paper_table(chosen)] if chosen.has_figures else [])):
        print_table(table.title, table.head, table.lines, console, frozenset())
    if claims := format_claims(chosen, small):
        console.print(f"\nClaims, by numbers of rows: {claims}")
    if not (small or chosen.has_figures):
        columns = (one.title if one.place in one.title else f"{one.title} ({one.place})" for one in chosen.columns)
        console.print(f"Columns: {', '.join(columns)}")
    for note in chosen.notes:
        console.print(f"* {note}")


def _print(results: "Results", console: "Console") -> None:
    from refseg.studies.claims import judge_claims
    from refseg.studies.write import PAGE_FILE, list_remarks, study_tables

    claims = judge_claims(results)
    for line in list_remarks(results, claims):
        console.print(line)
    for table in study_tables(results, claims)[: None if results.study.tests else -1]:  # settings are in the files
        print_table(table.title, table.head, table.lines, console, table.paper)
    console.print(f"\nreport: {results.folder / PAGE_FILE}")


def print_table(
    heading: str, head: "Sequence[str]", lines: "Sequence[Sequence[str]]", console: "Console", grey: frozenset[int]
) -> None:
    """Prints a table, with some of its lines in grey; a line is never broken but by the terminal."""
    from refseg.studies.study_text import TEXT_COLUMNS

    console.print(f"\n{heading}", style="bold")
    is_text = [column in TEXT_COLUMNS for column in head]
    for number, line in enumerate(align([head, *lines], is_text), start=-1):
        console.print(line, style="bright_black" if number in grey else None)
