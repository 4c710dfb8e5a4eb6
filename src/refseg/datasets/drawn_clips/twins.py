"""Pairs of clips with one middle frame: equal objects and positions, but other motions of look-alikes.

Every sentence is asked about both and is answered by another object, or by none, so the middle frame and the sentence
alone do not tell the answer. Twins are a function of (seed, split, side, number).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refseg.datasets.drawn_clips.motions import FRAMES, Mover, draw_motions
from refseg.datasets.drawn_clips.sentences import Sentence, World, sentences_about
from refseg.datasets.drawn_scenes.layout import TIERS, UNIT, draw_attributes, rasterise
from refseg.datasets.drawn_scenes.objects import RADII, SIZE, Attributes, DrawnObject, SeededRandom

OBJECTS = 3, 6
SECOND_GROUP = 0.4  # share of clips with two groups of look-alikes, as far as there are enough objects
THREE_ALIKE = 0.4  # share of groups that have three members
PAIR_ALIKE = 0.5  # share of groups of three of which two do the same
REPLACED = 0.37  # share of groups whose twin has a motion that this one has not, so that sentences refer to nothing
GAP = 2.0  # pixels of a 128x128 canvas between objects
EDGE = 0.8  # radii from an object's centre to the border, at least
TRIES = 20  # at a place
PLACEMENTS = 8  # of all, before others are drawn: few, and there would be less of what needs much room

TIER = TIERS["base"]
Ways = NDArray[np.float64]
"""(M, T, 3): x, y and radius of an object in every frame, for each of M motions."""


@dataclass(frozen=True)
class Twins:
    """A pair of clips without pixels.

    Attributes:
        frames: number of frames of either; number `frames // 2` is the middle one.
        movers: the objects, in drawing order.
        motions: of the objects in either clip.
        sentences: each with the set (bits) of its referents in either clip, 0 = none.
    """

    frames: int
    movers: list[Mover]
    motions: tuple[list[int], list[int]]
    sentences: list[tuple[Sentence, tuple[int, int]]]


def draw_twins(seed: int, split: str, side: int, number: int, length: tuple[int, int] = FRAMES) -> Twins:
    """Draws clips 2 * number and 2 * number + 1 of a split, of so many frames; a function of its arguments."""
    rng = SeededRandom("drawn clips", seed, split, side, number, *(() if length == FRAMES else length))
    frames, objects = (low + rng.below(high - low + 1) for low, high in (length, OBJECTS))
    while True:
        kinds = _draw_kinds(rng, objects)
        motions = _draw_motions(rng, kinds)
        movers = next(filter(None, (_place(rng, kinds, motions, frames, side) for _ in range(PLACEMENTS))), None)
        if movers is None:
            continue
        layout = rasterise([mover.middle for mover in movers], side)
        found = sentences_about(World(layout, motions[0]), World(layout, motions[1]), rng)
        if found:
            return Twins(frames, movers, motions, found)


def alike(kinds: list[Attributes]) -> list[list[int]]:
    """Groups objects with the same attributes, single ones included, in the order of their first members."""
    groups: dict[Attributes, list[int]] = {}
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    return list(groups.values())


def _draw_kinds(rng: SeededRandom, count: int) -> list[Attributes]:
    """Draws the attributes of `count` objects, in drawing order."""
    kinds: list[Attributes] = []
    while len(kinds) < count:
        kind = draw_attributes(rng, TIER, kinds)
        if not kinds:
            copies = 3 if rng.chance(THREE_ALIKE) else 2
        else:
            copies = 2 if len(alike(kinds)) == 1 and rng.chance(SECOND_GROUP) else 1
        kinds += [kind] * min(copies, count - len(kinds))
    return rng.shuffled(kinds)


def _draw_motions(rng: SeededRandom, kinds: list[Attributes]) -> tuple[list[int], list[int]]:
    """Draws the motions of all objects in both clips; no sentence about look-alikes has one answer in both."""
    here, there = [0] * len(kinds), [0] * len(kinds)
    for group in alike(kinds):
        size = len(group)
        options = draw_motions(rng, kinds[group[0]], size + 1)
        if size == 1:
            here[group[0]] = there[group[0]] = options[0]
            continue
        *doing, new = options
        if size > 2 and rng.chance(PAIR_ALIKE):
            doing[2] = doing[1]
        swapped = [*doing[1:], doing[0]]
        if rng.chance(REPLACED):
            gone = rng.pick(sorted(set(doing)))
            swapped = [new if motion == gone else motion for motion in swapped]
        for index, motion, other in zip(rng.shuffled(group), doing, swapped, strict=True):
            here[index], there[index] = motion, other
    return here, there


def _place(
    rng: SeededRandom, kinds: list[Attributes], motions: tuple[list[int], list[int]], frames: int, side: int
) -> list[Mover] | None:
    """Places the objects so that they stay on the canvas and apart, under all motions of their look-alikes."""
    options = {k: {motion[j] for motion in motions for j in group} for group in alike(kinds) for k in group}
    gap, steps = GAP * side / UNIT, np.arange(frames) - frames // 2
    movers: dict[int, Mover] = {}
    paths = np.empty((0, frames, 3))
    for index in sorted(options, key=lambda k: -kinds[k][SIZE]):  # large ones first, while there is room
        mover = _mover(rng, kinds[index], frames, side)
        ways = np.array([mover.way(motion, steps) for motion in sorted(options[index])])
        edge = EDGE * ways[..., 2]
        low = [float((edge - ways[..., axis]).max()) for axis in (0, 1)]
        high = [float((side - 1 - edge - ways[..., axis]).min()) for axis in (0, 1)]
        if low[0] > high[0] or low[1] > high[1]:
            return None
        for _ in range(TRIES):
            x, y = rng.between(low[0], high[0]), rng.between(low[1], high[1])
            moved = ways + (x, y, 0)
            if not _meet(moved, paths, gap):
                movers[index] = replace(mover, middle=replace(mover.middle, x=x, y=y))
                paths = np.concatenate([paths, moved])
                break
        else:
            return None
    return [movers[index] for index in range(len(kinds))]


def _mover(rng: SeededRandom, kind: Attributes, frames: int, side: int) -> Mover:
    """Draws a mover in the upper left corner."""
    radius = rng.between(*RADII[kind[SIZE]]) * side / UNIT
    degrees = rng.below(2 * TIER.rotation_degrees + 1) - TIER.rotation_degrees
    return Mover.draw(rng, DrawnObject(kind, 0, 0, radius, degrees), frames, side)


def _meet(ways: Ways, others: Ways, gap: float) -> bool:
    """Whether any path of `ways` (M, T, 3) comes within `gap` of one of `others` (N, T, 3)."""
    dx, dy = (ways[:, None, :, axis] - others[..., axis] for axis in (0, 1))
    least = ways[:, None, :, 2] + others[..., 2] + gap
    return bool((dx * dx + dy * dy < least * least).any())
