"""Thresholded interpolation around what may be above the threshold is equal to the full one."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from refseg import protocols
from refseg.preprocessing import above
from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.resampling import MapTaps, interpolation, resample
from refseg.protocols import cris, squashed

GEOMETRIES = [
    Geometry((480, 480), (480, 480), (480, 480)),
    Geometry((427, 640), (480, 480), (480, 480)),
    Geometry((427, 640), (320, 480), (320, 480)),
    Geometry((640, 425), (416, 276), (416, 416), (0, 70), 0.65),
    Geometry((90, 120), (90, 120), (96, 128)),
]


def blobs(grid_hw, sharp, count=6):
    """Logits (count, 1, h, w) of discs in different places; sharp ones are saturated, the others near 0 in places."""
    generator = torch.manual_seed(0)
    rows, columns = torch.meshgrid(*(torch.linspace(0, 1, side) for side in grid_hw), indexing="ij")
    y, x, radius = torch.rand(3, count, 1, 1, generator=generator)
    distance = ((rows - y) ** 2 + (columns - x) ** 2).sqrt()
    return (sharp * (0.05 + 0.2 * radius - distance) + 0.3 * torch.randn(count, *grid_hw, generator=generator))[:, None]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", ["lavt", "cris", "rela", "vlt", "vlt@0.6"])
@pytest.mark.parametrize("sharp", [4, 60])
def test_a_protocol_answers_as_if_all_were_computed(name, geometry, sharp, monkeypatch):
    logits, protocol = blobs([side // 4 for side in geometry.padded_hw], sharp), protocols.build(name)
    nothing = torch.zeros(len(logits), dtype=torch.bool)
    found = protocol.predict(logits, geometry, nothing)
    monkeypatch.setattr(above, "find_above", lambda *_: None)
    assert found.any() and torch.equal(found, protocol.predict(logits, geometry, nothing))


@pytest.mark.parametrize("name", ["lavt", "cris", "rela"])
def test_few_pixels_are_computed_of_a_small_mask(name, monkeypatch):
    full = []
    for module, function in ((squashed, "squashed_logits"), (cris, "_foreground")):
        kept = getattr(module, function)
        monkeypatch.setattr(module, function, lambda *given, kept=kept: full.append(1) or kept(*given))
    logits = torch.full((1, 1, 120, 120), -9.0)
    logits[..., 30:50, 60:90] = 9.1
    masks = protocols.build(name).predict(logits, GEOMETRIES[1], torch.zeros(1, dtype=torch.bool))
    assert masks.any() and not full
    assert not protocols.build(name).predict(-logits.abs(), GEOMETRIES[1], torch.zeros(1, dtype=torch.bool)).any()


@pytest.mark.parametrize(("value", "count"), [(-0.5, 0), (1e-7, 1), (float("inf"), 1)])
def test_what_rounding_could_decide_is_computed_in_full(value, count):
    taps = MapTaps.of(interpolation(16, 8, "bilinear", align_corners=True))
    grid, full = torch.full((1, 8, 8), -1.0), []
    grid[0, 2, 2], grid[0, 0, 0] = 1.0, value
    above.threshold_maps(grid, [(taps, taps)], 0.0, 0.0, lambda maps: full.append(1) or torch.ones(1, 16, 16).bool())
    assert len(full) == count


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("cells", "size"), [(120, 480), (13, 52), (30, 97), (40, 17), (1, 5)])
def test_taps_of_interpolate_are_torchs(mode, align_corners, cells, size):
    maps = torch.randn(1, 2, cells, cells, generator=torch.manual_seed(0))
    taps = interpolation(size, cells, mode, align_corners)
    theirs = F.interpolate(maps, (size, size), mode=mode, align_corners=align_corners)
    torch.testing.assert_close(resample(maps, taps, taps), theirs, atol=1e-6 if mode == "bilinear" else 8e-6, rtol=0)
    assert np.abs(MapTaps.of(taps).weight.sum(0) - 1).max() < 1e-6
