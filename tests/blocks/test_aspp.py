import torch
from torch import nn

from refseg.blocks.aspp import ASPP


@torch.no_grad()
def test_it_is_that_of_deeplab_where_the_mean_is_looked_at_too():
    from torchvision.models.segmentation.deeplabv3 import ASPP as Theirs

    torch.manual_seed(0)
    ours, theirs = ASPP(12, 8, 8, (2, 3), bias=False, pooled=True).eval(), Theirs(12, [2, 3], 8).eval()
    for norm in (module for module in theirs.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight)
        nn.init.uniform_(norm.running_mean)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 12, 9, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_without_the_mean_nothing_is_pooled():
    keys = ASPP(12, 8, 16, (2,)).state_dict()
    assert {key.split(".")[0] for key in keys} == {"branches", "project"}
    assert keys["project.0.weight"].shape == (16, 16, 1, 1) and "branches.0.0.bias" in keys
