"""Logits at the image's own size."""

import pytest
import torch

from refseg.preprocessing.geometry import Geometry
from refseg.preprocessing.restore import mask_at_image_size, to_image_size


def test_logits_that_have_the_images_pixels_are_not_interpolated(monkeypatch):
    own = Geometry((30, 40), (30, 40), (30, 40))
    logits = torch.randn(2, 1, 30, 40, generator=torch.manual_seed(0))
    rows, columns = slice(3, 20), slice(5, 40)
    direct = to_image_size(logits, own), to_image_size(logits, own, rows, columns), mask_at_image_size(logits, own)
    assert direct[0].equal(logits[:, 0])
    monkeypatch.setattr(Geometry, "is_grid", lambda geometry, grid_hw: False)
    resampled = to_image_size(logits, own), to_image_size(logits, own, rows, columns), mask_at_image_size(logits, own)
    assert all(a.equal(b) for a, b in zip(direct, resampled, strict=True))


@pytest.mark.parametrize(
    ("own", "padded", "grid"),
    [((30, 40), (32, 48), (32, 48)), ((30, 40), (30, 40), (15, 20)), ((60, 80), (30, 40), (30, 40))],
)
def test_a_grid_of_other_pixels_is_told_apart(own, padded, grid):
    assert not Geometry(own, (30, 40), padded).is_grid(grid)
