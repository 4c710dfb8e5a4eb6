"""Costs of a row: counted for its network at its image size, and measured on this machine for tables of speed."""

import hashlib
import json
from dataclasses import asdict, replace

from refseg.hardware import describe_hardware
from refseg.inspection.costs import count_costs, count_words
from refseg.networks import PRESETS, configured
from refseg.recipes.recipe import FileData, Recipe
from refseg.studies.resolve import get_answering_settings
from refseg.studies.results import Costs
from refseg.studies.study import Study
from refseg.studies.timing import count_images, measure


def costs_key(study: Study, number: int, recipe: Recipe) -> str:
    """Returns a short key of all that the costs of a row depend on, but for the machine."""
    row, changed = study.rows[number - 1], _answering(study, number, recipe)
    timed = [count_images(changed), changed.precision] if study.is_timed else []
    config = configured(changed.network, changed.config).model_dump(mode="json")
    network = PRESETS.get(changed.network, changed.network)
    plain = json.dumps([network, config, _side(changed), bool(row.words), timed], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def are_current(study: Study, costs: Costs | None, key: str, device: str) -> bool:
    """Whether costs that are noted need no counting again.

    Args:
        study: of the row.
        costs: that are noted; None if there are none.
        key: of the row, see `costs_key`.
        device: that is to be measured; "auto" takes what was measured anywhere.
    """
    if costs is None or costs.costs_key != key:
        return False
    if device == "auto" or not study.is_timed:
        return True
    return (costs.device, costs.machine) == (device, describe_hardware(device))


def count_row(study: Study, number: int, recipe: Recipe, device: str) -> Costs:
    """Counts the costs of a row, and measures the device if the table has columns of that."""
    changed = _answering(study, number, recipe)
    side = _side(changed)
    found = count_costs(changed.network, changed.config, side)
    costs = Costs(
        found["parameters"], found["multiply_adds"], found["parts"], costs_key=costs_key(study, number, recipe)
    )
    if study.rows[number - 1].words:
        costs = replace(costs, words=count_words(changed.network, changed.config))
    if study.is_timed:
        costs = replace(costs, **asdict(measure(changed, side, device)))
    return costs


def _answering(study: Study, number: int, recipe: Recipe) -> Recipe:
    """Returns the recipe with the network as the row answers."""
    return recipe.with_settings(get_answering_settings(study, study.rows[number - 1]))


def _side(recipe: Recipe) -> int:
    return recipe.data.preprocessing.side if isinstance(recipe.data, FileData) else recipe.data.side
