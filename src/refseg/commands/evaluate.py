"""`refseg evaluate`: weights and data set to tables of metrics."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import dataset_options
from refseg.commands import scoring_options as options
from refseg.commands.progress import progress

Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", help="How masks are scored; may be given several times.", show_default="standard"),
]
Out = Annotated[Path | None, typer.Option(help="Folder for rows and reports (JSON, Markdown, HTML).")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Threads that decode and count.", show_default="processors, at most 8")
]


def evaluate(
    weights: Annotated[str, typer.Argument(help="Checkpoint folder, name of bundled weights, or hub id.")],
    dataset: dataset_options.Name = "drawn_scenes",
    split: dataset_options.Split = "test",
    root: dataset_options.Root = None,
    split_by: dataset_options.SplitBy = None,
    images: dataset_options.Images = None,
    count: dataset_options.Count = None,
    settings: options.Settings = None,
    protocol: Protocols = None,
    shortcuts: Annotated[bool, typer.Option("--shortcuts", help="Also score answers that need no language.")] = False,
    crf: Annotated[
        bool, typer.Option("--crf", help="Draw masks to the image's edges (DenseCRF): pip install 'refseg[crf]'.")
    ] = False,
    out: Out = None,
    masks: Annotated[bool, typer.Option("--masks", help="Also write the masks, run-length coded.")] = False,
    device: Annotated[str, typer.Option(help="Where the network runs: cpu, cuda.")] = "cpu",
    batch_images: Annotated[int, typer.Option(min=1, help="Images that the network gets at once.")] = 8,
    workers: Workers = None,
) -> None:
    """Score weights on a data set: by protocol, by type of expression, by kind of error.

    With --out every answer is on disk at once: the same command goes on where it was stopped. Under torchrun the
    images are divided among the processes.
    """
    import hashlib
    import shlex
    import sys
    import time
    from contextlib import ExitStack
    from datetime import UTC, datetime

    from rich.console import Console

    from refseg import __version__, datasets
    from refseg.checkpoints import WEIGHTS, find, load_checkpoint
    from refseg.crf import DenseCRF, library
    from refseg.errors import InvalidInput
    from refseg.evaluation.answers import answer
    from refseg.evaluation.ranks import ranks
    from refseg.evaluation.report import summed_up
    from refseg.evaluation.scoring import STANDARD
    from refseg.evaluation.shortcuts import score_shortcuts
    from refseg.evaluation.unfinished import Unfinished
    from refseg.evaluation.write import masks_again, write
    from refseg.hardware import hardware, versions
    from refseg.outputs import check_writable

    if crf:
        library()  # or an error before the weights are read
    if masks and out is None:
        raise InvalidInput("--masks needs a place for them; give --out FOLDER")
    scoring = options.protocols_of(protocol)
    given = options.settings_of(split, root, split_by, images, count, settings)
    samples = datasets.build_images(dataset, **given)
    if out:
        check_writable(out)
    with ExitStack() as stack:
        mine = stack.enter_context(ranks())
        if mine.world > 1 and out is None:
            raise InvalidInput("many processes need a place to put their rows together; give --out FOLDER")
        checkpoint = load_checkpoint(weights, mine.device(device))
        run = {
            **options.facts(samples, dataset, given),
            "weights": {"name": weights, "sha256": hashlib.sha256((find(weights) / WEIGHTS).read_bytes()).hexdigest()},
            "protocol": [one.name for one in scoring],
            "crf": DenseCRF().model_dump() if crf else None,
            "images": len(samples),
            "masks": masks,
            "version": __version__,
        }
        unfinished = Unfinished(out, run, mine.rank, mine.world) if out else None
        left = unfinished.mine(len(samples)) if unfinished else list(range(len(samples)))
        begin, refine = time.perf_counter(), DenseCRF() if crf else None
        if unfinished and unfinished.done and mine.rank == 0:
            typer.echo(f"goes on: {len(unfinished.done):,} of {len(samples):,} images are answered", err=True)
        advance = stack.enter_context(progress(len(left) * (2 if shortcuts else 1), mine.rank))
        answers = []
        for image in answer(
            checkpoint,
            (samples[k] for k in left),
            scoring,
            refine,
            masks,
            left,
            batch_images,
            options.threads(workers),
        ):
            if unfinished:
                unfinished.write(image)
            else:
                answers.append(image)
            advance(1)
        mine.wait_for_all()
        if mine.rank:
            return
        answers = unfinished.answers() if unfinished else answers
        about = {
            "answers": weights,
            **{
                name: value
                for name, value in run.items()
                if name not in ("protocol", "images", "masks", "version") and value is not None
            },
            "processes": mine.world,
            "batch_images": batch_images,
            "precision": str(next(checkpoint.network.parameters()).dtype).removeprefix("torch."),
            "command": shlex.join(["refseg", *sys.argv[1:]]),
            "date": datetime.now(UTC).date().isoformat(),
            "hardware": hardware(mine.device(device)),
            "versions": versions(),
        }
        report = summed_up(answers, scoring, about, checkpoint)
        if shortcuts:
            report.shortcuts = score_shortcuts(checkpoint, samples, STANDARD, advance)
        report.about["seconds"] = round(time.perf_counter() - begin, 1)
        if out and unfinished:
            write(out, report, answers, samples, masks_again(checkpoint, refine))
            unfinished.remove()
    report.print(Console())
    if out:
        print(f"\nwritten: {out}")
