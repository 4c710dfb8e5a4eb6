"""`refseg data view`: a picture of a few images of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from refseg.commands.options import Count, Grefs, Images, Name, Root, Split, SplitBy, open_images
from refseg.counting import counted

MARK = "refseg data view"  # of its picture


def view(
    name: Name,
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    split: Split = "train",
    root: Root = None,
    split_by: SplitBy = None,
    images: Images = None,
    grefs: Grefs = None,
    count: Count = None,
    number: Annotated[int, typer.Option(min=1, max=400, help="How many images.")] = 12,
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
) -> None:
    """Draw random images of a data set, each with an expression and its mask, as one PNG."""
    from refseg.datasets.tools.contact_sheet import contact_sheet
    from refseg.errors import InvalidInput, UnwritableOutput
    from refseg.files.atomic import all_or_nothing, check_writable
    from refseg.files.earlier import check_earlier, named, png_mark

    if out.is_dir():
        raise UnwritableOutput(f"{out} is a folder; give the file to write, for example --out sheet.png")
    if out.suffix.lower() != ".png":
        raise InvalidInput(f"{out} is to be a PNG; let its name end in .png")
    check_writable(out.parent)
    replaced = check_earlier({out: MARK})
    samples = open_images(name, split=split, root=root, split_by=split_by, images=images, grefs=grefs, count=count)
    sheet = contact_sheet(samples, number, seed)
    with all_or_nothing(out.parent) as folder:
        sheet.save(folder / out.name, "PNG", pnginfo=png_mark(MARK))
    print(f"{named(out, replaced)}: {counted(min(number, len(samples)), 'image', len(samples))}")
