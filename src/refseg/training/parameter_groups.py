"""What of a network learns in a stage, at which rate, with which decay."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from refseg.errors import InvalidInput
from refseg.networks.network import Network
from refseg.recipes.recipe import Group, Stage


class Length(NamedTuple):
    """How long a stage is.

    Attributes:
        steps: of the optimiser, in all.
        steps_per_epoch: in which everything is seen once.
    """

    steps: int
    steps_per_epoch: float


Named = Mapping[str, nn.Parameter]
LAYER = re.compile(r".*(?:layer|block|stage|\bnet)[^.]*\.\d+(?=\.)")
"""Matches the start of a name that tells its layer, such as "encoder.layer.3" or "layers.2.blocks.17"."""


def frozen_parameters(network: nn.Module) -> frozenset[str]:
    """Returns the names of the parameters that a fresh network keeps as they are, such as fixed word vectors."""
    return frozenset(name for name, parameter in network.named_parameters() if not parameter.requires_grad)


def trainable_parameters(network: Network, stage: Stage, frozen: Collection[str]) -> dict[str, dict[str, nn.Parameter]]:
    """Returns what learns in a stage, by part of the network and by name.

    Args:
        network: any.
        stage: whose groups say which parts learn.
        frozen: names from `frozen_parameters`; these never learn.

    Raises:
        InvalidInput: if nothing learns of a part that the stage names.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {}
    for part, parameters in network.parts().items():
        if group := stage.groups.get(part):
            own = {names[id(each)]: each for each in parameters if names[id(each)] not in frozen}
            found[part] = {name: each for name, each in own.items() if matches(name, group.only, otherwise=True)}
            if not found[part]:
                why = f"`only` matches no name such as {next(iter(own))}" if own else "the network keeps it as it is"
                raise InvalidInput(f"stage {stage.name}: nothing of group {part} learns, {why}; leave the group out")
    return found


def build_optimizer(
    network: nn.Module, trainable: Mapping[str, Named], stage: Stage, length: Length, fused: bool
) -> tuple[Optimizer, LambdaLR]:
    """Builds the optimiser of a stage and its schedule: a group for each part and, in it, for what decays or does not.

    Args:
        network: the parameters' own, for the kinds of modules that hold them.
        trainable: parameters by part and name, as they are now (sharding replaces them).
        stage: rates, decay and schedule of each part.
        length: of the stage.
        fused: use torch's fused kernels.
    """
    groups, factors = [], []
    for part, named in trainable.items():
        settings = stage.groups[part]
        still = without_decay(network, named, settings.undecayed)
        layers = layers_of(named) if settings.layer_decay < 1 else [list(named)]
        for above, names in enumerate(reversed(layers)):
            for decays in (True, False):
                parameters = [named[name] for name in names if (name not in still) == decays]
                if parameters:
                    decay = settings.weight_decay if decays else 0.0
                    rate = settings.lr * settings.layer_decay**above
                    groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
                    factors.append(lr_factor(settings, stage, length))
    kind = {"adamw": AdamW, "adam": Adam}[stage.optimiser]
    optimizer = kind(groups, betas=stage.betas, fused=fused)
    return optimizer, LambdaLR(optimizer, factors)


def layers_of(names: Iterable[str]) -> list[list[str]]:
    """Groups names of a part's parameters by layer, the first one first; what is between two belongs to the former.

    >>> layers_of(["embed.weight", "layers.0.blocks.0.mlp.0.weight", "layers.0.blocks.1.mlp.0.weight", "norm.weight"])
    [['embed.weight'], ['layers.0.blocks.0.mlp.0.weight'], ['layers.0.blocks.1.mlp.0.weight', 'norm.weight']]
    """
    layers: dict[str, list[str]] = {}
    latest = ""
    for name in names:
        found = LAYER.match(name)
        latest = found[0] if found else latest
        layers.setdefault(latest, []).append(name)
    return list(layers.values())


def lr_factor(group: Group, stage: Stage, length: Length) -> Callable[[int], float]:
    """Returns a function of the step: by what the learning rate of a group is multiplied there."""

    def factor(step: int) -> float:
        if group.first_epoch_lr and step < length.steps_per_epoch:
            return group.first_epoch_lr / group.lr
        return stage.schedule(step, length.steps, length.steps_per_epoch)

    return factor


def without_decay(network: nn.Module, names: Collection[str], patterns: tuple[str, ...] | None) -> set[str]:
    """Returns those of some parameters' names that have no weight decay; see `recipes.recipe.Group.undecayed`."""
    if patterns is not None:
        return {name for name in names if matches(name, patterns, otherwise=False)}
    small = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in network.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim < 2 or isinstance(module, nn.Embedding) or "position" in name
    }
    return small & set(names)


def matches(name: str, patterns: tuple[str, ...], otherwise: bool) -> bool:
    """Whether one of the patterns is found in the name; `otherwise` if there is no pattern."""
    return any(re.search(pattern, name) for pattern in patterns) if patterns else otherwise
