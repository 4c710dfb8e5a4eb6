"""A row of a study to the recipe that trains it, and to the key by which equal trainings are found."""

import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg import datasets
from refseg.errors import InvalidInput, option
from refseg.extensions import look_up
from refseg.networks import NETWORKS, PRESETS, configured
from refseg.protocols import build_for
from refseg.recipes import RECIPES, find_recipe
from refseg.recipes.recipe import FileData, Recipe
from refseg.studies.study import DATA_PLACEHOLDER, Column, Row, Study

SMALL_COUNT = 200  # scenes or clips of the test split
SMALL_METRICS = ("oIoU", "mIoU", "Prec@0.5", "Prec@0.7", "Prec@0.9", "N-acc", "T-acc")
STANDARD_NAME = "standard"
PLACES = "root", "images", "grefs"
"""Settings of data sets that name files and folders."""


@dataclass(frozen=True)
class ScoredSplit:
    """A split that rows are scored on, and how.

    Attributes:
        data: stands for `DATA` in the name of the recipe.
        dataset: its data set, "" for the recipe's own.
        split: its name.
        protocols: that score it, the study's first.
        crf: whether masks are refined by DenseCRF.
    """

    data: str
    dataset: str
    split: str
    protocols: tuple[str, ...]
    crf: bool = False

    @property
    def name(self) -> str:
        """Name for folders and tables."""
        return "_".join(filter(None, (self.data, self.dataset, self.split)))


def check_small(study: Study) -> None:
    """Raises InvalidInput if no row of a study has a recipe on drawn scenes or clips."""
    if not study.has_small:
        as_small = option("small", True)
        if study.recipe in RECIPES and RECIPES[study.recipe]().data.dataset.startswith("drawn_"):
            raise InvalidInput(f"{study.name} is on drawn scenes at full size; leave {as_small} out")
        if not study.has_figures:
            raise InvalidInput(
                f"{study.name} names no recipe on drawn scenes; give it one, such as small: cmirnet_small, or leave "
                f"{as_small} out"
            )
        raise InvalidInput(f"{study.name} has no rows on drawn scenes; leave {as_small} out, or take another table")


def list_columns(study: Study, small: bool) -> tuple[Column, ...]:
    """Returns the columns of our table: the paper's; in small the same for all studies."""
    if not small:
        return study.columns
    return tuple(Column(title=name, metric=name, split="test") for name in SMALL_METRICS)


def list_scored_splits(study: Study, small: bool) -> dict[str, ScoredSplit]:
    """Returns the splits that rows are scored on, by name."""
    if small:
        return {"test": ScoredSplit("", "", "test", (STANDARD_NAME,))}
    protocols: dict[tuple[str, str, str], list[str]] = {}
    for column in study.columns:
        if not column.cost:
            named = column.protocol or study.protocol.removesuffix("+crf")
            protocols.setdefault((column.data, column.dataset, column.split), []).append(named)
    crf = study.protocol.endswith("+crf")
    places = [ScoredSplit(*place, tuple(dict.fromkeys(names)), crf) for place, names in protocols.items()]
    return {place.name: place for place in places}


def describe_data(study: Study, settings: Sequence[str] = ()) -> str:
    """Returns the data sets and splits that rows are scored on at full size.

    Args:
        study: of the rows.
        settings: "a.b=value", of all rows.

    Returns:
        "" if no row has a recipe.

    >>> from refseg.studies import STUDIES
    >>> describe_data(STUDIES["cmirnet_table3"])
    'refcoco unc val, testA, testB'
    """
    splits: dict[str, list[str]] = {}
    for place in list_scored_splits(study, small=False).values():
        recipes = filter(None, (resolve_recipe(study, row, place.data, settings=settings) for row in study.rows))
        for name in dict.fromkeys(place.dataset or _name_data_set(recipe) for recipe in recipes):
            splits.setdefault(name, []).append(place.split)
    return "; ".join(f"{name} {', '.join(some)}" for name, some in splits.items())


def _name_data_set(recipe: Recipe) -> str:
    """Returns the data set of a recipe, and by whom it is divided into splits: "refcoco unc"."""
    if isinstance(recipe.data, FileData) and recipe.data.dataset != "drawn_clips":
        return f"{recipe.data.dataset} {recipe.data.settings.get('split_by', '')}".strip()
    return f"{recipe.data.dataset}, the first {SMALL_COUNT} of"


def list_splits_of(study: Study, small: bool, data: str) -> list[ScoredSplit]:
    """Returns the splits that a training is scored on: in small all, else those of its data."""
    return [split for split in list_scored_splits(study, small).values() if small or split.data == data]


def name_scored_split(column: Column) -> str:
    """Returns the name of the scored split that a column is about."""
    return ScoredSplit(column.data, column.dataset, column.split, ()).name


