import json
from pathlib import Path

import pytest
import torch

from refseg import networks
from refseg.conversion.cmirnet import CMIRNetLayout
from refseg.encoders.configs import BertConfig
from refseg.errors import InvalidInput
from refseg.networks.cmirnet.config import PRESETS

LAYOUT = CMIRNetLayout()
JSON_FILES = Path(__file__).parents[1] / "assets" / "parity"
NAMES = ["cmirnet_resnet50", "cmirnet_swin_base"]


def layout(name):
    """The shapes of the authors' state dict, and which of its keys are the same tensor as another."""
    entries = json.loads((JSON_FILES / f"{name}.json").read_text())["state_dict"]
    same = {entry["name"]: entry["alias_of"] for entry in entries if entry.get("alias_of")}
    return {entry["name"]: tuple(entry["shape"]) for entry in entries}, same


def built(config):
    """The network without memory."""
    with torch.device("meta"):
        return networks.build("cmirnet", config.replace(word_encoder=BertConfig(layers=0)), 2)


def written(network):
    """The shapes of what the network is in the authors' layout."""
    shapes, given, tensors = {}, LAYOUT.official_shapes(network), network.state_dict()
    for key, names in LAYOUT.official_names(network).items():
        names = (names,) if isinstance(names, str) else names
        shape = tuple(tensors[key].shape)
        part = (shape[0] // len(names), *shape[1:]) if shape else shape
        shapes |= dict.fromkeys(names, given.get(key, part))
    return shapes


@pytest.mark.parametrize("name", NAMES)
class TestReleases:
    def test_every_tensor_has_a_place_of_its_shape_or_never_acts(self, name):
        network, (theirs, same) = built(PRESETS[name]), layout(name)
        ours = written(network)
        idle = {key: tuple(value.shape) for key, value in LAYOUT.unused(network).items()}
        assert set(ours).isdisjoint(idle) and set(ours).isdisjoint(same)
        assert ours | idle == {key: shape for key, shape in theirs.items() if key not in same}

    def test_tensors_that_are_there_twice_are_known(self, name):
        assert LAYOUT.aliases(built(PRESETS[name])) == layout(name)[1]

    def test_the_preset_is_known_by_its_shapes(self, name):
        assert LAYOUT.preset_of(layout(name)[0]) == name


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "cmirnet_small"])
def test_every_preset_is_known_by_what_it_writes(name):
    assert LAYOUT.preset_of(written(built(PRESETS[name]))) == name


def test_another_network_is_refused():
    with pytest.raises(InvalidInput, match="no CMIRNet"):
        LAYOUT.preset_of({"backbone.conv1.weight": (64, 3, 7, 7)})
    with pytest.raises(InvalidInput, match="of which there is no preset"):
        LAYOUT.preset_of({"cmae.linear_x_aspp.0.weight": (512, 2048, 1, 1)})


def test_a_variant_without_release_has_no_names():
    config = PRESETS["cmirnet_swin_base"].replace(tgmm=None)
    with pytest.raises(InvalidInput, match="has no name in the authors' layout"):
        LAYOUT.official_names(built(config))
