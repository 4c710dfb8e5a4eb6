"""Which weights answer where none are named."""

import numpy as np
import pytest

from refseg.inference import default_weights
from refseg.inference.default_weights import load_default


@pytest.fixture
def finder(monkeypatch):
    monkeypatch.setattr(default_weights, "installed_finder", lambda: "coco80")
    load = default_weights.segmenters.load
    monkeypatch.setattr(
        default_weights.segmenters,
        "load",
        lambda name, *rest, **kind: load("selector", *rest, **kind) if name == "selector" else None,
    )


def test_a_photograph_goes_to_the_reader_unless_answers_are_there(finder):
    photograph = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    assert load_default([photograph])[0] == "reader"
    name, _, note = load_default([photograph], before="selector")
    assert name == "selector"
    assert "selector goes on, whose answers are there; for reader give another" in note


def test_without_a_finder_nothing_is_said(monkeypatch):
    monkeypatch.setattr(default_weights, "installed_finder", lambda: None)
    name, _, note = load_default([np.zeros((64, 64, 3), np.uint8)])
    assert (name, note) == ("selector", "")
