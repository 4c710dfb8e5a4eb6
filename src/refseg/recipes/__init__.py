"""Recipes by name: `RECIPES` is the table; each entry is a function that returns a `Recipe`."""

from importlib import import_module
from pathlib import Path

from refseg.errors import InvalidInput
from refseg.recipe import Recipe

RECIPES = {
    "selector": "refseg.recipes.selector:selector",
    "selector_quick": "refseg.recipes.selector:selector_quick",
    "small_image_encoder": "refseg.recipes.selector:small_image_encoder",
    "selector_first_version": "refseg.recipes.selector:selector_first_version",
    "dmmi_small": "refseg.recipes.small:dmmi_small",
    "cmirnet_small": "refseg.recipes.small:cmirnet_small",
    "lavt_small": "refseg.recipes.small:lavt_small",
    "lavt_small_aligner": "refseg.recipes.small:lavt_small_aligner",
    "eavl_small": "refseg.recipes.small:eavl_small",
    "cris_small": "refseg.recipes.small:cris_small",
    "cris_small_aligner": "refseg.recipes.small:cris_small_aligner",
    "vlt_small": "refseg.recipes.small:vlt_small",
    "vlt_small_aligner": "refseg.recipes.small:vlt_small_aligner",
    "dcmfnet_small": "refseg.recipes.small:dcmfnet_small",
    "cmpc_small": "refseg.recipes.small:cmpc_small",
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name, or in that YAML file.

    Raises:
        InvalidInput: for a name that is in no table and not a YAML file.
    """
    if name.endswith((".yaml", ".yml")):
        return Recipe.from_yaml(Path(name))
    if name not in RECIPES:
        raise InvalidInput(
            f"unknown recipe {name!r}; choose one of: {', '.join(RECIPES)}, or the path of a recipe.yaml"
        )
    module, _, attribute = RECIPES[name].partition(":")
    return getattr(import_module(module), attribute)()
