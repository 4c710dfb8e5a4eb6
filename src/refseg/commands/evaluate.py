"""`refseg evaluate`: weights and data set to tables of metrics."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands import options
from refseg.commands.progress import progress

MASKS = "masks"

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
    import time
    from contextlib import ExitStack
    from datetime import UTC, datetime

    from rich.console import Console

    from refseg import __version__, datasets
    from refseg.checkpoints.io import load_checkpoint
    from refseg.commands.evaluate_submission import write_submission
    from refseg.distributed import ranks
    from refseg.errors import InvalidInput
    from refseg.evaluation.answers import answer
    from refseg.evaluation.clip_answers import answer_clips
    from refseg.evaluation.clip_scoring import check_clips
    from refseg.evaluation.partial_rows import Unfinished
    from refseg.evaluation.report.provenance import facts, weights_facts
    from refseg.evaluation.report.report import summed_up
    from refseg.evaluation.report.write import masks_again, write
    from refseg.evaluation.scoring import STANDARD
    from refseg.evaluation.shortcut_baselines import score_shortcuts
    from refseg.evaluation.stored_video_masks import saver
    from refseg.files.atomic import check_writable
    from refseg.files.lock import only_writer
    from refseg.hardware import describe_hardware, versions
    from refseg.inference.crf import DenseCRF, library

    given = options.settings_of(split, root, split_by, images, count, settings)
    if submission:
        if protocol or shortcuts or out or masks:
            raise InvalidInput("--submission scores nothing; leave out --protocol, --shortcuts, --out and --masks")
        write_submission(weights, dataset, given, submission, device, crf)
        return
    if crf:
        library()  # or an error before the weights are read
    if masks and out is None:
        raise InvalidInput("--masks needs a place for them; give --out FOLDER")
    of_clips = dataset in datasets.OF_CLIPS
    if shortcuts and of_clips:
        raise InvalidInput(f"--shortcuts are of images, and {dataset} holds videos; leave it out")
    scoring = options.protocols_of(protocol, dataset)
    samples, kind = datasets.build(dataset, **given), "videos" if of_clips else "images"
    if out:
        check_writable(out)
    if of_clips:
        check_clips(samples, scoring)
    with ExitStack() as stack:
        mine = stack.enter_context(ranks())
        if mine.world > 1 and out is None:
            raise InvalidInput("many processes need a place to put their rows together; give --out FOLDER")
        if out and mine.rank == 0:
            stack.enter_context(only_writer(out))
        mine.wait_for_all()  # none writes if the first may not
        checkpoint = load_checkpoint(weights, mine.device(device))
        run = {
            **facts(samples, dataset, given),
            "weights": weights_facts(weights),
            "protocol": [one.name for one in scoring],
            "crf": DenseCRF().model_dump() if crf else None,
            "images": len(samples),
            "masks": masks,
            "version": __version__,
        }
        unfinished = Unfinished(out, run, mine.rank, mine.world) if out else None
        folder = unfinished.folder / MASKS if unfinished and masks and of_clips else None
        if folder and unfinished and not folder.exists():
            unfinished.done.clear()  # their masks went with results that could not be written
        left = unfinished.mine(len(samples)) if unfinished else list(range(len(samples)))
        begin, refine = time.perf_counter(), DenseCRF() if crf else None
        if unfinished and unfinished.done and mine.rank == 0:
            typer.echo(f"goes on: {len(unfinished.done):,} of {len(samples):,} {kind} are answered", err=True)
        advance = stack.enter_context(progress(len(left) * (2 if shortcuts else 1), mine.rank, kind))
        answers, some, threads = [], (samples[k] for k in left), options.threads(workers)
        if of_clips:
            save = saver(dataset, folder) if folder else None
            numbered = zip(left, some, strict=True)
            answered = answer_clips(checkpoint, numbered, scoring, refine, save, batch_images, threads)
        else:
            answered = answer(checkpoint, some, scoring, refine, masks, left, batch_images, threads)
        for image in answered:
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
            "hardware": describe_hardware(mine.device(device)),
            "versions": versions(),
        }
        report = summed_up(answers, scoring, about, checkpoint)
        if shortcuts:
            report.shortcuts = score_shortcuts(checkpoint, samples, STANDARD, advance)
        report.about["seconds"] = round(time.perf_counter() - begin, 1)
        if out and unfinished:
            write(out, report, answers, samples, masks_again(checkpoint, refine), folder)
            unfinished.remove()
    report.print(Console(markup=False, emoji=False))
    if out:
        print(f"\nwritten: {out}")