def resolve_recipe(
    study: Study, row: Row, data: str = "", small: bool = False, settings: Sequence[str] = (), seed: int = 0
) -> Recipe | None:
    """Returns the recipe that trains a row.

    Args:
        study: of the row.
        row: of the study.
        data: stands for `DATA` in the name of the recipe.
        small: whether on drawn scenes or clips.
        settings: "a.b=value", of all rows.
        seed: added to the recipe's.

    Returns:
        None if there is no such recipe.

    Raises:
        InvalidInput: for settings that are not allowed.
    """
    name = (row.small or study.small) if small else (row.recipe or study.recipe).replace(DATA_PLACEHOLDER, data)
    if not (name.endswith((".yaml", ".yml")) or look_up(RECIPES, "refseg.recipes", name)):
        return None
    own = () if study.scored_only else row.settings
    _check_free(row, settings)
    common = () if small else study.common
    recipe = find_recipe(name).with_settings([*common, *settings, *own, *(row.small_settings if small else ())])
    return recipe.replace(seed=recipe.seed + seed)


def _check_free(row: Row, settings: Sequence[str]) -> None:
    """Raises InvalidInput if a setting of all rows is one that the row sets itself, which would have no effect."""
    own = [each.partition("=")[0] for each in row.settings]
    for each in settings:
        path = each.partition("=")[0]
        if taken := next((name for name in own if f"{path}.".startswith(f"{name}.")), ""):
            raise InvalidInput(f"{each}: row {row.label!r} is about {taken}, and sets it itself; leave it out")


def get_answering_settings(study: Study, row: Row) -> list[str]:
    """Returns the settings of a row that act only when it answers, see `Study.scored_only`."""
    return list(row.settings) if study.scored_only else []


def training_key(recipe: Recipe) -> str:
    """Returns a short key of all that a training depends on; recipes with equal keys are one training.

    Where the data set lies, and how many processes read it, is no part of it; the file of a network of one's own is.
    Weights that it starts from are named, not read: see `trainings.train_row`.

    The network is its whole config, so that a preset, and the settings that make it of another, are equal.
    """
    plain = recipe.model_dump(mode="json", exclude={"name", "about", "config", "network"})
    for data in (plain["data"], *(stage["data"] for stage in plain["stages"] if stage["data"])):
        data.pop("workers", None)
        if "settings" in data:
            data["settings"] = {name: value for name, value in data["settings"].items() if name not in PLACES}
    plain["network"] = PRESETS.get(recipe.network, recipe.network)
    plain["config"] = configured(recipe.network, recipe.config).model_dump(mode="json")
    if isinstance(own := NETWORKS.get(recipe.network), type):
        plain["code"] = hashlib.sha256(Path(inspect.getfile(own)).read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def resolve_data(recipe: Recipe, place: ScoredSplit) -> tuple[str, dict[str, Any]]:
    """Returns the data set of a scored split, and its settings."""
    if place.dataset:
        return place.dataset, {"split": place.split}
    data = recipe.data
    if not isinstance(data, FileData):
        return data.dataset, {"split": place.split, "count": SMALL_COUNT}
    settings = dict(data.settings)
    if data.dataset == "drawn_clips":
        settings |= {"count": SMALL_COUNT, "annotated": "middle"}  # the frame that gives no motion away
    return data.dataset, {**settings, "split": place.split}


def check_scored_split(recipe: Recipe, place: ScoredSplit, opens_files: bool) -> None:
    """Checks that a recipe can be scored on a split.

    Args:
        recipe: trains the row.
        place: the split.
        opens_files: whether to open data sets of files as well, which reads them.

    Raises:
        MissingFile, InvalidInput: if the data set cannot be opened, has no such split, or no such protocol fits it.
    """
    dataset, settings = resolve_data(recipe, place)
    build_for(dataset, place.protocols)
    if opens_files or dataset.startswith("drawn_"):
        datasets.build(dataset, **settings)


def parse_rows(study: Study, text: str) -> tuple[int, ...]:
    """Returns the numbers of rows that "1,8" or "2-4" name; of all if it is empty.

    Raises:
        InvalidInput: if there are no such rows.
    """
    last = len(study.rows)
    found: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, end = part.partition("-")
        if not (first.isdecimal() and (end.isdecimal() if dash else True) and len(part) < 10):
            example = option("rows", f"1,{last}")
            raise InvalidInput(f"{part!r} is no row of {study.name}; its rows are 1 to {last}, for example {example}")
        numbers = range(int(first), int(end or first) + 1)
        if not numbers or numbers[0] < 1 or numbers[-1] > last:
            ordered = f"; did you mean {end}-{first}?" if dash and int(end) < int(first) else ""
            raise InvalidInput(f"{study.name} has no row {part}; its rows are 1 to {last}{ordered}")
        found += numbers
    return tuple(sorted(set(found))) or tuple(range(1, last + 1))
