import torch

from refseg.hardware import cpu_has_bfloat16


def test_a_processor_has_bfloat16_if_any_of_its_capabilities_says_so(monkeypatch):
    for capabilities, has in (
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"sve_bf16": True}, True),
        ({}, True),  # nothing is known: believe the recipe
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        assert cpu_has_bfloat16() is has
