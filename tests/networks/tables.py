"""Settings of the networks in the papers' tables, as the studies have them."""

from typing import Any

from refseg.networks import configured
from refseg.studies import STUDIES
from refseg.studies.resolve import resolve_recipe


def row_of(study: str, number: int) -> Any:
    """The config of a row, by the study's name and its number from 1."""
    found = STUDIES[study]
    recipe = resolve_recipe(found, found.rows[number - 1], found.data_sets()[0])
    return configured(recipe.network, recipe.config)


def rows_of(*studies: str) -> dict[str, Any]:
    """The configs of all rows of studies by "STUDY, NUMBER", each once."""
    rows: dict[str, Any] = {}
    for study in studies:
        for number in range(1, len(STUDIES[study].rows) + 1):
            config = row_of(study, number)
            if config not in rows.values():
                rows[f"{study}, {number}"] = config
    return rows
