"""Answers to all frames of a split as a zip for the server of a challenge.

A run that was stopped resumes: the masks so far are in the hidden folder .NAME.unfinished beside the zip.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refseg import __version__, datasets
from refseg.array_types import Mask
from refseg.checkpoints.config_file import check_weights
from refseg.counting import counted
from refseg.datasets.storage.challenge_submission import SubmittedClips
from refseg.datasets.tools.mask_ids import mask_id
from refseg.errors import InvalidInput, for_caller
from refseg.evaluation.partial_rows import PartialRows
from refseg.evaluation.report.provenance import dataset_facts, weights_facts
from refseg.evaluation.rows import ImageAnswers
from refseg.files.atomic import check_absent, check_file_writable
from refseg.hardware import check_device_name, check_precision_name, choose_device
from refseg.inference.crf import DenseCRF
from refseg.preprocessing.images import open_image
from refseg.progress import Progress, no_progress


def write_submission(
    weights: str | Path,
    dataset: str,
    out: str | Path,
    *,
    device: str = "auto",
    precision: str = "f32",
    crf: DenseCRF | None = None,
    progress: Progress = no_progress,
    on_message: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> bool:
    """Answers every expression in every frame and writes the zip; returns whether this process, the first, wrote it.

    Args:
        weights: checkpoint folder, name of bundled weights, or hub id.
        dataset: name of the data set.
        out: the .zip file.
        device: device of the network: "cpu", "cuda", or "auto" for a GPU if there is one.
        precision: of the network's arithmetic: "f32", "bf16" or "auto".
        crf: refines the masks after the network.
        progress: shows progress, as `refseg.commands.progress.progress`.
        on_message: receives lines for the user.
        settings: settings of the data set: split, root, count.

    Raises:
        MissingFile: if weights or files of the data set are missing.
        InvalidInput: if the data set has no challenge with a server.
        UnwritableOutput: if the file is there already, or cannot be written.
    """
    out = Path(out)
    if out.suffix != ".zip":
        raise InvalidInput(f"{out} is to be a zip file; let its name end in .zip")
    check_device_name(device)
    check_precision_name(precision)
    check_weights(weights, precision)
    clips = datasets.build(dataset, **settings)
    if not isinstance(clips, SubmittedClips):
        score = for_caller("evaluate it without --submission", "score it with refseg.evaluate")
        raise InvalidInput(f"there is no server that takes masks of {dataset}; {score}")
    check_file_writable(out)
    check_absent(out, f"give another {for_caller('--submission', 'file')}, or remove it first")

    from refseg.distributed import ranks  # torch, of which what is wrong above has no need
    from refseg.evaluation.stored_video_masks import mask_file, write_mask
    from refseg.inference.predict import truncate
    from refseg.inference.segmenter import load

    with ranks() as mine:
        segmenter = load(weights, mine.device(choose_device(device)), crf, precision=precision)
        run = {
            **dataset_facts(clips, dataset, settings),
            "weights": weights_facts(weights),
            "crf": crf is not None,
            "precision": segmenter.checkpoint.precision,
            "version": __version__,
        }
        unfinished = PartialRows(out.parent, run, mine.rank, mine.world, f".{out.name}.unfinished")
        masks, left = unfinished.folder / "masks", unfinished.mine(len(clips))
        if unfinished.done and mine.rank == 0:
            on_message(f"goes on: {counted(len(unfinished.done), 'video', len(clips))} answered")
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
            return False

        def stored(clip: Any, number: int) -> Iterator[Mask]:
            for t in range(len(clip)):
                with open_image(mask_file(masks, mask_id(clip, number, t))) as image:
                    yield np.asarray(image) > 0

        answers = ((clip, i, stored(clip, i)) for clip in clips for i in range(len(clip.expressions)))
        clips.write_submission(out, answers)
        unfinished.remove()
    return True
