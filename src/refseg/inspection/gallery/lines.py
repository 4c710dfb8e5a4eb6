"""Lines of a gallery: an expression with its pictures."""

from dataclasses import dataclass

from refseg.array_types import RgbImage

MARK = "refseg gallery"
"""Text by which files of galleries are known."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A picture with what is written below it.

    Attributes:
        picture: (h, w, 3) uint8, RGB.
        caption: a few words; "" for none.
        is_best: Whether no other answer of the line is as good.
    """

    picture: RgbImage
    caption: str = ""
    is_best: bool = False


@dataclass(frozen=True, eq=False)
class GalleryLine:
    """An expression with its pictures.

    Attributes:
        expression: the expression.
        about: its id, or the name of its image's file.
        cells: a picture for each column.
        ious: of each system, None where the ground truth is not known.
    """

    expression: str
    about: str
    cells: tuple[Cell, ...]
    ious: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class GalleryLines:
    """Images with an expression, the ground truth and the answers of several systems side by side.

    Attributes:
        title: of its page.
        note: how the lines were chosen and what their figures are.
        columns: labels of the pictures of each line.
        lines: one for each expression.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    lines: tuple[GalleryLine, ...]
