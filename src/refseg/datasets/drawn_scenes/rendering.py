"""Rendering of layouts: background, shadows, shading, materials, noise."""

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from refseg.array_types import RgbImage
from refseg.datasets.drawn_scenes.layout import Layout
from refseg.datasets.drawn_scenes.objects import COLOUR, MATERIAL, MATERIALS, RGB, DrawnObject, Plane, SeededRandom

SHADING = 0.22
COLOUR_SPREAD = 14


@dataclass(frozen=True)
class Surface:
    """Colour and pattern of an object: contrast and phase of the pattern."""

    rgb: NDArray[np.float32]
    depth: float
    phase_x: float
    phase_y: float


class Look:
    """Appearance of a scene, independent of positions: light, background, the objects' surfaces.

    The same key of `rng` gives the same look; `noise` is where its pixel noise comes from.
    """

    def __init__(self, layout: Layout, rng: SeededRandom):
        self.noise = draw_noise(rng)
        angle = rng.between(0, 2 * pi)
        self._light = cos(angle), sin(angle)
        self._shadow = rng.chance(0.6)
        self._background = _background(layout.side, rng, self.noise)
        self._surfaces = [_surface(thing, rng) for thing in layout.objects]
        self._noise_level = rng.between(2, 5)

    def draw(self, layout: Layout, noise: np.random.Generator) -> RgbImage:
        """Renders the image (side, side, 3) of the objects in this layout."""
        canvas = self._background.copy()
        for thing, patch, surface in zip(layout.objects, layout.patches, self._surfaces, strict=True):
            if self._shadow:
                shift = round(-0.25 * thing.radius * self._light[0]), round(-0.25 * thing.radius * self._light[1])
                place, inner = patch.on_canvas(layout.side, shift)
                dark = np.clip(0.5 - patch.distance[inner] / (4 * layout.unit), 0, 1)
                canvas[place] *= (1 - 0.4 * dark)[..., None]
            place, inner = patch.on_canvas(layout.side)
            coverage = np.clip(0.5 - patch.distance[inner], 0, 1)[..., None]
            x, y = patch.x[inner], patch.y[inner]
            shade = _material(MATERIALS[thing.attributes[MATERIAL]], x, y, thing.radius, surface)
            light_x, light_y = self._light
            shade = shade * (1 + SHADING / thing.radius * (x * light_x + y * light_y))
            canvas[place] += coverage * (shade[..., None] * surface.rgb - canvas[place])
        canvas += noise.standard_normal(canvas.shape, np.float32) * self._noise_level
        return np.clip(canvas + 0.5, 0, 255).astype(np.uint8)


def draw_noise(rng: SeededRandom) -> np.random.Generator:
    """Draws pixel noise; the same key of `rng` gives the same noise up to rounding."""
    return np.random.Generator(np.random.PCG64(rng.below(2**31)))


def render(layout: Layout, rng: SeededRandom) -> RgbImage:
    """Renders a scene's image (side, side, 3); the same key of `rng` gives the same image up to one grey level."""
    look = Look(layout, rng)
    return look.draw(layout, look.noise)


def _surface(thing: DrawnObject, rng: SeededRandom) -> Surface:
    spread = np.array([rng.between(-COLOUR_SPREAD, COLOUR_SPREAD) for _ in range(3)], np.float32)
    return Surface(RGB[thing.attributes[COLOUR]] + spread, rng.between(0.4, 0.55), rng.unit(), rng.unit())


def _material(name: str, x: Plane, y: Plane, radius: float, surface: Surface) -> Plane:
    """Computes the brightness of each pixel: dark stripes or dark dots on a plain ground."""
    if name == "striped":
        period = 0.5 * radius
        wave = np.abs(np.mod(x / period + surface.phase_x, 1) - 0.5) * period  # distance from a stripe's middle line
        return 1 - surface.depth * np.clip(0.5 + period / 4 - wave, 0, 1)
    if name == "dotted":
        period = 0.62 * radius
        across = (np.mod(x / period + surface.phase_x, 1) - 0.5) * period
        along = (np.mod(y / period + surface.phase_y, 1) - 0.5) * period
        return 1 - surface.depth * np.clip(0.5 + 0.3 * period - np.sqrt(across * across + along * along), 0, 1)
    return np.ones_like(x)


@lru_cache
def _ramp(side: int) -> Plane:
    return np.linspace(-1, 1, side, dtype=np.float32)


@lru_cache
def _spread(side: int, knots: int) -> Plane:
    """Returns weights (side, knots) that interpolate values at knots linearly over a line of pixels."""
    place = np.linspace(0, knots - 1, side, dtype=np.float32)[:, None]
    return np.clip(1 - np.abs(place - np.arange(knots, dtype=np.float32)), 0, 1)


def _background(side: int, rng: SeededRandom, noise: np.random.Generator) -> Plane:
    """Draws a gradient with slow changes of colour and, in two of three scenes, faint stripes or checks."""
    grey = rng.between(60, 175)
    base = np.array([grey + rng.between(-25, 25) for _ in range(3)], np.float32)
    slope = np.array([rng.between(-22, 22) for _ in range(3)], np.float32)
    angle = rng.between(0, 2 * pi)
    ramp = _ramp(side)
    x, y = ramp[None, :], ramp[:, None]
    canvas = base + slope * (x * cos(angle) + y * sin(angle))[..., None]
    spread = _spread(side, 6)
    slow = noise.standard_normal((3, 6, 6), np.float32) * 9
    canvas += (spread @ slow @ spread.T).transpose(1, 2, 0)
    pattern = rng.below(3)
    if pattern:
        period, depth = side / 128 * rng.between(8, 20), rng.between(4, 11)
        turn = rng.between(0, pi)
        cells = np.floor((x * cos(turn) + y * sin(turn)) * side / 2 / period)
        if pattern == 2:
            cells = cells + np.floor((y * cos(turn) - x * sin(turn)) * side / 2 / period)
        canvas += (depth * (np.mod(cells, 2) - 0.5))[..., None].astype(np.float32)
    return canvas
