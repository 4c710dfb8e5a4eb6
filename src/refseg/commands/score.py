"""`refseg score`: masks that any program wrote, to the same tables as `refseg evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import dataset_options
from refseg.commands import scoring_options as options
from refseg.commands.evaluate import Out, Protocols, Workers
from refseg.commands.progress import progress


def score(
    masks: Annotated[Path, typer.Argument(help="Folder of ID.png, or JSON Lines of run lengths with id.")],
    dataset: dataset_options.Name,
    split: dataset_options.Split = "test",
    root: dataset_options.Root = None,
    split_by: dataset_options.SplitBy = None,
    images: dataset_options.Images = None,
    count: dataset_options.Count = None,
    settings: options.Settings = None,
    protocol: Protocols = None,
    out: Out = None,
    workers: Workers = None,
) -> None:
    """Score masks that another program wrote, named by the ids of their expressions."""
    import shlex
    import sys
    from datetime import UTC, datetime

    from rich.console import Console

    from refseg import datasets
    from refseg.evaluation.report import summed_up
    from refseg.evaluation.stored_masks import compare_ids, masks_of, open_masks, score_masks
    from refseg.evaluation.write import write
    from refseg.hardware import versions
    from refseg.outputs import check_writable

    scoring = options.protocols_of(protocol)
    given = options.settings_of(split, root, split_by, images, count, settings)
    samples = datasets.build_images(dataset, **given)
    if out:
        check_writable(out)
    stored = open_masks(masks)
    for line in (surplus := compare_ids(stored, samples)):
        typer.echo(f"warning: {line}", err=True)
    answers = []
    with progress(len(samples)) as advance:
        for image in score_masks(stored, samples, scoring, options.threads(workers)):
            answers.append(image)
            advance(1)
    about = {
        "answers": str(masks),
        **options.facts(samples, dataset, given),
        "command": shlex.join(["refseg", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
    }
    report = summed_up(answers, scoring, about)
    report.cautions += [f"{line[0].upper()}{line[1:]}." for line in surplus]
    if out:
        write(out, report, answers, samples, lambda _, sample: masks_of(stored, sample))
    report.print(Console())
    if out:
        print(f"\nwritten: {out}")
