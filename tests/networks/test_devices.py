"""Networks compute where their input is: on a GPU, without one, with tensors that have a device and no values."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from refseg.networks import build

sys.path.append(str(Path(__file__).parent))
from test_network import TINY, VOCABULARY_SIZE, asked, batch  # noqa: E402

QUICK = "vlt"


def on_gpu(tensor):
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")


def move(network):
    """Puts all weights on the GPU; `Module.to` would look for one."""
    for module in network.modules():
        for kind in (module._parameters, module._buffers):
            for name, value in kind.items():
                if isinstance(value, nn.Parameter):
                    kind[name] = nn.Parameter(on_gpu(value), requires_grad=value.requires_grad)
                elif value is not None:
                    kind[name] = on_gpu(value)
    return network


def moved(data):
    """A batch on the GPU, with its objects."""
    if isinstance(data, torch.Tensor):
        return on_gpu(data)
    if dataclasses.is_dataclass(data):
        return type(data)(**{field.name: moved(getattr(data, field.name)) for field in dataclasses.fields(data)})
    return data


# the selectors keep as many objects as they find, which depends on values
@pytest.mark.parametrize(
    "name",
    [
        QUICK,
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in TINY
            if name not in (QUICK, "selector", "selector_video")
        ),
    ],
)
def test_answers_and_losses_are_computed_where_the_images_are(name):
    network, inputs, data = build(name.split()[0], TINY[name], VOCABULARY_SIZE), asked(name), batch(name)
    with FakeTensorMode():  # an operation on tensors of two devices is an error, as on a GPU
        move(network)
        assert network.train().loss(moved(data))["loss"].device.type == "cuda"
        with torch.no_grad():
            assert network.eval()(*map(on_gpu, inputs)).logits.device.type == "cuda"


def test_a_tensor_on_another_device_is_an_error():
    with FakeTensorMode(), pytest.raises(RuntimeError, match="device"):
        torch.ones(3, device="cuda") + torch.ones(3)
