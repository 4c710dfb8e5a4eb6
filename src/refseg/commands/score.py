"""`refseg score`: masks that any program wrote, to the same tables as `refseg evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options
from refseg.commands.evaluate import Full, Out, Protocols, Workers, show
from refseg.commands.progress import progress


def score(
    masks: Annotated[Path, typer.Argument(help="Folder of ID.png, or JSON Lines of run lengths with id.")],
    dataset: options.Name,
    split: options.Split = "test",
    root: options.Root = None,
    split_by: options.SplitBy = None,
    images: options.Images = None,
    grefs: options.Grefs = None,
    count: options.Count = None,
    settings: options.Settings = None,
    protocol: Protocols = None,
    out: Out = None,
    workers: Workers = None,
    full: Full = False,
) -> None:
    """Score masks that another program wrote, named by the ids that `refseg data ids` lists.

    Of videos: EXPRESSION/FRAME.png, or anno_K/VIDEO/FRAME.png with labels as the tool of DAVIS takes them.
    """
    import shlex
    import sys

    from refseg.errors import printable
    from refseg.evaluation.evaluate import score_masks

    dataset = options.add_dataset(dataset)
    report = score_masks(
        masks,
        dataset,
        protocols=options.add_protocols(protocol),
        out=out,
        workers=workers,
        progress=progress,
        on_message=lambda line: typer.echo(f"warning: {printable(line)}", err=True),
        command=shlex.join(["refseg", *sys.argv[1:]]),
        **options.settings_of(dataset, split, root, split_by, images, count, settings, grefs),
    )
    show(report, out, full)
