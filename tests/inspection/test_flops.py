import pytest
import torch
from torch import nn
from torch.nn import functional as F

from refseg.inspection.flops import REST, TOTAL, LayerCounter, complexity
from refseg.networks import PRESETS
from refseg.networks.papers import REPORTED


def count(run, components=None):
    with LayerCounter(components or {}) as counter, torch.no_grad():
        run()
    return counter.counts


@pytest.mark.parametrize(
    ("layer", "shape", "operations"),
    [
        (nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 7), 2 * 6 * 5 * 7 * 4 * 9),
        (nn.Conv2d(4, 6, 3, padding=1, groups=2), (2, 4, 5, 7), 2 * 6 * 5 * 7 * 2 * 9),
        (nn.Conv1d(4, 6, 1), (2, 4, 9), 2 * 6 * 9 * 4),
        (nn.Conv3d(4, 6, 3, padding=1), (2, 4, 3, 5, 7), 2 * 6 * 3 * 5 * 7 * 4 * 27),
        (nn.Linear(4, 6), (2, 9, 4), 2 * 9 * 6 * 4),
        (nn.BatchNorm2d(4).eval(), (2, 4, 5, 7), 4 * 2 * 4 * 5 * 7),
        (nn.LayerNorm(4), (2, 9, 4), 4 * 2 * 9 * 4),
        (nn.InstanceNorm1d(4), (2, 4, 9), 2 * 2 * 4 * 9),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 4, 5, 7), 11 * 4 * 10 * 14),
        (nn.ReLU(), (2, 4), 0),
        (nn.MultiheadAttention(4, 2), None, 0),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_layer_is_counted_as_thop_does(layer, shape, operations, device):
    layer = layer.to(device)
    inputs = (torch.ones(3, 1, 4, device=device),) * 3 if shape is None else (torch.ones(shape, device=device),)
    assert sum(count(lambda: layer(*inputs)).values()) == operations


def test_functions_count_as_modules_do():
    x, weight = torch.ones(1, 4, 6, 6), torch.ones(8, 4, 1, 1)

    def run():
        F.interpolate(F.instance_norm(F.conv2d(x, weight)), scale_factor=2, mode="bilinear", align_corners=True)

    assert sum(count(run).values()) == 8 * 36 * 4 + 2 * 8 * 36 + 11 * 8 * 144


def test_what_runs_inside_a_component_is_its_own_and_hooks_go_away():
    inner, outer = nn.Linear(4, 4), nn.Linear(4, 4)
    whole = nn.Sequential(nn.Sequential(inner, nn.ReLU()), outer)
    counts = count(lambda: whole(torch.ones(1, 4)), {"inner": [whole[0]]})
    assert counts == {"inner": 16, REST: 16}
    assert not whole[0]._forward_hooks and not whole[0]._forward_pre_hooks


def test_products_of_attention_are_multiply_adds_but_not_for_thop(tiny_release):
    cost = complexity("tiny_narrow", (6, 8), vocabulary_size=30522)
    pixels, words = 6 * 8, 20
    layers = 4 * 3 * pixels + 8 * 4 * pixels + 4 * 8  # two convolutions and the projection of the words' mean
    assert cost.as_thop[TOTAL].multiply_adds == layers + 4 * 4 * pixels  # and a norm
    assert cost.multiply_adds == layers
    assert cost.words == words and cost.parameters == sum(
        value.numel()
        for name, value in tiny_release.weights.items()
        if not name.startswith("word_encoder") and value.is_floating_point() and "running" not in name
    )


@pytest.fixture(scope="module")
def swin_base():
    return complexity("cmirnet_swin_base", (480, 480), 30522)


def test_the_parts_of_cmirnet_have_the_parameters_of_its_table_ix(swin_base):
    for part, reported in REPORTED["cmirnet_swin_base"].items():
        assert swin_base.as_thop[part].parameters / 1e6 == pytest.approx(reported.parameters_m, rel=5e-4), part


def test_the_parts_of_cmirnet_cost_what_table_ix_says(swin_base):
    for part, reported in REPORTED["cmirnet_swin_base"].items():
        cost = swin_base.as_thop[part].multiply_adds
        assert cost / 1e9 == pytest.approx(reported.multiply_adds_g, rel=5e-3), part


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("cmirnet_resnet50", 178_291_472),
        ("cmirnet_swin_base", 191_471_938 - 3_840),  # without the release's unused norms
    ],
)
def test_networks_are_as_large_as_the_authors_are(preset, parameters):
    assert complexity(preset, (480, 480), 30522).parameters == parameters


def test_bert_base_without_pooler_has_as_many_parameters_as_published(swin_base):
    assert swin_base.word_parameters == 108_891_648


def test_small_presets_are_counted_at_small_images():
    for name in PRESETS:
        if name in ("dmmi_small", "cmirnet_small"):
            assert 0 < complexity(name, (128, 128), 137).multiply_adds < 5e9


def test_a_network_with_words_of_its_own_is_counted_too():
    cost = complexity("selector", (128, 128), 137)
    assert cost.word_parameters == 0 and cost.multiply_adds > 0 and list(cost.as_thop) == [TOTAL]
