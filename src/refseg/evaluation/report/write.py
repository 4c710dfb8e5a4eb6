"""Writes rows, masks and the report of an evaluation; all of it or nothing."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.datasets.storage.annotation_masks import draw
from refseg.evaluation.answers import answer
from refseg.evaluation.report.html_page import write_page
from refseg.evaluation.report.report import Report
from refseg.evaluation.report.worst_examples import AnswersOf, examples, worst
from refseg.evaluation.rows import MASKS, ROWS, ImageAnswers, rows_of
from refseg.files.atomic import all_or_nothing
from refseg.inference.crf import DenseCRF
from refseg.masks.rle import parse_rle
from refseg.samples import Sample


def write(
    out: Path,
    report: Report,
    answers: Sequence[ImageAnswers],
    dataset: Sequence[Any],
    answers_of: AnswersOf,
    masks: Path | None = None,
) -> None:
    """Writes expressions.jsonl, report.json, report.md and report.html, and masks.jsonl if the answers hold masks.

    Args:
        out: the folder.
        report: of all answers.
        answers: in the order of the data set.
        dataset: images or clips, for the pictures of the worst answers.
        answers_of: the masks of an image's answers.
        masks: a folder of masks on the same disk, which goes there too.
    """
    rows = rows_of(answers)
    pictures = examples(worst(answers), answers, dataset, answers_of)
    with all_or_nothing(out) as folder:
        with (folder / ROWS).open("w", encoding="utf-8") as file:
            file.writelines(row.json() + "\n" for row in rows)
        if any(image.masks for image in answers):
            with (folder / MASKS).open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(mask) + "\n" for image in answers for mask in image.masks)
        report.write(folder)
        write_page(report, rows, pictures, folder)
        if masks:
            os.replace(masks, folder / masks.name)


def mask_predictor(checkpoint: Checkpoint, crf: DenseCRF | None) -> AnswersOf:
    """Returns a function that predicts the masks of a sample once more."""

    def masks(sample: Sample) -> list[NDArray[np.bool_]]:
        (answers,) = answer(checkpoint, [sample], crf=crf, keep_masks=True)
        return [draw([parse_rle(code)], sample.size_hw) for code in answers.masks]

    return masks
