import json

import pytest

from refseg.inspection.costs import TABLE, count_costs, read_costs
from refseg.networks import NETWORKS, PRESETS, listed

table = json.loads(TABLE.read_text(encoding="utf-8"))
AGAIN = "run: python -m refseg.inspection.costs"
SMALL = [f"{network}_small" for network in NETWORKS if f"{network}_small" in PRESETS]


def test_the_table_has_every_preset_that_is_listed():
    assert list(table) == listed(), AGAIN


@pytest.mark.parametrize("name", SMALL)
def test_the_table_says_what_is_counted_of_a_small_preset(name):
    assert table[name] == count_costs(name), AGAIN


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in listed() if name not in SMALL])
def test_the_table_says_what_is_counted_of_a_large_preset(name):
    assert table[name] == count_costs(name), AGAIN


def test_a_network_that_is_not_in_the_table_is_counted(monkeypatch):
    monkeypatch.setattr("refseg.inspection.costs._table", lambda: {})
    assert read_costs(SMALL[0]) == table[SMALL[0]]
