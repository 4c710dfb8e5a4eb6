"""`refseg gallery`: expressions with the ground truth and the answers of several systems side by side."""

from pathlib import Path
from typing import Annotated, Any

import typer

from refseg.commands import options
from refseg.commands.completion import complete_datasets, complete_sorts, complete_weights
from refseg.commands.help import TYPED

OUT = Path("gallery.png")


def gallery(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE... EXPRESSION...",
            help="Images of your own and what to find in them, as of `refseg segment`; in their place --data.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WEIGHTS",
            help="Weights that answer, as of `refseg evaluate`; a column each, repeatable.",
            autocompletion=complete_weights,
        ),
    ] = None,
    masks: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Stored answers: a folder that `refseg evaluate --masks` or `refseg segment` wrote, ID.png, or JSON "
            "Lines of run lengths; a column each, in the order of all --weights and --masks, repeatable.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="Name of a column, once for each of them.", show_default="the ends of their paths"
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set, or FILE.py:NAME; of videos the middle annotated frame.",
            show_default="without images, that of the evaluation of --masks",
            autocompletion=complete_datasets,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Which part of it; `all` takes everything.", show_default="test, or that of the masks"),
    ] = None,
    root: options.Root = None,
    split_by: options.SplitBy = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images",
            "-i",
            help="An image, folder or glob, as of `refseg segment`; with --data the folder of its photographs.",
            metavar="IMAGE",
        ),
    ] = None,
    grefs: options.Grefs = None,
    count: options.Count = None,
    settings: options.Settings = None,
    table: Annotated[
        Path | None,
        typer.Option(help="A .csv or .jsonl with image and expression; its paths start from its folder, or --images."),
    ] = None,
    expression: Annotated[
        list[str] | None,
        typer.Option(
            "--expression",
            "-e",
            metavar="TEXT",
            help="Of a data set, the id or the text of an expression to show; of images, what to find; repeatable.",
        ),
    ] = None,
    number: Annotated[
        int | None, typer.Option(min=1, help="How many expressions.", show_default="12, of those that are named all")
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            help="Which come first: disagreement (of the answers), worst (mean IoU), gain (of the last answer over the "
            "first); these ask about all expressions of the data set, or of its first --count images.",
            show_default="random ones",
            autocompletion=complete_sorts,
        ),
    ] = "random",
    seed: Annotated[int, typer.Option(help="Another seed, other random expressions.")] = 0,
    side: Annotated[int, typer.Option(min=32, max=1024, help="Pixels of the longer side of a picture.")] = 256,
    crf: Annotated[
        bool, typer.Option("--crf", help="Draw masks to the image's edges (DenseCRF): pip install 'refseg[crf]'.")
    ] = False,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The .png or .html to write; repeatable.", show_default=str(OUT)
        ),
    ] = None,
    network: options.Network = None,
    device: options.Device = "auto",
) -> None:
    """Show expressions with the ground truth and the answers of several systems side by side, as a picture or a page.

    Stored answers are read, so that no network runs twice: refseg evaluate WEIGHTS DATASET --masks --out FOLDER.
    """
    from refseg.commands.progress import progress
    from refseg.counting import counted
    from refseg.errors import InvalidInput, printable
    from refseg.files.atomic import check_file_writable
    from refseg.files.earlier import check_earlier, named
    from refseg.inference.crf import DenseCRF
    from refseg.inspection.gallery.build import build_gallery
    from refseg.inspection.gallery.lines import MARK
    from refseg.inspection.gallery.sheet import check_ending
    from refseg.inspection.gallery.systems import StoredAnswers

    options.add_networks(network)
    files = list(dict.fromkeys(out or [OUT]))
    for file in files:
        check_ending(file)
        check_file_writable(file)
    replaced = check_earlier(dict.fromkeys(files, MARK))
    asked: dict[str, Any]
    own = bool(words or table or (images and not data))
    if data and own:
        raise InvalidInput("--data has its own images and expressions; leave out the others, or --data")
    if own:
        if options.given(split=split, root=root, split_by=split_by, grefs=grefs, count=count, set=settings):
            of_data = "--split, --root, --split-by, --grefs, --count and --set"
            raise InvalidInput(f"{of_data} are of a data set, and images are given; leave out one or the other")
        asked = _own_images([*(words or []), *(expression or [])], images or [], table)
    elif data:
        dataset = options.add_dataset(data)
        folders = [Path(image) for image in images or []]
        given = options.settings_of(dataset, split or "test", root, split_by, folders, count, settings, grefs)
        asked = {"dataset": dataset, "expressions": expression or [], **given}
    elif masks:
        asked = {"expressions": expression or [], **options.given(split=split, root=root, count=count)}
    else:
        raise InvalidInput(
            "name what to show: a data set, for example --data drawn_scenes, or images and what to find in them, for "
            "example refseg gallery photo.jpg 'the red cup' --weights selector"
        )
    given_systems = {"weights": iter(weights or []), "masks": map(StoredAnswers, masks or [])}
    sheet = build_gallery(
        [next(given_systems[name]) for name in context.meta[TYPED] if name in given_systems],
        labels=label or [],
        number=number,
        sort=sort,
        seed=seed,
        side=side,
        device=device,
        crf=DenseCRF() if crf else None,
        progress=progress,
        on_message=lambda line: typer.echo(printable(line), err=True),
        **asked,
    )
    for file in files:
        sheet.save(file)
        print(f"{named(file, replaced)}: {counted(len(sheet.lines), 'expression')}, {' | '.join(sheet.columns)}")


def _own_images(words: list[str], images: list[str], table: Path | None) -> dict[str, Any]:
    from refseg.commands.segment_inputs import read_inputs
    from refseg.errors import InvalidInput

    inputs = read_inputs(words, images, table, False, "refseg gallery")
    if inputs.is_video:
        raise InvalidInput(f"{inputs.one} is a video, and a gallery shows images; save frames of it, and give these")
    return {"images": inputs.images, "expressions": inputs.expressions or []}
