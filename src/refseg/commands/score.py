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
    from contextlib import nullcontext
    from datetime import UTC, datetime
    from functools import partial

    from rich.console import Console

    from refseg import datasets
    from refseg.evaluation import stored_masks, stored_video_masks
    from refseg.evaluation.clip_scoring import check_clips
    from refseg.evaluation.report.provenance import facts
    from refseg.evaluation.report.report import summed_up
    from refseg.evaluation.report.write import write
    from refseg.files.atomic import check_writable
    from refseg.files.lock import only_writer
    from refseg.hardware import versions

    scoring = options.protocols_of(protocol, dataset)
    given = options.settings_of(split, root, split_by, images, count, settings)
    samples = datasets.build(dataset, **given)
    of_clips = dataset in datasets.OF_CLIPS
    if out:
        check_writable(out)
    with only_writer(out) if out else nullcontext():
        if of_clips:
            check_clips(samples, scoring)
        stored = stored_video_masks.open_folders(masks, samples) if of_clips else stored_masks.open_masks(masks)
        compare = stored_video_masks.compare_frames if of_clips else stored_masks.compare_samples
        for line in (cautions := compare(stored, samples)):
            typer.echo(f"warning: {line}", err=True)
        answers = []
        score_all = stored_video_masks.score_videos if of_clips else stored_masks.score_masks
        with progress(len(samples), of="videos" if of_clips else "images") as advance:
            for image in score_all(stored, samples, scoring, options.threads(workers)):
                answers.append(image)
                advance(1)
        for line in (cut := stored.cautions()):
            typer.echo(f"warning: {line}", err=True)
        cautions += cut
        about = {
            "answers": str(masks),
            **facts(samples, dataset, given),
            "command": shlex.join(["refseg", *sys.argv[1:]]),
            "date": datetime.now(UTC).date().isoformat(),
            "versions": versions(),
        }
        report = summed_up(answers, scoring, about)
        report.cautions += [f"{line[0].upper()}{line[1:]}." for line in cautions]
        if out:
            masks_of = stored_video_masks.masks_of_frame if of_clips else stored_masks.masks_of
            write(out, report, answers, samples, partial(masks_of, stored))
    report.print(Console(markup=False, emoji=False))
    if out:
        print(f"\nwritten: {out}")
