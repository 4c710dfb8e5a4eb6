import pytest
import torch

from refseg.errors import InvalidInput
from refseg.losses import SMALL_REFERENTS, SMALL_REFERENTS_AT_HALF
from refseg.networks import build, configured, preset


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def built(name, **settings):
    with torch.device("meta"):
        return build(name, preset(name).replace(**settings), 49408)


@pytest.mark.parametrize(
    ("name", "added"),
    [
        # the generator of queries, the masks of queries, and the convolution that leads to them
        ("lavt_swin_base_aligner", 12_424_728 + 2_233_601 + 1_245_952 + 393_728 - 1_026),  # without the two-class layer
        ("vlt_swin_aligner", 592_385 + 263_424 - 2_305),  # queries are there; without the convolution to one channel
    ],
)
def test_what_the_aligner_adds(name, added):
    assert parameters(built(name)) - parameters(built(name, aligner=None)) == added


def test_cris_with_the_aligner_is_eavl():
    eavl, cris = built("eavl_clip_resnet101"), built("cris_resnet101_aligner")
    assert parameters(cris) == parameters(eavl) == 190_998_393


@pytest.mark.parametrize("name", ["lavt_small", "cris_small", "vlt_small"])
def test_small_hosts_differ_from_those_without_by_the_aligner_alone(name):
    assert preset(f"{name}_aligner").replace(aligner=None) == preset(name)


def test_classes_weigh_in_the_loss_of_every_host():
    for name in ("lavt_small", "cris_small", "vlt_small", "eavl_small"):
        expected = SMALL_REFERENTS_AT_HALF if name == "lavt_small" else SMALL_REFERENTS
        assert preset(name).class_weights == expected, name


def test_an_aligner_of_another_number_of_queries_than_vlts_own_is_refused():
    with pytest.raises((InvalidInput, ValueError), match="queries"):
        preset("vlt_small").replace(aligner={"queries": 7, "width": 64})
    with pytest.raises(InvalidInput, match="config of vlt_small: value: VLT makes its own queries"):  # a name as it is
        configured("vlt_small", {"aligner": {"queries": 7, "width": 64}})
