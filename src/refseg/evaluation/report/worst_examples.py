"""The worst answers of each kind of error, as pictures: what is meant, and what was answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.evaluation.error_types import CORRECT, KINDS
from refseg.evaluation.row_frames import find_frame
from refseg.evaluation.rows import ImageAnswers, Row
from refseg.evaluation.scoring import STANDARD
from refseg.masks.overlay import tinted
from refseg.masks.pictures import data_uri, encode_picture
from refseg.samples import Clip, Sample

OF_EACH_KIND = 4
WIDTH = 320  # pixels of a picture, at most
TRUTH, ANSWER = (40, 130, 255), (255, 110, 30)
QUALITY = 82  # of the JPEG

AnswersOf = Callable[[Sample], Sequence[NDArray[np.bool_]]]
"""An image, or frame, to the answers to its expressions, (H, W) each."""


@dataclass(frozen=True)
class Example:
    """One answer as pictures.

    Attributes:
        row: what is known of it.
        truth, answer: data URIs of the image with what is meant, and with the answer.
    """

    row: Row
    truth: str
    answer: str


def worst(answers: Sequence[ImageAnswers], most: int = OF_EACH_KIND) -> list[tuple[int, int]]:
    """Image and row of the worst answers of each kind, at most one an image, or video, for each kind.

    Worst is the lowest IoU under `standard`, then the largest union: what is most wrong is seen best.
    """
    chosen = []
    for kind in KINDS:
        if kind == CORRECT:
            continue
        found = [(image.index, i, row) for image in answers for i, row in enumerate(image.rows) if row.error == kind]
        found.sort(key=lambda one: (_score(one[2])[0], -_score(one[2])[1], one[2].key))
        first_of_image = {index: i for index, i, _ in reversed(found)}
        ranked = dict.fromkeys(index for index, _, _ in found)
        chosen += [(index, first_of_image[index]) for index in list(ranked)[:most]]
    return chosen


def examples(
    chosen: Sequence[tuple[int, int]], answers: Sequence[ImageAnswers], dataset: Sequence[Any], answers_of: AnswersOf
) -> list[Example]:
    """The pictures of these answers, each given by the number of its image, or video, and of its row there."""
    rows = {image.index: image.rows for image in answers}
    return [_example(rows[index][i], i, dataset[index], answers_of) for index, i in chosen]


def _example(row: Row, i: int, shown: Any, answers_of: AnswersOf) -> Example:
    sample, i = (find_frame(shown, row), 0) if isinstance(shown, Clip) else (shown, i)
    assert sample is not None  # the data are those that were just answered about
    masks = (sample.mask(i), TRUTH), (answers_of(sample)[i], ANSWER)
    return Example(row, *(tinted_picture(sample.image, mask, colour) for mask, colour in masks))


def tinted_picture(image: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> str:
    """Returns the data URI of an image with a mask in a colour, `WIDTH` pixels wide."""
    height, width = mask.shape
    scale = WIDTH / width
    size = WIDTH, max(1, round(height * scale))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    region = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    drawn = Image.fromarray(tinted(small, region, colour))
    return data_uri(encode_picture(drawn, "JPEG", QUALITY, subsampling=-1), "image/jpeg")


def _score(row: Row) -> tuple[float, int]:
    score = row.scores[STANDARD.name]
    return score.iou or 0.0, score.union
