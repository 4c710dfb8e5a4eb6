"""A study of one's own, from a YAML file."""

from pathlib import Path

from pydantic import ValidationError

from refseg.config import one_line
from refseg.errors import InvalidInput, MissingFile, did_you_mean, for_caller
from refseg.evaluation.report.breakdown import IOUS
from refseg.files.yaml_values import read_yaml
from refseg.networks import configured
from refseg.recipes import find_recipe
from refseg.studies.resolve import check_scored_split, list_splits_of, resolve_recipe
from refseg.studies.study import Row, Study

METRICS = (*IOUS, "gIoU", "cIoU", "N-acc", "T-acc")
"""Metrics of protocol `standard`, by which claims are tested."""


def read_study(file: Path) -> Study:
    """Reads a study, whose recipes are named or YAML files as well, and checks each of its rows.

    Raises:
        MissingFile, InvalidInput: if there is no such file, no valid study in it, or a row that has no recipe.
    """
    content = read_yaml(file, "study", "docs/studies.md shows what a study holds")
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise InvalidInput(f"{file}: {one_line(error, Study, content).removeprefix('value: ')}") from error
    of_columns = [column.metric for column in study.columns if study.protocol == "standard" and not column.cost]
    for metric in filter(None, (*of_columns, *(claim.metric for claim in study.claims))):
        if metric not in METRICS:
            meant = did_you_mean(metric, METRICS)
            raise InvalidInput(f"{file}: there is no metric {metric!r}; {meant}choose one of: {', '.join(METRICS)}")
    for row in study.rows:
        try:
            _check_row(study, row)
        except (InvalidInput, MissingFile) as error:
            raise InvalidInput(f"{file}, row {row.label!r}: {error}") from error
    return study


def _check_row(study: Study, row: Row) -> None:
    """Raises an error if a recipe of a row is not there, or the row's settings do not fit it."""
    names = {data: name for data, name in study.recipe_names(row) if name}
    small = row.small or study.small
    if not (names or small):
        raise InvalidInput("it has no recipe; give the study one: recipe, or small for drawn scenes")
    for name in (*names.values(), *filter(None, [small])):
        try:
            find_recipe(name)
        except InvalidInput as error:
            own = for_caller(f"of your own Python file add --recipe own.py:{name}", "enter your own in recipes.RECIPES")
            raise InvalidInput(f"{error}; {own}") from error
    for data, in_small in (*((data, False) for data in names), *([("", True)] if small else [])):
        recipe = resolve_recipe(study, row, data, in_small)
        if recipe is None:
            continue
        configured(recipe.network, recipe.config)
        for place in list_splits_of(study, in_small, data):
            check_scored_split(recipe, place, opens_files=False)
