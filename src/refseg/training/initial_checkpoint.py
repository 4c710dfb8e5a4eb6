"""A network that starts from a whole checkpoint: its config, preprocessing, tokenizer and weights are those of it."""

import torch

from refseg import networks
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.config_file import read_config
from refseg.checkpoints.io import load_checkpoint
from refseg.checkpoints.locate import find
from refseg.checkpoints.schema import CONFIG
from refseg.errors import InvalidInput, MissingFile
from refseg.networks.merge import merge_config
from refseg.networks.network import Network
from refseg.recipes.recipe import FileData, Group, Recipe
from refseg.training.parameter_groups import frozen_parameters

WHOLE = "weights"  # not a part: in a recipe's `initial`, the checkpoint that all parts start from


def with_checkpoint(recipe: Recipe) -> Recipe:
    """Returns the recipe with the network, its config and the preprocessing of the checkpoint that it starts from.

    Fields of the config that the recipe sets stay as they are, if it is of the same network. A stage's groups are taken
    over; parts of the network that they do not name learn as "fusion" does, and those that it keeps as they are do not.

    Raises:
        MissingFile, InvalidInput: if there is no such checkpoint, or it does not go with the recipe.
    """
    source = recipe.initial.get(WHOLE)
    if source is None:
        return recipe
    try:
        folder = find(source)
        start = read_config(folder / CONFIG)
    except (InvalidInput, MissingFile) as error:
        raise type(error)(f"initial.{WHOLE}: {error}") from error
    data = recipe.data
    if isinstance(data, FileData):
        if data.vocabulary:
            raise InvalidInput(f"the words are those of {source}; leave out data.vocabulary, or initial.{WHOLE}")
        data = data.replace(preprocessing=start.preprocessing)
    name, own = start.network.name, recipe.config if recipe.network == start.network.name else {}
    config = merge_config(name, start.network.config, own)
    with torch.device("meta"):
        network = networks.build(name, config, vocabulary_size=len(getattr(start.tokenizer, "words", ())) or 3)
    stages = tuple(stage.replace(groups=_groups(network, dict(stage.groups))) for stage in recipe.stages)
    return recipe.replace(network=name, config=config, data=data, stages=stages)


def _groups(network: Network, groups: dict[str, Group]) -> dict[str, Group]:
    frozen = frozen_parameters(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {}
    for part, parameters in network.parts().items():
        learns = any(names[id(parameter)] not in frozen for parameter in parameters)
        if learns and (group := groups.get(part, groups.get("fusion"))):
            found[part] = group
    return found


def initial_checkpoint(recipe: Recipe) -> Checkpoint | None:
    """Returns the checkpoint that the whole network starts from; None if there is none.

    Raises:
        MissingFile, InvalidInput: if it cannot be loaded.
    """
    source = recipe.initial.get(WHOLE)
    return None if source is None else load_checkpoint(source)
