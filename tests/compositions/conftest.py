"""A stand-in for a finder: it finds the same things in every image, three dogs and a cat, and counts how often."""

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from refseg.array_types import Box, Mask, RgbImage
from refseg.finders import FINDERS
from refseg.finders.box_masks import box_mask
from refseg.finders.finder import Detection, Finder

THINGS: list[tuple[Box, str, float]] = [
    ((10, 50, 30, 70), "dog", 0.9),
    ((40, 50, 60, 70), "dog", 0.8),
    ((70, 50, 90, 70), "dog", 0.7),
    ((40, 10, 60, 30), "cat", 0.9),
    ((40, 10, 60, 30), "bear", 0.3),
]
"""Boxes in an image of 100 x 100 pixels."""


class Fixed(Finder):
    """Finds THINGS."""

    name: ClassVar[str] = "fixed"
    classes = ("dog", "cat", "bear", "horse")
    threshold = 0.25
    found: ClassVar[list[tuple[int, ...]]] = []
    drawn: ClassVar[list[Box]] = []

    @classmethod
    def load(cls, **settings: Any) -> Self:
        return cls()

    def find(self, image: RgbImage, threshold: float | None = None) -> list[Detection]:
        self.found.append(image.shape)
        height, width = image.shape[:2]
        scale = np.array([width, height, width, height]) / 100
        boxes = [tuple((np.array(box) * scale).tolist()) for box, _, _ in THINGS]

        def draw(box: Box) -> Mask:
            self.drawn.append(box)
            return box_mask(image, box)

        return [
            Detection(box, name, score, self.name, lambda box=box: draw(box))
            for box, (_, name, score) in zip(boxes, THINGS, strict=True)
        ]


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Fixed]]:
    """The finder `fixed`; what it has found and drawn is counted from now on."""
    monkeypatch.setitem(FINDERS, "fixed", Fixed)
    Fixed.found.clear()
    Fixed.drawn.clear()
    yield Fixed


@pytest.fixture
def photograph() -> RgbImage:
    """(100, 100, 3), unlike any drawn scene."""
    return np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
