"""What the page draws: masks over the image, and where two networks differ."""

from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image, ImageDraw

from refseg.array_types import Mask, RgbImage
from refseg.masks.overlay import COLOURS, Colour, coloured
from refseg.masks.pictures import SIDE, enlarged, enlarged_mask, greyed, whole_factor
from refseg.service.page.asked import Answered, Column

LARGEST_SIDE = 1600  # pixels of a picture that is sent to the browser
BOTH, FIRST_ONLY, SECOND_ONLY = (64, 208, 96), (64, 160, 255), (255, 176, 32)
"""Colours of pixels that two networks mark, and that one of them does."""


def colour_of(number: int) -> Colour:
    """Returns the colour of an expression by its place in the list, the same for all networks."""
    return COLOURS[number % len(COLOURS)]


def overlay(answered: Answered, column: Column, shown: Collection[str], opacity: float, boxes: bool) -> Image.Image:
    """Draws the masks of a network over the image.

    Args:
        answered: the image and its expressions.
        column: the network's answers.
        shown: expressions whose masks are drawn.
        opacity: of the masks, 0 to 1.
        boxes: whether the boxes of the objects are drawn, too.
    """
    factor = _factor(answered.image)
    numbered = [(k, one) for k, one in enumerate(column.answers) if one.expression in shown]
    masks, colours = [enlarged_mask(one.mask, factor) for _, one in numbered], [colour_of(k) for k, _ in numbered]
    image = enlarged(answered.image, factor)
    picture = Image.fromarray(blended(image, coloured(image, masks, colours), opacity))
    if boxes:
        draw, width = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 300))
        for colour, (_, one) in zip(colours, numbered, strict=True):
            for x0, y0, x1, y1 in ([side * factor for side in thing["box"]] for thing in one.facts["instances"]):
                draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=width)
    return reduced(picture)


def difference(answered: Answered, first: Column, second: Column, shown: Collection[str]) -> Image.Image:
    """Draws, over the image in grey, which pixels two networks both mark and which only one of them marks."""
    factor = _factor(answered.image)
    one, other = (enlarged_mask(_union(answered.image, column, shown), factor) for column in (first, second))
    grey = greyed(enlarged(answered.image, factor))
    regions, colours = [one & other, one & ~other, other & ~one], [BOTH, FIRST_ONLY, SECOND_ONLY]
    return reduced(Image.fromarray(coloured(grey, regions, colours)))


def agreement(answered: Answered, first: Column, second: Column, shown: Collection[str]) -> float:
    """Returns the intersection over union of what two networks mark; 1 if neither marks anything."""
    one, other = (_union(answered.image, column, shown) for column in (first, second))
    union = int(np.count_nonzero(one | other))
    return int(np.count_nonzero(one & other)) / union if union else 1.0


def blended(image: RgbImage, drawn: RgbImage, opacity: float) -> RgbImage:
    """Returns what lies between an image and what is drawn over it."""
    if opacity >= 1:
        return drawn
    mixed: RgbImage = np.rint(image + (drawn.astype(np.float32) - image) * opacity).astype(np.uint8)
    return mixed


def reduced(picture: Image.Image) -> Image.Image:
    """Returns the picture with no side longer than `LARGEST_SIDE`."""
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return picture


def _factor(image: RgbImage) -> int:
    return whole_factor((image.shape[0], image.shape[1]), SIDE)


def _union(image: RgbImage, column: Column, shown: Collection[str]) -> Mask:
    masks: Sequence[Mask] = [one.mask for one in column.answers if one.expression in shown]
    union: Mask = np.any(masks, axis=0) if masks else np.zeros(image.shape[:2], bool)
    return union
