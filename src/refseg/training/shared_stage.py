"""A first stage that pretrains one encoder, taken over from another run that has the same one.

Runs of one study differ in what reads the encoder's maps, and not in the encoder.
"""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from refseg.errors import RefsegError
from refseg.files.tensor_files import read_safetensors
from refseg.networks.network import Network
from refseg.recipes.recipe import Recipe
from refseg.training.pretraining_table import pretraining_heads
from refseg.training.progress import print_once
from refseg.training.resume_states import train_again


def shared_weights(recipe: Recipe, network: Network, others: Iterable[Path]) -> dict[str, Tensor] | None:
    """Returns the network's weights after the recipe's first stage, with the encoder that another run has taught.

    Args:
        recipe: whose first stage may be the same as that of another run.
        network: with its initial weights.
        others: folders of runs.

    Returns:
        None if the stage teaches more than an encoder, or none of the runs has finished the same one.
    """
    heads = pretraining_heads(recipe.stages[0].objective)
    if heads is None:
        return None
    own = network.state_dict()
    taught = {name for name in own if name.startswith(f"{heads.part}.")}
    for run in others:
        file = run / "state" / recipe.stages[0].name
        if not (file.is_file() and _has_same_stage(run, recipe, heads.part)):
            continue
        weights = read_safetensors(file, train_again())
        found = {name: weight for name, weight in weights.items() if name.startswith(f"{heads.part}.")}
        if {name: weight.shape for name, weight in found.items()} == {name: own[name].shape for name in taught}:
            print_once(f"stage {recipe.stages[0].name} is that of {run}")
            return {**own, **found}
    return None


def _has_same_stage(run: Path, recipe: Recipe, part: str) -> bool:
    """Whether a run learnt from the same data, seed and initial weights in its first stage."""
    try:
        other = Recipe.from_yaml(run / "recipe.yaml")
    except RefsegError:
        return False
    facts = [
        (one.stages[0], one.data, one.seed, {name: file for name, file in one.initial.items() if name.startswith(part)})
        for one in (other, recipe)
    ]
    return facts[0] == facts[1]
