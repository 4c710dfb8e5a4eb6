"""`refseg evaluate`: weights and data set to tables of metrics."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refseg.commands import options
from refseg.commands.completion import complete_protocols
from refseg.commands.progress import progress

if TYPE_CHECKING:
    from refseg.evaluation.report.report import Report

Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol",
        help="How masks are scored; may be given several times.",
        show_default="those of the data set",
        autocompletion=complete_protocols,
    ),
]
Out = Annotated[Path | None, typer.Option(help="Folder for rows and reports (JSON, Markdown, HTML).")]
Full = Annotated[bool, typer.Option("--full", help="Print all tables, which the report of --out has too.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Threads that decode and count.", show_default="processors, at most 8")
]


def evaluate(
    weights: options.GivenWeights,
    dataset: options.Name = "drawn_scenes",
    split: options.Split = "test",
    root: options.Root = None,
    split_by: options.SplitBy = None,
    images: options.Images = None,
    grefs: options.Grefs = None,
    count: options.Count = None,
    settings: options.Settings = None,
    protocol: Protocols = None,
    shortcuts: Annotated[bool, typer.Option("--shortcuts", help="Also score answers that need no language.")] = False,
    crf: Annotated[
        bool, typer.Option("--crf", help="Draw masks to the image's edges (DenseCRF): pip install 'refseg[crf]'.")
    ] = False,
    out: Out = None,
    masks: Annotated[
        bool, typer.Option("--masks", help="Also write the masks: run-length coded, of videos a folder of PNG.")
    ] = False,
    submission: Annotated[
        Path | None,
        typer.Option(help="Write only this .zip for the server of the challenge (of refer_youtube_vos, mevis)."),
    ] = None,
    network: options.Network = None,
    device: options.Device = "auto",
    precision: options.Precision = "f32",
    batch_images: Annotated[int, typer.Option(min=1, help="Images that the network gets at once.")] = 8,
    workers: Workers = None,
    full: Full = False,
) -> None:
    """Score weights on a data set of images or videos: by protocol, by type of expression, by kind of error.

    With --out every answer is on disk at once: the same command goes on where it was stopped. Under torchrun the
    images are divided among the processes.
    """
    import shlex
    import sys

    from refseg.errors import InvalidInput, printable
    from refseg.evaluation import evaluate as evaluation
    from refseg.inference.crf import DenseCRF

    options.add_networks(network)
    weights, settings = options.divide_settings(weights, settings)
    dataset, protocol = options.add_dataset(dataset), options.add_protocols(protocol)
    given = options.settings_of(dataset, split, root, split_by, images, count, settings, grefs)
    if submission:
        if protocol or shortcuts or out or masks:
            raise InvalidInput("--submission scores nothing; leave out --protocol, --shortcuts, --out and --masks")
        from refseg.evaluation.submission import write_submission

        written = write_submission(
            weights,
            dataset,
            submission,
            device=device,
            precision=precision,
            crf=DenseCRF() if crf else None,
            progress=progress,
            on_message=lambda line: typer.echo(printable(line), err=True),
            **given,
        )
        if written:
            print(f"written: {submission}")
        return
    report = evaluation.evaluate(
        weights,
        dataset,
        protocols=protocol,
        out=out,
        device=device,
        precision=precision,
        batch_images=batch_images,
        workers=workers,
        masks=masks,
        crf=DenseCRF() if crf else None,
        shortcuts=shortcuts,
        progress=progress,
        on_message=lambda line: typer.echo(printable(line), err=True),
        command=shlex.join(["refseg", *sys.argv[1:]]),
        **given,
    )
    if report:  # otherwise another process of torchrun has it
        show(report, out, full)


def show(report: "Report", out: Path | None, full: bool) -> None:
    """Prints a line of result for each protocol, or all tables, and the path of the report."""
    from rich.console import Console

    console = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
    if full:
        report.print(Console(markup=False, emoji=False))
    else:
        report.print_result(console)
    if out:
        from refseg.evaluation.earlier_results import PAGE

        print(f"report: {out / PAGE}")
    elif not full:
        print("--full prints the tables by type, size and kind of error; --out results writes them as a report")
