import torch

from refseg.networks.seen_objects import SeenObjects
from refseg.samples import Objects


def scene():
    """Two images of 8 x 8: a square of class 1 and 0, and nothing."""
    id_map = torch.zeros(2, 8, 8, dtype=torch.long)
    id_map[0, :4, :4] = 2
    attributes = torch.tensor([[[0, 2], [1, 0]], [[0, 0], [0, 0]]])
    nothing = torch.zeros(2, 2)
    return Objects(id_map, nothing[..., None], nothing, attributes, torch.ones(2, 2, dtype=torch.bool))


def test_what_is_known_costs_nothing_and_is_right():
    seen = SeenObjects([6], {"shape": 2, "motion": 3})
    torch.nn.init.eye_(seen.heads[0].weight.data[:, :, 0, 0])
    torch.nn.init.zeros_(seen.heads[0].bias)
    x = torch.full((2, 6, 2, 2), -50.0)
    x[0, :, 0, 0] = torch.tensor([50.0, 0, 50, 50, 0, 0])
    losses = seen.loss([x], scene())
    assert losses["loss"] < 1e-6 and losses["shape"] == losses["motion"] == 1
    x[0, 1, 0, 0] = 100
    assert seen.loss([x], scene())["shape"] == 0 and seen.loss([x], scene())["motion"] == 1


def test_a_grid_that_misses_all_objects_is_no_fault():
    objects = scene()
    objects.id_map.zero_()
    losses = SeenObjects([4, 4], {"shape": 2}).loss([torch.randn(2, 4, 4, 4), torch.randn(2, 4, 1, 1)], objects)
    assert torch.isfinite(losses["loss"]) and losses["shape"] == 0
