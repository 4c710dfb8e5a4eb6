"""A gallery as one picture, for a paper."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from refseg.inspection.gallery.lines import GalleryLine, GalleryLines
from refseg.masks.fonts import font_for
from refseg.masks.pictures import BLACK, GREY, WHITE, wrapped

_LABEL_LINES, _EXPRESSION_LINES, _NOTE_LINES = 2, 3, 6


def draw_sheet(gallery: GalleryLines) -> Image.Image:
    """Returns all of it as one picture."""
    side = max(cell.picture.shape[1] for line in gallery.lines for cell in line.cells)
    gap, margin = max(4, side // 32), max(8, side // 16)
    width = len(gallery.columns) * (side + gap) - gap + 2 * margin
    texts = "".join((*gallery.columns, gallery.note, *(line.expression + line.about for line in gallery.lines)))
    font, small = font_for(texts, max(11, side // 14)), font_for(texts, max(10, side // 16))
    parts = [_heads(gallery.columns, side, gap, small)]
    parts += [_line(line, side, gap, font, small) for line in gallery.lines]
    parts.append(_note(gallery.note, width - 2 * margin, small))
    sheet = Image.new("RGB", (width, sum(part.height for part in parts) + 2 * margin), WHITE)
    top = margin
    for part in parts:
        sheet.paste(part, (margin, top))
        top += part.height
    return sheet


def _heads(columns: Sequence[str], side: int, gap: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    lines = [wrapped(label, font.getlength, side, _LABEL_LINES) for label in columns]
    step, most = _step(font), max(map(len, lines))
    part = Image.new("RGB", (len(columns) * (side + gap), most * step + gap), WHITE)
    draw = ImageDraw.Draw(part)
    for k, some in enumerate(lines):
        for n, text in enumerate(some):
            place = k * (side + gap) + side / 2, (most - len(some) + n + 0.5) * step
            draw.text(place, text, fill=BLACK, font=font, anchor="mm")
    return part


def _line(
    line: GalleryLine, side: int, gap: int, font: ImageFont.FreeTypeFont, small: ImageFont.FreeTypeFont
) -> Image.Image:
    width = len(line.cells) * (side + gap) - gap
    text = wrapped(f"“{line.expression}”", font.getlength, width, _EXPRESSION_LINES)
    about = wrapped(line.about, small.getlength, max(1, width - font.getlength(text[0]) - 2 * gap), 1)[0]
    height = max(cell.picture.shape[0] for cell in line.cells)
    captions = [wrapped(cell.caption, small.getlength, side + gap, 2) for cell in line.cells]
    below = max(map(len, captions)) * _step(small) + gap if any(cell.caption for cell in line.cells) else gap
    top = gap + len(text) * _step(font)
    part = Image.new("RGB", (width, top + height + below + gap), WHITE)
    draw = ImageDraw.Draw(part)
    draw.line((0, 0, width, 0), fill=(225, 229, 236), width=1)
    for n, part_of_text in enumerate(text):
        draw.text((0, gap + (n + 0.5) * _step(font)), part_of_text, fill=BLACK, font=font, anchor="lm")
    if len(about) > 1:  # otherwise there is no room
        draw.text((width, gap + 0.5 * _step(font)), about, fill=GREY, font=small, anchor="rm")
    for k, (cell, words) in enumerate(zip(line.cells, captions, strict=True)):
        left = k * (side + gap)
        drawn = Image.fromarray(cell.picture)
        part.paste(drawn, (left + (side - drawn.width) // 2, top))
        for n, some in enumerate(words):
            place = left + side / 2, top + height + (n + 0.6) * _step(small)
            draw.text(place, some, fill=BLACK if cell.is_best else GREY, font=small, anchor="mm")
            if cell.is_best:  # there is no bold font everywhere
                draw.text((place[0] + 0.6, place[1]), some, fill=BLACK, font=small, anchor="mm")
    return part


def _note(text: str, width: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    lines = wrapped(text, font.getlength, width, _NOTE_LINES)
    part = Image.new("RGB", (width, (len(lines) + 1) * _step(font)), WHITE)
    for n, words in enumerate(lines):
        ImageDraw.Draw(part).text((0, (n + 1) * _step(font)), words, fill=GREY, font=font, anchor="lm")
    return part


def _step(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size * 1.4)
