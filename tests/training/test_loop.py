from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision
from torch import nn

from refseg.errors import InvalidInput
from refseg.networks import build
from refseg.recipes.recipe import Group
from refseg.training.data.sources import whole_images
from refseg.training.loop import StageLoop
from refseg.training.parameter_groups import Length, frozen_parameters


@pytest.fixture(scope="module")
def network():
    """Word vectors that the network keeps as they are, before a GRU."""
    settings = {"image_encoder": "small", "freeze_image_encoder": True, "width": 8, "image_size": 64, "channels": 8}
    words = {"word_encoder": {"kind": "gru", "vector": 4, "width": 8}, "heads": 2, "queries": 2}
    return build("vlt", settings | words, 4)


@pytest.fixture(scope="module")
def fixed(network):
    return frozen_parameters(network)


def of(network, fixed, precision="32-true", **groups):
    stage = whole_images(1).replace(groups=groups)
    scaler = torch.amp.GradScaler("cpu") if precision == "16-mixed" else None
    plugins = [MixedPrecision(precision, "cpu", scaler)] if scaler else []  # of a CPU only so
    fabric = Fabric(accelerator="cpu", plugins=plugins)
    return StageLoop(fabric, network, stage, Length(1, 1), Path(), frozen=fixed)


def test_what_a_network_keeps_as_it_is_never_learns_whatever_earlier_stages_froze(network, fixed):
    of(network, fixed, fusion=Group(lr=1))
    of(network, fixed, word_encoder=Group(lr=1))
    assert not network.word_encoder.vectors.weight.requires_grad
    learns = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learns and learns == {name for name in learns if name.startswith("word_encoder.")}


@pytest.mark.parametrize(
    ("part", "group", "why"),
    [
        ("word_encoder", Group(lr=1, only=("wheel",)), "`only` matches no name such as word_encoder"),
        ("word_encoder", Group(lr=1, only=("vectors",)), "`only` matches no name such as word_encoder"),
        ("image_encoder", Group(lr=1), "the network keeps it as it is; leave the group out"),
    ],
)
def test_a_group_of_which_nothing_would_learn_is_refused(network, fixed, part, group, why):
    with pytest.raises(InvalidInput, match=f"nothing of group {part} learns, {why}"):
        of(network, fixed, **{part: group})


@pytest.mark.parametrize(("precision", "scaled"), [("16-mixed", False), ("32-true", True)])
def test_float16_s_gradients_are_unscaled_before_they_are_cut(network, fixed, precision, scaled):
    optimizer = of(network, fixed, precision, fusion=Group(lr=1, clip=1)).optimizer.optimizer
    assert getattr(optimizer, "_step_supports_amp_scaling", False) == scaled  # if it does, it unscales them itself


def test_what_does_not_learn_keeps_its_statistics_in_training():
    network = build("dcmfnet_small", {}, 4)
    of(network, {}, word_encoder=Group(lr=1), fusion=Group(lr=1))
    norms = {name: m for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    learning = {name for name, norm in norms.items() if norm.training}
    assert learning == {name for name in norms if not name.startswith("image_encoder.")}
    assert network.training and 0 < len(learning) < len(norms)
