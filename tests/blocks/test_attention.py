import pytest
import torch
import torch.nn.functional as F

from refseg.blocks.attention import attend, attend_heads


def heads():
    torch.manual_seed(0)
    return [torch.randn(2, 4, n, 12, requires_grad=True) for n in (9, 5, 5)]


def test_channels_of_a_head_are_neighbours():
    query, key, value = heads()
    joined = attend(*(x.transpose(1, 2).flatten(2) for x in (query, key, value)), heads=4)
    wanted = (query @ key.mT / 12**0.5).softmax(-1) @ value
    torch.testing.assert_close(joined, wanted.transpose(1, 2).flatten(2))


def test_masked_keys_are_not_attended():
    query, key, value = heads()
    known = torch.tensor([[True, True, False, True, False], [False, True, True, True, True]])
    got = attend_heads(query, key, value, known[:, None, None])
    logits = (query @ key.mT / 12**0.5).masked_fill(~known[:, None, None], -torch.inf)
    torch.testing.assert_close(got, logits.softmax(-1) @ value)


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("width", [12, 64])
def test_narrow_heads_of_a_cpu_learn_in_float32(width, autocast, monkeypatch):
    kernel, seen = F.scaled_dot_product_attention, []

    def recorded(query, *others):
        seen.append((query.dtype, torch.is_autocast_enabled("cpu")))
        return kernel(query, *others)

    monkeypatch.setattr(F, "scaled_dot_product_attention", recorded)
    x = torch.randn(2, 4, 9, width).to(torch.float32 if autocast else torch.bfloat16)
    learnt = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got = attend_heads(learnt, learnt, learnt)
        with torch.no_grad():
            answered = attend_heads(x, x, x)
    got.float().sum().backward()
    learns_in_full = width == 12
    assert seen[0] == (torch.float32 if learns_in_full else x.dtype, autocast and not learns_in_full)
    assert seen[1] == (x.dtype, autocast)  # without gradients bfloat16 is the faster
    assert got.dtype == answered.dtype == torch.bfloat16 and learnt.grad.dtype == x.dtype
    torch.testing.assert_close(got, answered, rtol=2e-2, atol=2e-2)
