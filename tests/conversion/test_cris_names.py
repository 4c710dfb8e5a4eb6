import json
from pathlib import Path

import pytest
import torch

from refseg.conversion.cris import CRISLayout, official_name
from refseg.conversion.official_layout import TensorSlice
from refseg.errors import InvalidInput
from refseg.networks.cris import CRIS, PRESETS

LAYOUT = CRISLayout()
JSON_FILE = Path(__file__).parents[1] / "assets" / "parity" / "cris_resnet50.json"


def layout():
    """The shapes of the authors' state dict, without "module."."""
    return {entry["name"]: tuple(entry["shape"]) for entry in json.loads(JSON_FILE.read_text())["state_dict"]}


def built(name):
    """The network without memory."""
    with torch.device("meta"):
        return CRIS(PRESETS[name], 49408)


def written(network):
    """The shapes of what the network is in the authors' layout."""
    shapes = {}
    own = network.state_dict()
    for key, name in LAYOUT.official_names(network).items():
        shape = tuple(own[key].shape)
        if isinstance(name, TensorSlice):
            shape = (shape[0] * name.of, *shape[1:])
            shape, name = shape[::-1] if name.transposed else shape, name.name
        shapes[name] = shape
    return shapes


def test_every_tensor_has_a_place_of_its_shape_or_never_acts():
    network = built("cris_resnet50")
    idle = {key: tuple(value.shape) for key, value in LAYOUT.unused(network).items()}
    assert idle == {"backbone.logit_scale": ()}
    assert written(network) | idle == layout()
    assert LAYOUT.aliases(network) == {}


def test_every_part_of_a_tensor_is_taken_once():
    names = LAYOUT.official_names(built("cris_resnet50")).values()
    assert len(set(names)) == len(names)
    thirds = [name for name in names if isinstance(name, TensorSlice) and name.name.endswith("in_proj_weight")]
    assert len(thirds) == 36 and all(piece.of == 3 for piece in thirds)


@pytest.mark.parametrize("name", ["cris_resnet50", "cris_resnet101"])
def test_every_preset_is_known_by_what_it_writes(name):
    assert LAYOUT.preset_of(written(built(name))) == name


def test_weights_of_another_network_are_refused():
    with pytest.raises(InvalidInput, match="no weights of CRIS: proj.txt.weight is missing"):
        LAYOUT.preset_of({"backbone.visual.conv1.weight": (32, 3, 3, 3)})
    shapes = {key: shape for key, shape in layout().items() if ".layer3.5." not in key}
    with pytest.raises(InvalidInput, match=r"no preset: \(3, 4, 5, 3\) blocks, 1024 wide"):
        LAYOUT.preset_of(shapes)


def test_a_layer_that_the_authors_do_not_have_is_named():
    with pytest.raises(InvalidInput, match="to_decoder.weight has no name"):
        official_name("to_decoder.weight")
