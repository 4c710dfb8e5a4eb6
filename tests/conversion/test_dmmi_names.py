import json
from pathlib import Path

import pytest
import torch
from torch import nn

from refseg import networks
from refseg.conversion.dmmi import DMMILayout
from refseg.encoders.configs import BertConfig, SmallConfig
from refseg.errors import InvalidInput
from refseg.networks.dmmi import PRESETS

LAYOUT = DMMILayout()
JSON_FILES = Path(__file__).parents[1] / "assets" / "parity"
NAMES = ["dmmi_swin_base", "dmmi_resnet101"]


def layout(name):
    """The shapes of the authors' state dict."""
    entries = json.loads((JSON_FILES / f"{name}.json").read_text())["state_dict"]
    return {entry["name"]: tuple(entry["shape"]) for entry in entries}


def built(config):
    """The network without memory."""
    with torch.device("meta"):
        return networks.build("dmmi", config.replace(word_encoder=BertConfig(layers=1)), 30)


@pytest.mark.parametrize("name", NAMES)
class TestReleases:
    def test_every_tensor_has_a_place_or_never_acts(self, name):
        network, theirs = built(PRESETS[name]), layout(name)
        taken = LAYOUT.official_names(network).values()
        assert len(set(taken)) == len(taken)
        assert set(taken).isdisjoint(LAYOUT.unused(network))
        assert set(taken) | set(LAYOUT.unused(network)) == set(theirs)
        assert LAYOUT.aliases(network) == {}

    def test_shapes_are_theirs(self, name):
        network, theirs = built(PRESETS[name]), layout(name)
        own = {key: tuple(value.shape) for key, value in network.state_dict().items()} | LAYOUT.official_shapes(network)
        assert {key: theirs[official] for key, official in LAYOUT.official_names(network).items()} == {
            key: own[key] for key in LAYOUT.official_names(network)
        }
        assert {key: tuple(value.shape) for key, value in LAYOUT.unused(network).items()} == {
            key: theirs[key] for key in LAYOUT.unused(network)
        }

    def test_the_preset_is_known_by_its_shapes(self, name):
        assert LAYOUT.preset_of(layout(name)) == name


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "dmmi_small"])
def test_every_preset_is_known_by_what_it_writes(name):
    network = built(PRESETS[name])
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()} | LAYOUT.official_shapes(network)
    assert LAYOUT.preset_of({official: own[key] for key, official in LAYOUT.official_names(network).items()}) == name


def test_position_index_is_that_of_the_windows():
    network = built(PRESETS["dmmi_swin_base"])
    filling = LAYOUT.unused(network)["backbone.layers.0.blocks.0.attn.relative_position_index"]
    assert filling.shape == (144, 144)
    assert filling[0, 0] == 264 and filling[0, -1] == 0 and filling.unique().numel() == 23 * 23


def test_biases_that_are_left_out_have_no_effect():
    config = PRESETS["dmmi_resnet101"]
    network = built(config)
    keys = {official: key for key, official in LAYOUT.official_names(network).items()}
    for name, filling in LAYOUT.unused(network).items():
        if name.startswith("backbone.all_fusion1"):
            assert not filling.any()
            path = keys[name.removesuffix("bias") + "weight"].removesuffix(".weight")
            assert network.get_submodule(path).bias is None


class TestRefusals:
    def test_weights_of_another_network(self):
        with pytest.raises(InvalidInput, match=r"no weights of DMMI: classifier.lan_func.conv1.weight is missing"):
            LAYOUT.preset_of({"backbone.layers.0.fusion.image_lang_att.f_query.0.weight": (128, 128, 1)})

    def test_an_encoder_that_no_preset_has_is_named(self):
        shapes = {key: shape for key, shape in layout("dmmi_resnet101").items() if ".layer3.22." not in key}
        with pytest.raises(InvalidInput, match=r"no preset has: kind resnet, depths \(3, 4, 22, 3\)"):
            LAYOUT.preset_of(shapes)
        shapes = layout("dmmi_swin_base")
        table = "backbone.layers.0.blocks.0.attn.relative_position_bias_table"
        with pytest.raises(InvalidInput, match="width 128, .*window 7"):
            LAYOUT.preset_of(shapes | {table: (169, 4)})

    def test_a_network_that_the_authors_do_not_have(self):
        network = nn.Module()
        network.register_parameter("a", nn.Parameter(torch.zeros(1)))
        network.config = PRESETS["dmmi_small"].replace(image_encoder=SmallConfig())
        with pytest.raises(InvalidInput, match="no image encoder of kind 'small'"):
            LAYOUT.official_names(network)
