"""The networks by name; a network is imported when it is built."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import ValidationError

from refseg.config import Config
from refseg.errors import InvalidInput
from refseg.validation import one_line

if TYPE_CHECKING:
    from refseg.networks.contract import Network

NETWORKS = {
    "selector": "refseg.networks.selector:Selector",
}


def network_class(name: str) -> "type[Network]":
    """The class of a network.

    Raises:
        InvalidInput: if there is no network of this name.
    """
    if name not in NETWORKS:
        raise InvalidInput(f"unknown network {name!r}; choose one of: {', '.join(sorted(NETWORKS))}")
    module, _, attribute = NETWORKS[name].partition(":")
    found: type[Network] = getattr(import_module(module), attribute)
    return found


def build(name: str, config: Config | Mapping[str, Any], vocabulary_size: int) -> "Network":
    """A network with fresh weights.

    Args:
        name: one of `NETWORKS`.
        config: its settings, as the config that its class annotates or as a mapping, which is checked.
        vocabulary_size: number of token ids, padding and unknown included.

    Raises:
        InvalidInput: if there is no such network, or it does not take this config.
    """
    found = network_class(name)
    settings: type[Config] = get_type_hints(found)["config"]
    try:
        checked = settings.model_validate(config)
    except ValidationError as error:
        raise InvalidInput(f"config of {name}: {one_line(error)}") from error
    return found(checked, vocabulary_size)
