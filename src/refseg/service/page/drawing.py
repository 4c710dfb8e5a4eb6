"""Pictures of answers: masks over the image, and the pixels in which two networks differ."""

from collections.abc import Collection

import numpy as np
from PIL import Image, ImageDraw

from refseg.array_types import Mask, RgbImage
from refseg.masks.overlay import COLOURS, Colour, coloured
from refseg.masks.pictures import SIDE, enlarged, greyed, marked_unfamiliar, resized_mask, whole_factor
from refseg.service.page.answers import Answered, ExpressionAnswer, WeightsAnswers

BOTH, FIRST_ONLY, SECOND_ONLY = (64, 208, 96), (64, 160, 255), (255, 176, 32)
"""Colours of pixels that two networks mark, and that one of them does."""


def choose_colour(number: int) -> Colour:
    """Returns the colour of an expression by its place in the list, the same for all networks."""
    return COLOURS[number % len(COLOURS)]


def draw_overlay(
    answered: Answered, column: WeightsAnswers, shown: Collection[str], opacity: float, boxes: bool
) -> Image.Image:
    """Draws the masks of a network over the image; a small image is enlarged, an unfamiliar one marked as in results.

    Args:
        answered: the image and its expressions.
        column: the network's answers.
        shown: expressions whose masks are drawn.
        opacity: of the masks inside of their outlines, 0 to 1.
        boxes: whether the boxes of the masks are drawn, too.
    """
    image = _canvas(answered.image)
    numbered = [(k, one) for k, one in enumerate(column.answers) if one.expression in shown]
    numbered.sort(key=lambda pair: -pair[1].facts["area"])  # what is small is drawn over what is large
    masks, colours = (_mask(one, image) for _, one in numbered), [choose_colour(k) for k, _ in numbered]
    drawn = coloured(image, masks, colours, opacity)
    is_familiar = all(one.familiar for one in column.answers)
    picture = Image.fromarray(drawn) if is_familiar else marked_unfamiliar(drawn)
    if boxes:
        draw, width = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 300))
        for colour, (_, one) in zip(colours, numbered, strict=True):
            scale = picture.width / one.facts["size"][1]
            for x0, y0, x1, y1 in ([side * scale for side in box] for box in one.boxes):
                draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=width)
    return picture


def draw_difference(
    answered: Answered, first: WeightsAnswers, second: WeightsAnswers, shown: Collection[str]
) -> tuple[Image.Image, float]:
    """Draws, over the image in grey, which pixels two networks both mark and which only one of them marks.

    Returns:
        the picture, and the intersection over union of what they mark, 1 if neither marks anything.
    """
    image = _canvas(answered.image)
    one, other = (_union(column, shown, image) for column in (first, second))
    regions, colours = [one & other, one & ~other, other & ~one], [BOTH, FIRST_ONLY, SECOND_ONLY]
    union = int(np.count_nonzero(one | other))
    agreement = int(np.count_nonzero(regions[0])) / union if union else 1.0
    return Image.fromarray(coloured(greyed(image), regions, colours)), agreement


def _canvas(image: RgbImage) -> RgbImage:
    return enlarged(image, whole_factor((image.shape[0], image.shape[1]), SIDE))


def _mask(answer: ExpressionAnswer, image: RgbImage) -> Mask:
    """Returns the mask at the size of the image that is drawn on."""
    return resized_mask(answer.decode_mask(), (image.shape[0], image.shape[1]))


def _union(column: WeightsAnswers, shown: Collection[str], image: RgbImage) -> Mask:
    union: Mask = np.zeros(image.shape[:2], bool)
    for one in column.answers:
        if one.expression in shown and one.facts["found"]:
            union |= _mask(one, image)
    return union
