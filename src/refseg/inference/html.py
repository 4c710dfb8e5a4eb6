"""HTML of a result, which notebooks show."""

from collections.abc import Sequence
from html import escape
from typing import Literal

from PIL import Image

from refseg.masks.overlay import Colour
from refseg.masks.pictures import data_uri, encode_picture

SIDE = 1024  # pixels of a picture's longer side in a notebook, at most
_MAX_LETTERS = 500  # of a text


def figure_html(
    picture: Image.Image,
    title: str,
    verdict: str,
    objects: Sequence[tuple[Colour, str]],
    warnings: Sequence[str],
) -> str:
    """Returns a `<figure>` with the picture inside, a caption, a line for each object, and the warnings.

    Args:
        picture: is made smaller than `SIDE`.
        title: first line of the caption; markup in it is shown as it is, as in all texts.
        verdict: second line.
        objects: colour and description of each.
        warnings: one line each.
    """
    source = data_uri(encode_small(picture, "JPEG"), "image/jpeg")
    lines = [f"<b>{_text(title)}</b>", _text(verdict)]
    lines += [f'<span style="color:rgb{colour}">&#9632;</span> {_text(line)}' for colour, line in objects]
    lines += [f'<span style="color:#b00020">warning: {_text(line)}</span>' for line in warnings]
    return (
        f'<figure style="margin:0"><img alt="{_text(title)}" src="{source}" '
        f'style="max-width:100%"><figcaption>{"<br>".join(lines)}</figcaption></figure>'
    )


def encode_small(picture: Image.Image, kind: Literal["PNG", "JPEG"]) -> bytes:
    """Returns the bytes of a picture as PNG or JPEG, made smaller than `SIDE`."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return encode_picture(small, kind)


def _text(text: str) -> str:
    cut = text if len(text) <= _MAX_LETTERS else f"{text[:_MAX_LETTERS]}…"
    return escape(cut)
