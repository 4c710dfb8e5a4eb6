"""What commands that score a data set have in common: its settings, the protocols, the facts that a report states."""

from pathlib import Path
from typing import Annotated, Any

import typer

from refseg.commands.dataset_options import given

MOST_THREADS = 8

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Another setting of the data set; may be given several times."),
]


def settings_of(
    split: str,
    root: Path | None = None,
    split_by: str | None = None,
    images: list[Path] | None = None,
    count: int | None = None,
    others: list[str] | None = None,
) -> dict[str, Any]:
    """What `datasets.build` takes, of what was given.

    Raises:
        InvalidInput: if a setting has no name or no value.
    """
    return given(split=split, root=root, split_by=split_by, images=images, count=count) | _parsed(others or [])


def protocols_of(names: list[str] | None, dataset: str) -> list[Any]:
    """The protocols of these names, or the data set's own, and `standard`.

    Raises:
        InvalidInput: if one of them is unknown, or does not fit the data set.
    """
    from refseg import protocols
    from refseg.evaluation.scoring import with_standard

    return with_standard(protocols.build_for(dataset, names or []))


def threads(workers: int | None) -> int:
    """How many threads help, where it was not said."""
    import os

    return min(os.cpu_count() or 1, MOST_THREADS) if workers is None else workers


def facts(dataset: Any, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What makes figures on a data set comparable: its name and settings, and its version or its files' sha256."""
    import hashlib
    import sys

    found: dict[str, Any] = {
        "dataset": name,
        **{key: _plain(value) for key, value in settings.items() if key != "root"},
    }
    found |= {"seed": getattr(dataset, "seed", None)}
    found |= {"generator_version": getattr(sys.modules[type(dataset).__module__], "VERSION", None)}
    sources = dataset.sources() if hasattr(dataset, "sources") else []
    digests = {Path(source).name: hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16] for source in sources}
    return {key: value for key, value in found.items() if value is not None} | ({"sha256": digests} if digests else {})


def weights_facts(weights: str) -> dict[str, str]:
    """What tells weights from all others."""
    import hashlib

    from refseg.checkpoints import WEIGHTS, find

    return {"name": weights, "sha256": hashlib.sha256((find(weights) / WEIGHTS).read_bytes()).hexdigest()}


def _parsed(others: list[str]) -> dict[str, Any]:
    from refseg.errors import InvalidInput, shown
    from refseg.files.yaml_values import parse_yaml

    settings = {}
    for text in others:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput(f"--set {shown(text)} is not NAME=VALUE, for example --set grefs=true")
        try:
            settings[name] = parse_yaml(value)
        except InvalidInput as error:
            raise InvalidInput(f"the value of --set {shown(text)} cannot be read; put it into quotes") from error
    return settings


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [str(one) for one in value]
    return str(value) if isinstance(value, Path) else value
