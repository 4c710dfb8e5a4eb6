"""A study of one's own, from a YAML file."""

from pathlib import Path

from pydantic import ValidationError

from refseg.config import one_line
from refseg.errors import InvalidInput
from refseg.files.yaml_values import read_yaml
from refseg.recipes import find_recipe
from refseg.studies.study import Study


def read_study(file: Path) -> Study:
    """Reads a study, whose recipes are named or YAML files as well.

    Raises:
        MissingFile, InvalidInput: if there is no such file, no valid study in it, or a recipe that is not there.
    """
    content = read_yaml(file, "study", "docs/studies.md shows what a study holds")
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise InvalidInput(f"{file}: {one_line(error, Study, content)}") from error
    for row in study.rows:
        for recipe in (*(name for _, name in study.recipe_names(row)), row.small or study.small):
            if recipe:
                find_recipe(recipe)
    return study
