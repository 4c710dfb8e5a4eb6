from importlib import import_module

import pytest

from refseg.networks import NETWORKS, PRESETS, build, network_class, preset


@pytest.mark.parametrize("family", sorted(set(PRESETS.values())))
def test_the_table_names_every_preset_of_a_networks_file(family):
    listed = {name for name, of in PRESETS.items() if of == family}
    assert listed == set(import_module(network_class(family).__module__).PRESETS)


def test_a_preset_is_built_with_the_settings_that_differ():
    network = build("dmmi_small", {"hidden": 32}, 10)
    assert network.config == preset("dmmi_small").replace(hidden=32)
    again = build("dmmi_small", network.config.model_dump(mode="json"), 10)
    assert again.config == network.config


def test_a_network_without_settings_has_its_defaults():
    assert set(PRESETS.values()) < set(NETWORKS)
    assert preset("selector") == network_class("selector").__annotations__["config"]()
