"""Drawn scenes: the procedural benchmark that travels with the package.

Source     drawn by this package, any amount, no files; an expression's program is evaluated on the scene, so its
           referents are certain.
Licence    Apache-2.0, as the package.
Splits     train (unlimited), val 1,000 scenes, test 2,000, hard 1,000, held_out 1,000; about 23 expressions a scene,
           14 % of which refer to nothing and 12 % to several objects.
Read with  objects.py (what), layout.py (where), programs.py (meaning), grammar.py (words), balanced_sentences.py
           (shares,
           sentences without referent), rendering.py (pixels).
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from typing_extensions import override

from refseg.array_types import Mask, RgbImage
from refseg.counting import counted
from refseg.datasets.dataset import Dataset
from refseg.datasets.drawn_scenes.balanced_sentences import BLOCK, Block, draw_block, object_ids
from refseg.datasets.drawn_scenes.grammar import KIND_SHARES, TYPE_SHARES
from refseg.datasets.drawn_scenes.layout import TIERS, Layout
from refseg.datasets.drawn_scenes.objects import ATTRIBUTES, COLOURS, MATERIALS, SHAPES, SIZES, VALUES, SeededRandom
from refseg.datasets.drawn_scenes.programs import Program
from refseg.datasets.drawn_scenes.rendering import render
from refseg.errors import InvalidInput, choose_one, option
from refseg.masks.boxes import mask_box
from refseg.samples import AnnotatedObject, AnnotatedObjects, Expression, Sample

__all__ = [
    "ATTRIBUTES",
    "COLOURS",
    "KIND_SHARES",
    "MATERIALS",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "TIERS",
    "TYPE_SHARES",
    "VALUES",
    "VERSION",
    "DrawnScenes",
    "Scene",
]

VERSION = 1
"""Raised with every change of a drawn byte or sentence; checkpoints and tables carry it."""

DRAWN_LICENCE = "Apache-2.0, weights and data"
DRAWN_UNCHECKABLE = "is drawn on the fly, so there is nothing to check"

SPLITS = {"train": 2**31, "val": 1000, "test": 2000, "hard": 1000, "held_out": 1000}
"""Scenes of each split."""


class Scene(Sample):
    """A drawn scene with its expressions; pixels are drawn on first access.

    Attributes:
        image_id: split, tier and number, for example "val-base-17".
        id_map: (H, W) uint8, the visible pixels: 0 = background, k = object k.
        centres: (n, 2) float32, true centres x, y in pixels.
        radii: (n,) float32, true radii in pixels.
        attributes: (n, 4) int64, indices into SHAPES, COLOURS, SIZES, MATERIALS.
        expressions: sentences; their targets are object numbers as in `id_map`.
        programs: what each sentence means, in the order of `expressions`.
        part: "pairs", "triples" or "roles" in split held_out, otherwise "".
    """

    def __init__(self, image_id: str, block: Block, index: int, pixels: SeededRandom):
        self.image_id = image_id
        self.layout: Layout = block.layouts[index]
        self.part = block.parts[index]
        self.id_map = self.layout.id_map
        things = self.layout.objects
        self.centres = np.array([(thing.x, thing.y) for thing in things], np.float32)
        self.radii = np.array([thing.radius for thing in things], np.float32)
        self.attributes = np.array([thing.attributes for thing in things], np.int64)
        self.expressions = tuple(
            Expression(sentence.text, object_ids(referents), sentence.type, sentence.kind)
            for sentence, referents in block.sentences[index]
        )
        self.programs: tuple[Program, ...] = tuple(sentence.program for sentence, _ in block.sentences[index])
        self._pixels = pixels

    @cached_property
    def image(self) -> RgbImage:  # type: ignore[override]
        """(H, W, 3) uint8."""
        return render(self.layout, self._pixels)

    def mask(self, index: int) -> Mask:
        """Returns the visible pixels (H, W) of all referents of expression `index`."""
        return np.isin(self.id_map, self.expressions[index].targets)

    def referents(self, index: int) -> Mask:
        """Returns the visible pixels (K, H, W) of each referent of expression `index`."""
        return self.id_map == np.array(self.expressions[index].targets, np.uint8)[:, None, None]

    def others(self, index: int) -> Iterator[Mask]:
        """Yields the visible pixels (H, W) of each object that expression `index` does not refer to."""
        targets = self.expressions[index].targets
        return (self.id_map == k for k in range(1, len(self.centres) + 1) if k not in targets)

    @override
    def annotated_objects(self) -> AnnotatedObjects:
        objects = []
        for layer, thing in enumerate(self.layout.objects):
            mask = self.id_map == layer + 1
            shape, *values = thing.attributes
            named = zip(VALUES[1:], values, strict=True)
            objects.append(
                AnnotatedObject(
                    name=SHAPES[shape],
                    box_xyxy=mask_box(mask) or (0, 0, 0, 0),
                    mask=mask,
                    words={name: float(k == value) for names, value in named for k, name in enumerate(names)},
                    centre_xy=(thing.x + 0.5, thing.y + 0.5),
                    size=thing.radius,
                    layer=layer,
                )
            )
        return AnnotatedObjects(tuple(objects), SHAPES)


class DrawnScenes(Dataset):
    """A split of the drawn scenes; scene i is the same on every machine.

    Args:
        split: one of SPLITS.
        count: number of scenes; the whole split by default. For train it must be given.
        tier: one of TIERS; "hard" for split hard and "base" otherwise by default.
        side: side of the square canvas in pixels, 128 or 256.
        seed: another seed gives another benchmark; published figures use 0.

    Raises:
        InvalidInput: if one of them is not allowed.
    """

    seed: int
    version = VERSION
    familiar_images = "drawn scenes only: coloured, patterned shapes on a plain ground; no photographs"
    object_classes = {attribute: len(values) for attribute, values in zip(ATTRIBUTES, VALUES, strict=True)}
    licence = DRAWN_LICENCE
    uncheckable = DRAWN_UNCHECKABLE

    def __init__(self, split: str, count: int | None = None, tier: str | None = None, side: int = 128, seed: int = 0):
        if split not in SPLITS:
            raise InvalidInput(f"unknown split {split!r} of drawn_scenes; {choose_one(split, SPLITS)}")
        self.tier = tier or ("hard" if split == "hard" else "base")
        if self.tier not in TIERS:
            raise InvalidInput(f"unknown tier {tier!r} of drawn_scenes; {choose_one(tier, TIERS)}")
        if side not in (128, 256):
            raise InvalidInput(f"the side of a drawn scene is 128 or 256 pixels, not {side}")
        if count is None and split == "train":
            raise InvalidInput(f"split train of drawn_scenes has no end; say how many: {option('count', 1000)}")
        self.count = SPLITS[split] if count is None else count
        if not 1 <= self.count <= SPLITS[split]:
            raise InvalidInput(f"split {split} of drawn_scenes has 1 to {counted(SPLITS[split], 'scene')}, not {count}")
        self.split, self.side, self.seed = split, side, seed
        self._block: tuple[int, Block] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        """Returns scene `index`; neighbours share the work of their block of 64."""
        if not -self.count <= index < self.count:
            raise IndexError(f"scene {index} of {self.count}")
        index %= self.count
        number = index // BLOCK
        if self._block is None or self._block[0] != number:
            self._block = number, draw_block(self.seed, self.split, self.tier, self.side, number)
        pixels = SeededRandom("pixels", self.seed, self.split, self.tier, self.side, index)
        return Scene(f"{self.split}-{self.tier}-{index}", self._block[1], index % BLOCK, pixels)

    def __iter__(self) -> Iterator[Scene]:
        return (self[i] for i in range(self.count))
