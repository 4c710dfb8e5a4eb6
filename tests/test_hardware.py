import pytest
import torch

from refseg.errors import InvalidInput
from refseg.hardware import check_device, supports_bfloat16


@pytest.mark.parametrize("device", ["meta", "", "0", "cuda:99", "xla", "hpu", "opengl", "privateuseone", "\0"])
def test_a_device_that_cannot_compute_is_refused_in_one_line(device):
    with pytest.raises(InvalidInput, match="use 'cpu'") as caught:
        check_device(device)
    assert "\n" not in str(caught.value)


def test_the_processor_computes():
    check_device("cpu")


def test_a_processor_has_bfloat16_if_any_of_its_capabilities_says_so(monkeypatch):
    for capabilities, has in (
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"sve_bf16": True}, True),
        ({}, True),  # nothing is known: believe the recipe
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        assert supports_bfloat16() is has
