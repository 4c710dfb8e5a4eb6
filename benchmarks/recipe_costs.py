"""Estimates what the recipes of the papers cost: `python benchmarks/recipe_costs.py`. Counts only, nothing is run.

One row for each network and length of the recipes on RefCOCO and on videos, but for those of the releases. A training
step is taken as three times the multiply-adds of an answer (forward once, backward twice), without the word encoder;
weights as 16 bytes a parameter that learns (weight, gradient, two moments) and 4 bytes one that does not.
"""

import argparse

import torch

from refseg import networks
from refseg.inspection.flops import complexity
from refseg.recipes import RECIPES, find_recipe
from refseg.recipes.recipe import FileData, Recipe
from refseg.training.parameter_groups import frozen_parameters, trainable_parameters
from timing import print_table

REFCOCO = {"referent": 42_404, "expression": 120_624, "image": 16_994}  # of split train, unc
VOCABULARY = 30_522  # of BERT; word vectors of others are few beside it
EACH = 1e14  # FLOP/s that a device is assumed to reach


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--recipes", nargs="+", default=RECIPES)
    options = options.parse_args()
    rows: dict[tuple[str, ...], list[str]] = {}
    for name in options.recipes:
        recipe = find_recipe(name)
        if not recipe.about or not isinstance(recipe.data, FileData) or len(recipe.stages) > 1 or "release" in name:
            continue
        if recipe.data.dataset == "refcoco" or recipe.data.preprocessing.clip.offsets != (0,):
            line = costs(recipe, recipe.data)
            rows.setdefault((recipe.network, *line), [name, *line])
    head = ["recipe", "side", "G multiply-adds a pair", "pairs", "EFLOP", "hours at 100 TFLOP/s", "GiB of weights"]
    print_table("Estimated costs of trainings, not measured", head, list(rows.values()))


def costs(recipe: Recipe, data: FileData) -> list[str]:
    """Cells of a row."""
    (stage,), side = recipe.stages, data.preprocessing.side
    each = complexity(recipe.network, (side, side), VOCABULARY).multiply_adds
    with torch.device("meta"):
        network = networks.build(recipe.network, recipe.config, VOCABULARY)
    learns = sum(
        p.numel()
        for part in trainable_parameters(network, stage, frozen_parameters(network)).values()
        for p in part.values()
    )
    still = sum(p.numel() for p in network.parameters()) - learns
    steps = stage.steps or round((stage.epochs or 0) * (REFCOCO[data.item] // stage.images))
    pairs = steps * stage.images * stage.expressions_per_image
    flop = pairs * each * 3 * 2
    weights = (16 * learns + 4 * still) / 2**30
    amounts = f"{each / 1e9:.0f}", f"{pairs:,}", f"{flop / 1e18:.1f}", f"{flop / EACH / 3600:.1f}", f"{weights:.1f}"
    return [str(side), *amounts]


if __name__ == "__main__":
    main()
