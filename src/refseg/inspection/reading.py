"""How a reader came to its answer, as a picture: the candidates with their numbers and scores, and what was chosen."""

from collections.abc import Iterator

from PIL import Image, ImageDraw

from refseg.inference.results import Result
from refseg.masks.pictures import GREY, RED, SIDE, Line, captioned, numbered, whole_factor
from refseg.readers.reading import Reading

CHOSEN, OTHER = (64, 220, 96), (255, 190, 60)
MOST = 12  # candidates that are drawn


def reading_picture(result: Result) -> Image.Image:
    """Draws the image with the mask and the numbered boxes of the candidates, and below it the program and the scores.

    Args:
        result: with a reading.
    """
    reading = result.reading
    assert isinstance(reading, Reading)
    factor = whole_factor((result.mask.shape[0], result.mask.shape[1]), SIDE)
    picture = result.overlay(side=SIDE)
    draw, shown = ImageDraw.Draw(picture), reading.candidates[:MOST]
    boxes = [[side * factor for side in reading.found.objects[k].box_xyxy] for k in shown]
    colours = [CHOSEN if k in reading.answer.chosen else OTHER for k in shown]
    for (x0, y0, x1, y1), colour in zip(boxes, colours, strict=True):
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=max(2, picture.width // 300))
    tops = [(round((x0 + x1) / 2), round(y0)) for x0, y0, x1, _ in boxes]
    lines = [Line(f"“{result.expression}”"), Line(result.caption, GREY), Line(f"read as: {reading.program}")]
    lines += [Line(text) for text in reading.candidate_lines(MOST)]
    lines += [Line(f"warning: {text}", RED) for text in result.warnings]
    return captioned(numbered(picture, tops, colours), lines)


def reading_lines(result: Result) -> Iterator[str]:
    """Yields how the expression was read, line by line: the program, and a table of what each step scored."""
    assert isinstance(result.reading, Reading)
    yield from result.reading.lines(MOST)
