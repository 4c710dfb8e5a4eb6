"""How commands name a data set, and open it."""

from pathlib import Path
from typing import Annotated, Any

import typer

Name = Annotated[str, typer.Argument(help="Name of a data set.")]
Split = Annotated[str, typer.Option(help="Which part of it; `all` takes everything.")]
Count = Annotated[int | None, typer.Option(min=1, help="Only the first so many images.", show_default="all")]
Root = Annotated[Path | None, typer.Option(help="Its folder.", show_default="$REFSEG_DATA/<its usual name>")]
Images = Annotated[
    list[Path] | None, typer.Option(help="Folder of photographs apart from the annotations; repeatable.")
]
SplitBy = Annotated[str | None, typer.Option(help="Whose division into splits: unc, umd, google, ...")]
Grefs = Annotated[
    bool | None, typer.Option("--grefs/--refs", help="Of data set `refer`: with several targets and none, or one each.")
]


def open_dataset(name: str, **settings: Any) -> Any:
    """The data set with those settings that were given."""
    from refseg import datasets

    return datasets.build(name, **given(**settings))


def open_images(name: str, **settings: Any) -> Any:
    """The same, of images.

    Raises:
        InvalidInput: if it is a data set of videos.
    """
    from refseg import datasets

    return datasets.build_images(name, **given(**settings))


def given(**settings: Any) -> dict[str, Any]:
    """Those settings that were given: not None, not an empty list."""
    return {key: value for key, value in settings.items() if value not in (None, [])}
