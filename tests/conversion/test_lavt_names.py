import json
from pathlib import Path

import pytest
import torch

from refseg.conversion.lavt import LAVTLayout
from refseg.encoders.configs import BertConfig
from refseg.errors import InvalidInput
from refseg.networks.lavt import LAVT, PRESETS, LAVTConfig

LAYOUT = LAVTLayout()
JSON_FILES = Path(__file__).parents[1] / "assets" / "parity"
BOTH_FORMS = ["lavt_swin_base", "lavt_one_swin_base"]


def layout(name):
    """The shapes of the authors' state dict."""
    entries = json.loads((JSON_FILES / f"{name}.json").read_text())["state_dict"]
    return {entry["name"]: tuple(entry["shape"]) for entry in entries}


def built(name):
    """The network without memory."""
    with torch.device("meta"):
        return LAVT(PRESETS[name].replace(word_encoder=BertConfig(layers=0)), 2)


def written(network):
    """The shapes of what the network is in the authors' layout."""
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()} | LAYOUT.official_shapes(network)
    return {name: own[key] for key, name in LAYOUT.official_names(network).items()}


@pytest.mark.parametrize("name", BOTH_FORMS)
def test_every_tensor_has_a_place_of_its_shape_or_never_acts(name):
    network = built("lavt_swin_base")
    theirs = {key: shape for key, shape in layout(name).items() if not key.startswith("text_encoder.")}
    ours, idle = written(network), {key: tuple(value.shape) for key, value in LAYOUT.unused(network).items()}
    assert len(ours) == len(LAYOUT.official_names(network)) and set(ours).isdisjoint(idle)
    assert ours | idle == theirs
    assert LAYOUT.aliases(network) == {}


@pytest.mark.parametrize("name", BOTH_FORMS)
def test_both_forms_are_one_preset(name):
    assert LAYOUT.preset_of(layout(name)) == "lavt_swin_base"


@pytest.mark.parametrize("name", [name for name in PRESETS if "small" not in name and "aligner" not in name])
def test_every_preset_is_known_by_what_it_writes(name):
    assert LAYOUT.preset_of(written(built(name))) == name


@pytest.mark.parametrize(("args", "heads"), [({"mha": "2-4-8-8"}, (2, 4, 8, 8)), ({"mha": ""}, None), ({}, None)])
def test_heads_are_those_that_the_script_was_given(args, heads):
    config = LAVTConfig.model_validate(LAYOUT.settings(args))
    assert config.heads == (heads or (1, 1, 1, 1))


def test_position_index_is_that_of_the_windows():
    filling = LAYOUT.unused(built("lavt_swin_tiny"))["backbone.layers.1.blocks.0.attn.relative_position_index"]
    assert filling.shape == (49, 49)
    assert filling[0, 0] == 84 and filling[0, -1] == 0 and filling.unique().numel() == 13 * 13


def test_biases_that_are_left_out_have_no_effect():
    network = built("lavt_swin_base")
    keys = {name: key for key, name in LAYOUT.official_names(network).items()}
    biases = [name for name in LAYOUT.unused(network) if name.endswith(".bias")]
    assert len(biases) == 4 * 4
    for name in biases:
        assert not LAYOUT.unused(network)[name].any()
        assert network.get_submodule(keys[name.removesuffix("bias") + "weight"].removesuffix(".weight")).bias is None


class TestRefusals:
    def test_weights_of_another_network(self):
        with pytest.raises(InvalidInput, match=r"no weights of LAVT: classifier.conv1_4.weight is missing"):
            LAYOUT.preset_of({"backbone.patch_embed.proj.weight": (128, 3, 4, 4)})

    def test_weights_of_dmmi_which_has_the_same_decoder(self):
        with pytest.raises(InvalidInput, match=r"no weights of LAVT: .*image_lang_att.f_query.0.weight is missing"):
            LAYOUT.preset_of(layout("dmmi_swin_base"))

    def test_an_encoder_that_no_preset_has_is_named(self):
        shapes = layout("lavt_swin_base")
        table = "backbone.layers.0.blocks.0.attn.relative_position_bias_table"
        with pytest.raises(InvalidInput, match=r"width 128, depths \(2, 2, 18, 2\), window 7"):
            LAYOUT.preset_of(shapes | {table: (169, 4)})

    def test_a_network_that_the_authors_do_not_have(self):
        with pytest.raises(InvalidInput, match="no image encoder of kind 'small'"):
            LAYOUT.official_names(built("lavt_small"))

    def test_an_aligner(self):
        with pytest.raises(InvalidInput, match=r"aligner\..* has no name in the authors' code"):
            LAYOUT.official_names(built("lavt_swin_base_aligner"))
