"""Weights of what is sharded by itself are there only while it is called, so training must call every one."""

import importlib.util
from pathlib import Path

import pytest

from refseg.training import repeated_blocks as module
from refseg.training.repeated_blocks import checkpoint_activations, repeated_blocks


def contract():
    where = Path(__file__).parents[1] / "networks" / "test_network.py"
    spec = importlib.util.spec_from_file_location("contract_of_networks", where)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


CONTRACT = contract()


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch):
    monkeypatch.setattr(module, "SMALLEST", 1)


@pytest.mark.parametrize("name", CONTRACT.TINY)
def test_training_calls_every_unit_and_reads_no_weight_of_it_from_outside(name):
    network = CONTRACT.tiny(name).train()
    inside, called, outside = [], set(), []
    for unit in repeated_blocks(network):
        unit.register_forward_pre_hook(lambda unit, _: inside.append(unit))
        unit.register_forward_hook(lambda unit, *_: (called.add(unit), inside.pop())[0])
    chosen = list(repeated_blocks(network))
    owner = {id(part): unit for unit in chosen for part in unit.modules()}
    for part_id, unit in owner.items():
        for part in unit.modules():
            if id(part) == part_id and part is not unit and list(part.parameters(recurse=False)):
                part.register_forward_pre_hook(
                    lambda part, _, unit=unit: None if unit in inside else outside.append(type(part).__name__)
                )
    network.loss(CONTRACT.batch(name))
    assert chosen
    silent = [unit for unit in chosen if unit not in called and list(unit.parameters())]
    assert not [type(unit).__name__ for unit in silent] and not outside


@pytest.mark.parametrize("name", CONTRACT.TINY)
def test_what_is_computed_again_gives_the_same_gradients(name):
    plain, again = CONTRACT.tiny(name), CONTRACT.tiny(name)
    checkpoint_activations(again)
    for network in (plain, again):
        network.loss(CONTRACT.batch(name))["loss"].backward()
    for (parameter, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), parameter
        if one.grad is not None:
            CONTRACT.torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
