"""Networks and presets by name; a network is imported when it is built."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import ValidationError

from refseg.config import Config, one_line
from refseg.errors import InvalidInput, choose_one, first_line
from refseg.extensions import look_up

if TYPE_CHECKING:
    from refseg.networks.network import Network

NETWORKS: dict[str, Any] = {  # a network of your own file is the class itself, see `extensions`
    "selector": "refseg.networks.selector.selector:Selector",
    "selector_video": "refseg.networks.selector.selector_video:SelectorVideo",
    "dmmi": "refseg.networks.dmmi:DMMI",
    "cmirnet": "refseg.networks.cmirnet.cmirnet:CMIRNet",
    "eavl": "refseg.networks.eavl:EAVL",
    "lavt": "refseg.networks.lavt:LAVT",
    "cris": "refseg.networks.cris:CRIS",
    "vlt": "refseg.networks.vlt:VLT",
    "dcmfnet": "refseg.networks.dcmfnet:DCMFNet",
    "cmpc": "refseg.networks.cmpc:CMPC",
    "cmpc_video": "refseg.networks.cmpc_video:CMPCVideo",
}
COMPOSITIONS: dict[str, Any] = {  # made of parts that bring their own weights; nothing of them is trained
    "reader": "refseg.compositions.reader:Reader",
}
PRESETS = {  # the network whose `presets` hold the settings
    "dmmi_swin_base": "dmmi",
    "dmmi_resnet101": "dmmi",
    "dmmi_resnet50": "dmmi",
    "dmmi_swin_tiny": "dmmi",
    "dmmi_swin_small": "dmmi",
    "dmmi_swin_large": "dmmi",
    "dmmi_small": "dmmi",
    "cmirnet_swin_base": "cmirnet",
    "cmirnet_swin_large": "cmirnet",
    "cmirnet_resnet50": "cmirnet",
    "cmirnet_resnet101": "cmirnet",
    "cmirnet_small": "cmirnet",
    "eavl_swin_base": "eavl",
    "eavl_clip_resnet101": "eavl",
    "eavl_clip_resnet50": "eavl",
    "eavl_small": "eavl",
    "lavt_swin_base": "lavt",
    "lavt_swin_tiny": "lavt",
    "lavt_swin_small": "lavt",
    "lavt_swin_large": "lavt",
    "lavt_swin_base_aligner": "lavt",
    "lavt_small": "lavt",
    "lavt_small_aligner": "lavt",
    "cris_resnet50": "cris",
    "cris_resnet101": "cris",
    "cris_resnet101_aligner": "cris",
    "cris_small": "cris",
    "cris_small_aligner": "cris",
    "vlt_darknet53": "vlt",
    "vlt_swin": "vlt",
    "vlt_swin_aligner": "vlt",
    "vlt_small": "vlt",
    "vlt_small_aligner": "vlt",
    "dcmfnet_swin_base": "dcmfnet",
    "dcmfnet_darknet53": "dcmfnet",
    "dcmfnet_resnet101": "dcmfnet",
    "dcmfnet_small": "dcmfnet",
    "cmpc": "cmpc",
    "cmpc_gref": "cmpc",
    "cmpc_release": "cmpc",
    "cmpc_multilevel": "cmpc",
    "cmpc_small": "cmpc",
    "cmpc_video": "cmpc_video",
    "cmpc_video_i3d": "cmpc_video",
    "cmpc_video_release": "cmpc_video",
    "cmpc_video_small": "cmpc_video",
}


def listed() -> list[str]:
    """Returns the presets in the order of their networks, and of networks without presets the network."""
    return [name for family in NETWORKS for name in [p for p, f in PRESETS.items() if f == family] or [family]]


def network_class(name: str) -> "type[Network]":
    """Returns the class of a network or a preset.

    Raises:
        InvalidInput: for an unknown name.
    """
    family = PRESETS.get(name, name)
    table = COMPOSITIONS if family in COMPOSITIONS else NETWORKS
    found: type[Network] | None = look_up(table, "refseg.networks", family)
    if found is None:
        raise InvalidInput(unknown(name))
    return found


def unknown(name: str) -> str:
    """Returns the message for a name that no network has."""
    choices = [*NETWORKS, *PRESETS]
    return f"unknown network {name!r}; {choose_one(name, choices)}, or add yours as own_file.py:OwnName"


def preset(name: str) -> Config:
    """Returns the settings of a preset, or the default settings of a network.

    Raises:
        InvalidInput: for an unknown name.
    """
    found = network_class(name)
    if name in PRESETS:
        config: Config = found.presets[name]
        return config
    settings: type[Config] = get_type_hints(found)["config"]
    return settings()


def build(name: str, config: Config | Mapping[str, Any], vocabulary_size: int) -> "Network":
    """Builds a network with fresh weights.

    Args:
        name: one of `NETWORKS` or `PRESETS`.
        config: settings, or a mapping of those that differ from the preset or the defaults; validated.
        vocabulary_size: number of token ids, padding and unknown included.

    Raises:
        InvalidInput: for an unknown name or an invalid config.
    """
    settings = configured(name, config)
    try:
        return network_class(name)(settings, vocabulary_size)
    except InvalidInput as error:
        raise InvalidInput(f"config of {name}: {error}") from error
    except (ValueError, RuntimeError, AssertionError, ArithmeticError) as error:  # of PyTorch's layers
        raise InvalidInput(f"config of {name}: its sizes do not fit each other ({first_line(error)})") from error


def configured(name: str, config: Config | Mapping[str, Any]) -> Config:
    """Validates the settings of a network; arguments and errors as in `build`."""
    base = preset(name)
    content = None if isinstance(config, Config) else dict(config)
    try:
        return type(base).model_validate(config) if isinstance(config, Config) else base.replace(**config)
    except ValidationError as error:
        raise InvalidInput(f"config of {name}: {one_line(error, type(base), content)}") from error
