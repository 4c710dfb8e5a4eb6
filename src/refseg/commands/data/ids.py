"""`refseg data ids`: the ids under which masks are scored."""

import json
from typing import Annotated

import typer

from refseg.commands.options import (
    Count,
    Grefs,
    Images,
    Name,
    Root,
    Settings,
    Split,
    SplitBy,
    open_dataset,
    settings_of,
)


def ids(
    dataset: Name,
    split: Split = "test",
    root: Root = None,
    split_by: SplitBy = None,
    images: Images = None,
    grefs: Grefs = None,
    count: Count = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a mask.")] = False,
) -> None:
    """List the ids of a data set's masks, with image and expression, between tabs.

    `refseg score` finds the mask of an expression as ID.png, or in JSON Lines by "id". An id with slashes lies in
    folders. Of videos there is a mask for each expression and frame.
    """
    from refseg.datasets.tools.mask_ids import mask_ids
    from refseg.errors import printable

    given = settings_of(dataset, split, root, split_by, images, count, settings, grefs)
    for one in mask_ids(open_dataset(dataset, **given)):
        typer.echo(json.dumps(one, ensure_ascii=False) if as_json else "\t".join(map(printable, one.values())))
