"""`refseg score`: masks that any program wrote, to the same tables as `refseg evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options
from refseg.commands.evaluate import Out, Protocols, Workers
from refseg.commands.progress import progress


def score(
    masks: Annotated[Path, typer.Argument(help="Folder of ID.png, or JSON Lines of run lengths with id.")],
    dataset: options.Name,
    split: options.Split = "test",
    root: options.Root = None,
    split_by: options.SplitBy = None,
    images: options.Images = None,
    count: options.Count = None,
    settings: options.Settings = None,
    protocol: Protocols = None,
    out: Out = None,
    workers: Workers = None,
) -> None:
    """Score masks that another program wrote, named by the ids of their expressions.

    Of videos: EXPRESSION/FRAME.png, or anno_K/VIDEO/FRAME.png with labels as the tool of DAVIS takes them.
    """
    import shlex
    import sys

    from rich.console import Console

    from refseg.evaluation.evaluate import score_masks

    dataset = options.add_dataset(dataset)
    report = score_masks(
        masks,
        dataset,
        protocols=options.add_protocols(protocol),
        out=out,
        workers=workers,
        progress=progress,
        on_message=lambda line: typer.echo(f"warning: {line}", err=True),
        command=shlex.join(["refseg", *sys.argv[1:]]),
        **options.settings_of(dataset, split, root, split_by, images, count, settings),
    )
    report.print(Console(markup=False, emoji=False))
    if out:
        print(f"\nwritten: {out}")
