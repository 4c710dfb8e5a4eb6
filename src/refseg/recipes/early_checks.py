"""Checks of a recipe that need no torch: names of networks and data sets, settings, folders."""

from importlib.metadata import entry_points
from pathlib import Path

from refseg import datasets
from refseg.errors import InvalidInput, MissingFile
from refseg.networks import NETWORKS, PRESETS, unknown
from refseg.recipes.recipe import FileData, Recipe


def check_early(recipe: Recipe) -> None:
    """Checks what a recipe names.

    Raises:
        InvalidInput: for an unknown network, data set, or setting of a data set.
        MissingFile: if the folder of a data set is missing.
    """
    name = recipe.network
    if name not in NETWORKS and name not in PRESETS and not entry_points(group="refseg.networks", name=name):
        raise InvalidInput(unknown(name))
    for data in (recipe.data, *(stage.data for stage in recipe.stages if stage.data)):
        if isinstance(data, FileData):
            datasets.check_settings(data.dataset, data.settings)
            root = data.settings.get("root")
            if isinstance(root, str) and not Path(root).exists():
                raise MissingFile(f"{root} is missing; set data.settings.root to the folder of {data.dataset}")
