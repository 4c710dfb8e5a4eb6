"""`refseg evaluate`: weights and data set to tables of metrics."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options
from refseg.commands.progress import progress

Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol", help="How masks are scored; may be given several times.", show_default="those of the data set"
    ),
]
Out = Annotated[Path | None, typer.Option(help="Folder for rows and reports (JSON, Markdown, HTML).")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Threads that decode and count.", show_default="processors, at most 8")
]


def evaluate(
    weights: Annotated[str, typer.Argument(help="Checkpoint folder, name of bundled weights, or hub id.")],
    dataset: options.Name = "drawn_scenes",
    split: options.Split = "test",
    root: options.Root = None,
    split_by: options.SplitBy = None,
    images: options.Images = None,
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
    device: Annotated[str, typer.Option(help="Where the network runs: cpu, cuda.")] = "cpu",
    batch_images: Annotated[int, typer.Option(min=1, help="Images that the network gets at once.")] = 8,
    workers: Workers = None,
) -> None:
    """Score weights on a data set of images or videos: by protocol, by type of expression, by kind of error.

    With --out every answer is on disk at once: the same command goes on where it was stopped. Under torchrun the
    images are divided among the processes.
    """
    import shlex
    import sys

    from rich.console import Console

    from refseg.commands.evaluate_submission import write_submission
    from refseg.distributed import ranks
    from refseg.errors import InvalidInput
    from refseg.evaluation import evaluate as evaluation
    from refseg.inference.crf import DenseCRF

    options.add_networks(network)
    dataset, protocol = options.add_dataset(dataset), options.add_protocols(protocol)
    given = options.settings_of(dataset, split, root, split_by, images, count, settings)
    if submission:
        if protocol or shortcuts or out or masks:
            raise InvalidInput("--submission scores nothing; leave out --protocol, --shortcuts, --out and --masks")
        write_submission(weights, dataset, given, submission, device, crf)
        return
    with ranks() as mine:
        report = evaluation.evaluate(
            weights,
            dataset,
            protocols=protocol,
            out=out,
            device=device,
            batch_images=batch_images,
            workers=workers,
            masks=masks,
            crf=DenseCRF() if crf else None,
            shortcuts=shortcuts,
            progress=progress,
            on_message=lambda line: typer.echo(line, err=True),
            command=shlex.join(["refseg", *sys.argv[1:]]),
            **given,
        )
    if mine.rank:
        return
    report.print(Console(markup=False, emoji=False))
    if out:
        print(f"\nwritten: {out}")
