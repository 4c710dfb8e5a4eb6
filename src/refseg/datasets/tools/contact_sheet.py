"""Contact sheets of a data set, for `refseg data view`."""

import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from refseg.errors import InvalidInput
from refseg.masks.fonts import font_for
from refseg.masks.overlay import COLOURS, tinted
from refseg.samples import Sample

WIDTH, HEIGHT, CAPTION, GAP = 320, 240, 56, 8  # pixels of a panel's image, of the text below it, between panels
FONT_SIZE, SMALL = 14, 11
PAPER, INK, GREY = (255, 255, 255), (20, 20, 20), (120, 120, 120)


def contact_sheet(samples: Sequence[Sample], count: int = 12, seed: int = 0, columns: int = 4) -> Image.Image:
    """Draws random images, in the order of the data set, each with a random expression and all its referents.

    Every referent has its own colour; where there are only boxes, these are drawn.

    Args:
        samples: a split of any data set.
        count: number of images; fewer if there are fewer.
        seed: another seed, other images.
        columns: panels in a row.

    Raises:
        MissingFile, InvalidInput: if an image or a mask cannot be read.
    """
    chance = random.Random(seed)
    chosen = sorted(chance.sample(range(len(samples)), min(count, len(samples))))
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    step = WIDTH + GAP, HEIGHT + CAPTION + GAP
    sheet = Image.new("RGB", (GAP + columns * step[0], GAP + rows * step[1]), PAPER)
    for place, number in enumerate(chosen):
        sample = samples[number]
        panel = _panel(sample, chance.randrange(len(sample.expressions)))
        sheet.paste(panel, (GAP + place % columns * step[0], GAP + place // columns * step[1]))
    return sheet


def _panel(sample: Sample, index: int) -> Image.Image:
    expression = sample.expressions[index]
    drawn = _drawn(sample, index)
    panel = Image.new("RGB", (WIDTH, HEIGHT + CAPTION), PAPER)
    panel.paste(drawn, ((WIDTH - drawn.width) // 2, (HEIGHT - drawn.height) // 2))
    draw, font = ImageDraw.Draw(panel), font_for(expression.text, FONT_SIZE)
    lines = _wrapped(expression.text, font)
    lines = lines if len(lines) <= 2 else [lines[0], f"{lines[1]} …"]
    draw.multiline_text((0, HEIGHT + 2), "\n".join(lines), INK, font, spacing=2)
    referents = len(expression.targets)
    means = {0: "nothing", 1: "1 referent"}.get(referents, f"{referents} referents")
    about = f"{sample.image_id}, {expression.id or index}: {means}"
    draw.text((0, HEIGHT + CAPTION - SMALL - 4), about, GREY, font_for(about, SMALL))
    return panel


def _drawn(sample: Sample, index: int) -> Image.Image:
    """Draws an image at the panel's size with the expression's mask."""
    image = ImageOps.contain(Image.fromarray(sample.image), (WIDTH, HEIGHT))
    try:
        referents = sample.referents(index)
    except InvalidInput:  # of some data sets only boxes are known
        if box := sample.box(index):
            scale = image.width / sample.size_hw[1]
            ImageDraw.Draw(image).rectangle([side * scale for side in box], outline=COLOURS[0], width=2)
        return image
    pixels = np.asarray(image)
    for k, referent in enumerate(referents):
        region = Image.fromarray(referent).resize(image.size, Image.Resampling.NEAREST)
        pixels = tinted(pixels, np.asarray(region), COLOURS[k % len(COLOURS)])
    return Image.fromarray(pixels)


def _wrapped(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """Wraps a text to lines that fit into a panel."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > WIDTH - 20:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
