"""`refseg evaluate --submission`: the answers to all frames of a split, as the server of a challenge takes them.

A run that was stopped goes on where it was: the masks so far are in the hidden folder .NAME.unfinished beside the zip.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refseg.commands.progress import progress

if TYPE_CHECKING:
    from refseg.array_types import Mask


def write_submission(
    weights: str, dataset: str, settings: dict[str, Any], out: Path, device: str = "cpu", crf: bool = False
) -> None:
    """Answers every expression in every frame and writes the zip.

    Args:
        weights: what answers.
        dataset: name of the data set.
        settings: what `datasets.build` takes besides.
        out: the .zip file.
        device: where the network runs.
        crf: draw masks to the edges of frames?

    Raises:
        InvalidInput: if the data set has no challenge with a server.
    """
    import numpy as np

    from refseg import __version__, datasets
    from refseg.datasets.storage.challenge_submission import SubmittedClips
    from refseg.distributed import ranks
    from refseg.errors import InvalidInput
    from refseg.evaluation.partial_rows import PartialRows
    from refseg.evaluation.report.provenance import dataset_facts, weights_facts
    from refseg.evaluation.rows import ImageAnswers
    from refseg.evaluation.stored_video_masks import mask_file, mask_id, write_mask
    from refseg.files.atomic import check_file_writable
    from refseg.inference.crf import DenseCRF
    from refseg.inference.predict import truncate
    from refseg.inference.segmenter import load
    from refseg.preprocessing.images import open_image

    if out.suffix != ".zip":
        raise InvalidInput(f"{out} is to be a zip file; let its name end in .zip")
    clips = datasets.build(dataset, **settings)
    if not isinstance(clips, SubmittedClips):
        raise InvalidInput(f"there is no server that takes masks of {dataset}; evaluate it without --submission")
    check_file_writable(out)
    with ranks() as mine:
        segmenter = load(weights, mine.device(device), DenseCRF() if crf else None)
        run = {
            **dataset_facts(clips, dataset, settings),
            "weights": weights_facts(weights),
            "crf": crf,
            "version": __version__,
        }
        unfinished = PartialRows(out.parent, run, mine.rank, mine.world, f".{out.name}.unfinished")
        masks, left = unfinished.folder / "masks", unfinished.mine(len(clips))
        if unfinished.done and mine.rank == 0:
            typer.echo(f"goes on: {len(unfinished.done):,} of {len(clips):,} videos are answered", err=True)
        with progress(len(left), mine.rank, "videos") as advance:
            for k in left:
                clip = clips[k]
                asked = [truncate(segmenter.checkpoint.tokenizer, expression.text) for expression in clip.expressions]
                for results in segmenter.video(clip, asked):
                    for number, result in enumerate(results):
                        write_mask(mask_file(masks, mask_id(clip, number, result.index)), result.mask)
                unfinished.write(ImageAnswers(k, ()))
                advance(1)
        mine.wait_for_all()
        if mine.rank:
            return

        def stored(clip: Any, number: int) -> "Iterator[Mask]":
            for t in range(len(clip)):
                with open_image(mask_file(masks, mask_id(clip, number, t))) as image:
                    yield np.asarray(image) > 0

        answers = ((clip, i, stored(clip, i)) for clip in clips for i in range(len(clip.expressions)))
        clips.write_submission(out, answers)
        unfinished.remove()
    print(f"written: {out}")
