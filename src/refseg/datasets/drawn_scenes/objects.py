"""Drawn objects: shape, colour, size, material, and the signed distance that gives the exact mask."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, radians, sin, sqrt
from random import Random
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "pentagon", "heart")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "white")
SIZES = ("small", "medium", "large")
MATERIALS = ("plain", "striped", "dotted")
ATTRIBUTES = ("shape", "colour", "size", "material")
VALUES = (SHAPES, COLOURS, SIZES, MATERIALS)
SHAPE, COLOUR, SIZE, MATERIAL = range(4)

RGB = np.array(
    [
        (212, 48, 44),
        (58, 160, 68),
        (52, 90, 212),
        (236, 208, 52),
        (142, 66, 182),
        (240, 132, 36),
        (56, 196, 212),
        (238, 238, 238),
    ],
    np.float32,
)
RADII = ((11.0, 13.0), (16.0, 19.0), (22.5, 27.0))  # of SIZES, in pixels of a 128x128 canvas
SIZE_SHARES = (0.35, 0.40, 0.25)

Attributes = tuple[int, int, int, int]
"""Indices into SHAPES, COLOURS, SIZES, MATERIALS."""
T = TypeVar("T")


class SeededRandom:
    """Random numbers that depend on a key alone, equal on every platform and Python version.

    Only `Random.random` is used: its sequence is the one that Python promises to keep.
    """

    def __init__(self, *key: object):
        digest = hashlib.sha256(repr(key).encode()).digest()
        self.unit = Random(int.from_bytes(digest[:8], "big")).random

    def below(self, count: int) -> int:
        """Returns a whole number in [0, count)."""
        return int(self.unit() * count)

    def chance(self, probability: float) -> bool:
        """Returns True with this probability."""
        return self.unit() < probability

    def between(self, low: float, high: float) -> float:
        """Returns a number in [low, high)."""
        return low + (high - low) * self.unit()

    def pick(self, items: Sequence[T]) -> T:
        """Returns one of the items."""
        return items[int(self.unit() * len(items))]

    def weighted(self, weights: Sequence[float]) -> int:
        """Returns an index, drawn with these weights, which sum to 1."""
        rest = self.unit()
        for index, weight in enumerate(weights):
            rest -= weight
            if rest < 0:
                return index
        return len(weights) - 1

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Returns the items in random order."""
        return [item for _, _, item in sorted((self.unit(), i, item) for i, item in enumerate(items))]


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """An object of a scene; lengths in pixels."""

    attributes: Attributes
    x: float
    y: float
    radius: float
    rotation_degrees: int


def _pairs_and_triples() -> tuple[frozenset[tuple[int, int]], frozenset[tuple[int, int, int]]]:
    pairs = frozenset((shape, (3 * shape + 1) % 8) for shape in range(8))
    triples = [(s, c, m) for s in range(8) for c in range(8) for m in range(3) if (s, c) not in pairs]
    triples.sort(key=lambda triple: hashlib.sha256(repr(triple).encode()).digest())
    return pairs, frozenset(triples[:24])


HELD_OUT_PAIRS, HELD_OUT_TRIPLES = _pairs_and_triples()
"""Compositions that train, val, test and hard never draw: (shape, colour) and (shape, colour, material)."""


def _polygon(corners: int, phase_degrees: float = -90.0) -> list[tuple[float, float]]:
    """Unit normals of a regular polygon's sides, rounded so that every platform has the same numbers."""
    step = 360.0 / corners
    angles = [radians(phase_degrees + step * (k + 0.5)) for k in range(corners)]
    return [(round(cos(a), 9), round(sin(a), 9)) for a in angles]


_TRIANGLE, _PENTAGON = _polygon(3), _polygon(5)
_FOLD_A, _FOLD_B = (0.809016994, -0.587785252), (-0.809016994, -0.587785252)
_STAR_TIP, _STAR_NOTCH = 1.12, 0.5  # outer radius; inner radius as a share of it

Plane = NDArray[np.floating]  # float32 throughout


def _convex(normals: list[tuple[float, float]], apothem: float) -> Callable[[Plane, Plane], Plane]:
    def distance(x: Plane, y: Plane) -> Plane:
        furthest = normals[0][0] * x + normals[0][1] * y
        for nx, ny in normals[1:]:
            np.maximum(furthest, nx * x + ny * y, out=furthest)
        return furthest - apothem

    return distance


def _circle(x: Plane, y: Plane) -> Plane:
    return np.sqrt(x * x + y * y) - 1.0


def _square(x: Plane, y: Plane) -> Plane:
    return np.maximum(np.abs(x), np.abs(y)) - 0.86


def _ring(x: Plane, y: Plane) -> Plane:
    return np.abs(np.sqrt(x * x + y * y) - 0.76) - 0.25


def _cross(x: Plane, y: Plane) -> Plane:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 1.0, np.minimum(x, y) - 0.33)


def _star(x: Plane, y: Plane) -> Plane:
    """Five points of radius 1.12: folded by mirrors onto one edge, which is then a half-plane."""
    x, y = np.abs(x), -y
    for nx, ny in (_FOLD_A, _FOLD_B):
        beyond = 2.0 * np.maximum(nx * x + ny * y, 0.0)
        x, y = x - nx * beyond, y - ny * beyond
    x, y = np.abs(x), y - _STAR_TIP
    edge_x, edge_y = -_STAR_NOTCH * _FOLD_A[1], _STAR_NOTCH * _FOLD_A[0] - 1.0
    return (edge_x * y - edge_y * x) / sqrt(edge_x * edge_x + edge_y * edge_y)


def _heart(x: Plane, y: Plane) -> Plane:
    """Two half-discs on a pointed body, of unit half-width about 1."""
    x, y = np.abs(x) / 1.72, (0.95 - y) / 1.72
    lobe = np.sqrt((x - 0.25) ** 2 + (y - 0.75) ** 2) - 0.353553391
    along = np.maximum(x + y, 0.0) * 0.5
    body = np.minimum(x * x + (y - 1.0) ** 2, (x - along) ** 2 + (y - along) ** 2)
    signed = np.sqrt(body) * np.sign(x - y)
    return np.where(x + y > 1.0, lobe, signed) * 1.72


_DISTANCES: tuple[Callable[[Plane, Plane], Plane], ...] = (
    _circle,
    _square,
    _convex(_TRIANGLE, 0.56),
    _star,
    _ring,
    _cross,
    _convex(_PENTAGON, 0.84),
    _heart,
)


def rotation(degrees: int) -> tuple[float, float]:
    """Returns cosine and sine, rounded so that every platform draws the same mask."""
    return round(cos(radians(degrees)), 9), round(sin(radians(degrees)), 9)


def signed_distance(thing: DrawnObject, x: Plane, y: Plane) -> Plane:
    """Computes signed distances in pixels, negative inside, at x, y from the object's centre in its rotated frame."""
    return _DISTANCES[thing.attributes[SHAPE]](x / thing.radius, y / thing.radius) * thing.radius
