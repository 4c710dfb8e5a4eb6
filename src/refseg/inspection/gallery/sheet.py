"""Gallery: what `build_gallery` returns, to be saved as a picture or as a page."""

from pathlib import Path

from PIL import Image

from refseg.errors import InvalidInput
from refseg.files.atomic import write_atomically
from refseg.files.earlier import png_mark
from refseg.inspection.gallery.lines import MARK, GalleryLines
from refseg.inspection.gallery.picture import draw_sheet

FILE_ENDINGS = ".png", ".html"
PICTURE_SIDE = 256  # pixels of the longer side of a picture
MAX_SHEET_PIXELS = 40e6  # of a sheet, about; pictures of a larger one are made smaller


class Gallery(GalleryLines):
    """Lines that can be written, see `GalleryLines`."""

    def picture(self) -> Image.Image:
        """Returns all of it as one picture."""
        return draw_sheet(self)

    def page(self) -> str:
        """Returns all of it as an HTML page that needs no other file."""
        from refseg.inspection.gallery.page import render_page  # torch, of which a picture of stored masks has no need

        return render_page(self)

    def save(self, path: str | Path) -> None:
        """Writes it to a file, which is replaced if it is there.

        Args:
            path: ends in .png, or in .html for a page.

        Raises:
            InvalidInput: for another ending.
            UnwritableOutput: if it cannot be written.
        """
        path = Path(path)
        check_ending(path)
        with write_atomically(path) as file:
            if path.suffix.lower() == ".png":
                self.picture().save(file, "PNG", pnginfo=png_mark(MARK))
            else:
                file.write_text(self.page(), encoding="utf-8")


def check_ending(path: Path) -> None:
    """Raises InvalidInput unless a file ends in .png or .html."""
    if path.suffix.lower() not in FILE_ENDINGS:
        raise InvalidInput(f"{path} is to be a picture or a page; let its name end in .png or .html")
