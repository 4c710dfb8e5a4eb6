"""Motions of an object, and its positions before and after the middle frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refseg.datasets.drawn_scenes.layout import UNIT
from refseg.datasets.drawn_scenes.objects import SHAPE, SHAPES, DrawnObject, SeededRandom

MOTIONS = ("still", "left", "right", "up", "down", "spinning", "growing", "shrinking")
STILL, LEFT, RIGHT, UP, DOWN, SPINNING, GROWING, SHRINKING = range(len(MOTIONS))
DIRECTIONS = {LEFT: (-1, 0), RIGHT: (1, 0), UP: (0, -1), DOWN: (0, 1)}
ROUND = frozenset({SHAPES.index("circle"), SHAPES.index("ring")})
"""Shapes that look the same however they are turned, so that they never spin."""

FRAMES = 5, 16  # fewest and most of a clip; in longer ones things grow as much over all, so by less a frame
WAY = 10.0, 24.0  # pixels of a 128x128 canvas from the first frame to the last
TURN_DEGREES = 10, 18  # a frame; below half of every symmetry angle, so that the sense of turning can be seen
GROWTH = 1.04, 1.06  # factor of the radius a frame

_CAN_SPIN = 1 - len(ROUND) / len(SHAPES)
_SHARE = 1 / len(MOTIONS)


def draw_motions(rng: SeededRandom, attributes: Sequence[int], count: int) -> list[int]:
    """Draws `count` different motions for an object of these attributes; over all shapes each is as frequent."""
    spins = attributes[SHAPE] not in ROUND
    spin = _SHARE / _CAN_SPIN if spins else 0.0
    weights = [spin if motion == SPINNING else (1 - spin) / (len(MOTIONS) - 1) for motion in range(len(MOTIONS))]
    found: list[int] = []
    while len(found) < count:
        motion = rng.weighted(weights)
        if motion not in found:
            found.append(motion)
    return found


@dataclass(frozen=True, slots=True)
class Mover:
    """An object and the speed of each of its possible motions.

    Attributes:
        middle: the object in the middle frame, where it is the same whatever it does.
        step: pixels a frame.
        turn_degrees: a frame, to either side.
        growth: factor of the radius a frame.
    """

    middle: DrawnObject
    step: float
    turn_degrees: int
    growth: float

    @staticmethod
    def draw(rng: SeededRandom, middle: DrawnObject, frames: int, side: int) -> "Mover":
        """Draws a mover for a clip of `frames` frames and a canvas of this side."""
        low, high = TURN_DEGREES
        turn = (low + rng.below(high - low + 1)) * (1 if rng.chance(0.5) else -1)
        step, growth = rng.between(*WAY) * side / UNIT / (frames - 1), rng.between(*GROWTH)
        if frames > FRAMES[1]:
            growth **= (FRAMES[1] - 1) / (frames - 1)
        return Mover(middle, step, turn, growth)

    def at(self, motion: int, frames: int) -> DrawnObject:
        """Returns the object `frames` frames after the middle one (before it, if negative) under a motion.

        >>> star = DrawnObject((3, 0, 0, 0), x=64, y=64, radius=12, rotation_degrees=5)
        >>> mover = Mover(star, step=2, turn_degrees=10, growth=1.05)
        >>> mover.at(LEFT, -4).x, mover.at(SPINNING, 3).rotation_degrees
        (72.0, 35)
        """
        x, y, radius = self.way(motion, np.array([frames]))[0].tolist()
        turned = self.turn_degrees * frames if motion == SPINNING else 0
        return DrawnObject(self.middle.attributes, x, y, radius, self.middle.rotation_degrees + turned)

    def way(self, motion: int, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns x, y and radius (T, 3) at `frames` (T,), counted from the middle one, under a motion."""
        places = np.empty((len(frames), 3))
        places[:] = self.middle.x, self.middle.y, self.middle.radius
        if motion in DIRECTIONS:
            places[:, :2] += np.outer(frames, DIRECTIONS[motion]) * self.step
        elif motion in (GROWING, SHRINKING):
            factor = self.growth ** (frames if motion == GROWING else -frames)
            places[:, 2] = np.round(places[:, 2] * factor, 6)  # every platform has the same
        return places
