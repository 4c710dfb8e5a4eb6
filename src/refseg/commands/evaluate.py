"""`refseg evaluate`: weights and data set to tables of metrics."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    weights: Annotated[str, typer.Argument(help="Checkpoint folder, name of bundled weights, or hub id.")],
    dataset: Annotated[str, typer.Argument(help="Name of a data set.")] = "drawn_scenes",
    split: Annotated[str, typer.Option(help="Which part of the data set.")] = "test",
    count: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.", show_default="all")] = None,
    protocol: Annotated[str, typer.Option(help="How masks are scored.")] = "standard",
    shortcuts: Annotated[bool, typer.Option("--shortcuts", help="Also score answers that need no language.")] = False,
    crf: Annotated[
        bool, typer.Option("--crf", help="Draw masks to the image's edges (DenseCRF): pip install 'refseg[crf]'.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for report.json, report.md, expressions.jsonl.")] = None,
    device: Annotated[str, typer.Option(help="Where the network runs: cpu, cuda.")] = "cpu",
) -> None:
    """Score weights on a data set: overall, by type of expression, by kind of error."""
    import hashlib
    import shlex
    import sys
    import time
    from contextlib import ExitStack
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from refseg import datasets, protocols
    from refseg.checkpoints import WEIGHTS, find, load_checkpoint
    from refseg.crf import DenseCRF, library
    from refseg.evaluation.report import evaluate as run
    from refseg.hardware import hardware, versions
    from refseg.outputs import all_or_nothing

    if crf:
        library()  # or an error before the weights are read
    scoring = protocols.build(protocol)
    samples = datasets.build(dataset, split=split, count=count)
    checkpoint = load_checkpoint(weights, device)
    about = {
        "dataset": dataset,
        "split": split,
        "seed": getattr(samples, "seed", None),
        "generator_version": getattr(sys.modules[type(samples).__module__], "VERSION", None),
        "weights": {"name": weights, "sha256": hashlib.sha256((find(weights) / WEIGHTS).read_bytes()).hexdigest()},
        "precision": str(next(checkpoint.network.parameters()).dtype).removeprefix("torch."),
        "command": shlex.join(["refseg", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(device),
        "versions": versions(),
    }
    with ExitStack() as stack:
        folder = stack.enter_context(all_or_nothing(out)) if out else None
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        errors = Console(stderr=True)
        progress = stack.enter_context(Progress(*columns, console=errors, transient=True))
        task = progress.add_task("images", total=len(samples) * (2 if shortcuts else 1))
        begin = time.perf_counter()
        report, rows = run(
            checkpoint,
            samples,
            scoring,
            about,
            shortcuts,
            on_images=lambda images: progress.advance(task, images),
            crf=DenseCRF() if crf else None,
        )
        report.about["seconds"] = round(time.perf_counter() - begin, 1)
        if folder:
            report.write(folder, rows)
    report.print(Console())
    if out:
        print(f"\nwritten: {out}")
