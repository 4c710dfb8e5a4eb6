"""Options that several commands take, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refseg.checkpoints.bundled import FOR_IMAGES, FOR_VIDEOS
from refseg.commands.completion import complete_datasets, complete_devices, complete_precisions, complete_weights

if TYPE_CHECKING:
    from refseg.extensions import Table

Weights = Annotated[
    str | None,
    typer.Option(
        help="A bundled name, a checkpoint folder, a hub id, or an open model (refseg weights list).",
        show_default=f"{FOR_IMAGES}, of a video {FOR_VIDEOS}",
        autocompletion=complete_weights,
    ),
]
"""None: `bundled.default_weights`."""


Network = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE.py:NAME", help="Network of the weights, defined in your own file; repeatable."),
]

GivenWeights = Annotated[
    str,
    typer.Argument(
        help="A bundled name, a checkpoint folder, a hub id, or an open model (refseg weights list).",
        autocompletion=complete_weights,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Where the network runs: auto (a GPU if there is one), cpu, cuda.", autocompletion=complete_devices
    ),
]
"""Its default is "auto"; `refseg.hardware.choose_device` makes a device of it."""

Precision = Annotated[
    str,
    typer.Option(
        help="Of the network's arithmetic: f32, bf16, or auto (bf16 where that is faster).",
        autocompletion=complete_precisions,
    ),
]

Name = Annotated[str, typer.Argument(help="Name of a data set, or FILE.py:NAME.", autocompletion=complete_datasets)]
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

    return datasets.build(add_dataset(name), **given(**settings))


def open_images(name: str, **settings: Any) -> Any:
    """The same, of images.

    Raises:
        InvalidInput: if it is a data set of videos.
    """
    from refseg import datasets

    return datasets.build_images(add_dataset(name), **given(**settings))


WeightsSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of `reader`: finder=coco80, masker=grabcut (ellipse, box), threshold=0.25; or of an open "
        "model: answer=best; repeatable.",
    ),
]


def with_settings(weights: str | None, settings: list[str] | None) -> str | None:
    """Returns weights with the settings behind their name; of the reader if none are named.

    Raises:
        InvalidInput: if a setting has no name or no value, or one that cannot be.
    """
    from refseg.checkpoints import bundled, locate

    return locate.with_settings(weights or bundled.FOR_PHOTOGRAPHS, _parsed(settings)) if settings else weights


def divide_settings(weights: str, settings: list[str] | None) -> tuple[str, list[str]]:
    """Returns the weights with those of the settings that are theirs, and the others, which are the data set's."""
    from refseg.checkpoints.config_file import settings_names

    names = settings_names(weights) if settings else ()
    theirs = [text for text in settings or [] if text.partition("=")[0] in names]
    return with_settings(weights, theirs) or weights, [text for text in settings or [] if text not in theirs]


def given(**settings: Any) -> dict[str, Any]:
    """Those settings that were given: not None, not an empty list."""
    return {key: value for key, value in settings.items() if value not in (None, [])}


Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Another setting of the data set; may be given several times."),
]


def add_networks(names: list[str] | None) -> None:
    """Makes networks of `FILE.py:NAME` known by their names.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or no such name in it.
    """
    from refseg.networks import NETWORKS

    _add_own(names, NETWORKS, "--network", "class", "own_file.py:OwnName; networks of refseg need no such option")


def add_recipes(names: list[str] | None) -> None:
    """Makes recipes of `FILE.py:NAME` known by their names.

    Raises:
        MissingFile, InvalidInput: if there is no such file, or no such name in it.
    """
    from refseg.recipes import RECIPES

    _add_own(names, RECIPES, "--recipe", "recipe", "own_file.py:own_recipe; others are found by name")


def _add_own(names: list[str] | None, table: "Table", flag: str, kind: str, example: str) -> None:
    from refseg.errors import InvalidInput
    from refseg.extensions import add_extension, is_extension

    for name in names or []:
        if not is_extension(name):
            raise InvalidInput(f"{flag} {name} names no {kind} of your own, such as {example}")
        add_extension(table, name)


def add_dataset(name: str) -> str:
    """Makes the data set of `FILE.py:NAME` known and returns its name; any other name is returned as it is."""
    from refseg.datasets import DATASETS
    from refseg.extensions import add_extension

    return add_extension(DATASETS, name)


def add_protocols(names: list[str] | None) -> list[str]:
    """The same for protocols."""
    from refseg.extensions import add_extension
    from refseg.protocols import PROTOCOLS

    return [add_extension(PROTOCOLS, name) for name in names or []]


def settings_of(
    dataset: str,
    split: str,
    root: Path | None = None,
    split_by: str | None = None,
    images: list[Path] | None = None,
    count: int | None = None,
    others: list[str] | None = None,
    grefs: bool | None = None,
) -> dict[str, Any]:
    """Returns the settings of a data set that were given, with their names checked.

    Raises:
        InvalidInput: if a setting is unknown, or has no name or no value.
    """
    from refseg import datasets

    settings = given(split=split, root=root, split_by=split_by, images=images, count=count, grefs=grefs)
    settings |= _parsed(others or [])
    datasets.check_settings(dataset, settings)
    return settings


def _parsed(others: list[str]) -> dict[str, Any]:
    from refseg.errors import InvalidInput, shown
    from refseg.files.yaml_values import parse_yaml

    settings = {}
    for text in others:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput(f"--set {shown(text)} has no name or no value; write it as --set grefs=true")
        try:
            settings[name] = parse_yaml(value)
        except InvalidInput as error:
            raise InvalidInput(f"the value of --set {shown(text)} cannot be read; put it into quotes") from error
    return settings
