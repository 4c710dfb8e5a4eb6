"""`refseg robustness`: how weights answer when sentences and pictures are not as in the benchmark."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refseg.commands import options
from refseg.commands.columns import align
from refseg.commands.completion import complete_weights
from refseg.commands.progress import progress

if TYPE_CHECKING:
    from refseg.robustness.report import RobustnessReport

DATASET = "drawn_scenes"


def robustness(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WEIGHTS... DATASET",
            help="Weights, as of `refseg evaluate`, one or several; the last word is the data set, or FILE.py:NAME.",
            show_default=False,
            autocompletion=complete_weights,
        ),
    ] = None,
    split: options.Split = "test",
    root: options.Root = None,
    split_by: options.SplitBy = None,
    images: options.Images = None,
    grefs: options.Grefs = None,
    count: options.Count = None,
    settings: options.Settings = None,
    kinds: Annotated[
        str, typer.Option(help="Kinds of change, with commas between them; or sentences, or pictures.")
    ] = "sentences,pictures",
    severities: Annotated[
        str, typer.Option(help="Severities of changed pictures, with commas between them: 1 (mild) to 5.")
    ] = "1,3,5",
    seed: Annotated[int, typer.Option(help="Another seed, other changed sentences; published figures use 0.")] = 0,
    masks: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Another program's answers to exported questions: a folder of ID.png, or JSON Lines of run lengths; "
            "repeatable.",
        ),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also: the right answers, the first weights without language, a reader that knows the true objects.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the answers, robustness.json and robustness.html.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Ask nobody; write the questions for other programs into a new folder."),
    ] = None,
    list_kinds: Annotated[bool, typer.Option("--list", help="List the kinds of change.")] = False,
    network: options.Network = None,
    device: options.Device = "auto",
    precision: options.Precision = "f32",
    batch_images: Annotated[int, typer.Option(min=1, help="Pictures that a network gets at once.")] = 8,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Threads that draw and resize pictures.", show_default="processors, at most 8"),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Print all tables, which the page of --out has too.")] = False,
) -> None:
    """Ask weights again in other words and about changed pictures: drops, consistency, flips, false alarms.

    With --out each image is on disk at once: the same command goes on where it was stopped, and one with further
    weights asks these alone.
    """
    import shlex
    import sys

    from refseg.errors import InvalidInput, printable

    if list_kinds:
        _list_kinds()
        return
    options.add_networks(network)
    weights, dataset = _divide(words or [], bool(masks or export))
    divided = [options.divide_settings(one, settings) for one in weights]
    weights = [one for one, _ in divided]
    if settings:  # what is a setting of none of the weights is one of the data set
        settings = [text for text in settings if all(text in rest for _, rest in divided)]
    dataset = options.add_dataset(dataset)
    given = options.settings_of(dataset, split, root, split_by, images, count, settings, grefs)
    chosen = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    levels = _numbers(severities)
    if export:
        if weights or masks or out or baselines:
            raise InvalidInput("--export asks nobody; leave out weights, --masks, --baselines and --out")
        _export(export, dataset, chosen, levels, seed, given)
        return
    from refseg.robustness.run import measure_robustness

    try:
        report = measure_robustness(
            weights,
            dataset,
            kinds=chosen,
            severities=levels,
            seed=seed,
            masks=masks or [],
            baselines=baselines,
            out=out,
            device=device,
            precision=precision,
            batch_images=batch_images,
            workers=workers,
            progress=progress,
            on_message=lambda line: typer.echo(printable(line), err=True),
            command=shlex.join(["refseg", *sys.argv[1:]]),
            **given,
        )
    except KeyboardInterrupt:
        if out:
            typer.echo("the answers so far are kept; the same command goes on from there", err=True)
        raise
    _show(report, out, full)


def _divide(words: Sequence[str], without_weights: bool) -> tuple[list[str], str]:
    """Returns weights and data set."""
    from refseg.datasets import DATASETS
    from refseg.errors import InvalidInput, choose_one, did_you_mean
    from refseg.extensions import is_extension

    if not words:
        if without_weights:
            return [], DATASET
        raise InvalidInput(
            "name weights and a data set, for example: refseg robustness selector drawn_scenes --count 50"
        )
    *others, last = words
    if last in DATASETS or is_extension(last):
        if not others and not without_weights:
            raise InvalidInput(f"name weights before the data set, for example: refseg robustness selector {last}")
        return others, last
    if others or without_weights or did_you_mean(last, DATASETS):
        raise InvalidInput(f"the last word is the data set, and {last!r} is none; {choose_one(last, DATASETS)}")
    raise InvalidInput(f"name a data set after the weights, for example: refseg robustness {last} {DATASET} --count 50")


def _numbers(text: str) -> list[int]:
    from refseg.errors import InvalidInput, shown

    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InvalidInput(f"--severities {shown(text)} are no numbers; write them as --severities 1,3,5") from None


def _list_kinds() -> None:
    from refseg.robustness.pictures import PICTURE_KINDS
    from refseg.robustness.sentences import SENTENCE_KINDS

    lines = [("kind", "referent", "what it does")]
    lines += [(name, ", ".join(kind.effects), kind.about) for name, kind in SENTENCE_KINDS.items()]
    lines += [(name, "stay", kind.about) for name, kind in PICTURE_KINDS.items()]
    print("\n".join(align(lines, [True, True, True])))


def _export(
    folder: Path, dataset: str, kinds: list[str], severities: list[int], seed: int, given: dict[str, Any]
) -> None:
    import shlex

    from refseg.counting import counted
    from refseg.robustness.run import export_robustness

    counts = export_robustness(
        dataset, folder, kinds=kinds, severities=severities, seed=seed, progress=progress, **given
    )
    unknown = counts["unknown"]
    left_out = f" ({counted(unknown, 'question')} left out, whose answer is not known)" if unknown else ""
    print(f"{folder}: {counted(counts['pictures'], 'picture')}, {counted(counts['questions'], 'question')}{left_out}")
    split = f" --split {shlex.quote(str(given['split']))}" if given["split"] != "test" else ""
    print(f"answers score with: refseg score MASKS jsonl --root {shlex.quote(str(folder))}{split}")
    print("and as robustness: the same command with --masks MASKS in the place of --export")


def _show(report: "RobustnessReport", out: Path | None, full: bool) -> None:
    """Prints the first tables, or all of them, and the path of the page."""
    from rich.console import Console

    from refseg.errors import printable
    from refseg.robustness.report import PAGE

    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
    console.print(f"{printable(report.title())}\n{report.counts()}; percent", style="bold")
    for caution in report.cautions:
        console.print(f"beware: {printable(caution)}")
    sections = [report.headline(), *report.differences()]
    sections += [*report.sections(), *report.forms()] if full else report.short()
    for title, head, lines in sections:
        console.print(f"\n{title}", style="bold")
        is_text = [name in ("system", "kind", "form", "referent", "figure") for name in head]
        for line in align([head, *[[printable(cell) for cell in line] for line in lines]], is_text):
            console.print(line)
    if out:
        print(f"report: {out / PAGE}")
    elif not full:
        print("--full prints all tables; --out results writes them as a page with the worst answers")
