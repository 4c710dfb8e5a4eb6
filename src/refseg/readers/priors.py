"""What a noun says of a box: for finders that do not name what they find, and among things of one class.

Source     Mean and standard deviation of log(height / width) of the boxes that RefCOCO val's expressions name so (UNC
           split; 10,834 expressions). Classes with fewer than 20 expressions have no row.
           Words: how a batter's, a child's, a hand's box differs from the other boxes of its image, by sign.
"""

import numpy as np

from refseg.readers.nouns import singular
from refseg.readers.objects import Geometry
from refseg.readers.program import Noun

BOX_SHAPES: dict[str, tuple[float, float]] = {
    "person": (0.56, 0.46),
    "chair": (-0.05, 0.47),
    "elephant": (0.03, 0.45),
    "zebra": (0.04, 0.39),
    "pizza": (-0.32, 0.43),
    "giraffe": (0.28, 0.36),
    "car": (-0.21, 0.59),
    "donut": (0.03, 0.33),
    "bicycle": (-0.01, 0.46),
    "banana": (-0.18, 0.54),
    "sandwich": (-0.02, 0.34),
    "couch": (-0.24, 0.50),
    "wine glass": (0.60, 0.33),
    "horse": (0.31, 0.40),
    "cow": (0.09, 0.53),
    "broccoli": (-0.06, 0.32),
    "bird": (0.04, 0.52),
    "bowl": (-0.15, 0.31),
    "bus": (-0.03, 0.52),
    "laptop": (-0.10, 0.33),
    "dining table": (-0.64, 0.69),
    "sheep": (-0.11, 0.42),
    "bear": (0.02, 0.47),
    "umbrella": (-0.34, 0.49),
    "truck": (-0.15, 0.58),
    "orange": (-0.16, 0.41),
    "cake": (-0.11, 0.46),
    "cat": (0.01, 0.51),
    "dog": (-0.15, 0.39),
    "cup": (0.08, 0.44),
    "motorcycle": (-0.01, 0.50),
    "hot dog": (-0.17, 0.50),
    "bed": (-0.36, 0.42),
    "vase": (0.31, 0.43),
    "tv": (0.02, 0.37),
    "bottle": (1.01, 0.37),
    "suitcase": (0.04, 0.51),
    "train": (-0.36, 0.54),
    "book": (0.31, 0.84),
    "potted plant": (0.39, 0.50),
    "boat": (-0.47, 0.68),
    "apple": (-0.21, 0.32),
    "teddy bear": (0.03, 0.35),
    "toilet": (0.30, 0.35),
    "carrot": (0.13, 0.35),
    "refrigerator": (0.89, 0.60),
    "airplane": (-0.59, 0.52),
    "keyboard": (-0.51, 0.42),
    "remote": (1.01, 0.50),
    "cell phone": (-0.05, 0.59),
    "handbag": (0.10, 0.42),
    "clock": (0.13, 0.35),
}
ANY_SHAPE = 0.25, 0.60  # mean and standard deviation over all boxes
BOX_WEIGHT = 0.7  # of the log likelihood ratio; a fitting box is no reason, an unfitting one is

WORDS: dict[str, tuple[float, float, float]] = {
    "kid": (-0.5, 0.0, 0.5),
    "child": (-1.5, 0.0, 0.5),
    "baby": (-2.0, 0.0, 0.5),
    "toddler": (-2.0, 0.0, 0.5),
    "boy": (-0.5, 0.0, 0.3),
    "batter": (3.0, 0.0, 0.0),
    "hitter": (3.0, 0.0, 0.0),
    "pitcher": (2.0, 0.0, 0.0),
    "bride": (1.0, 0.0, 0.0),
    "player": (0.5, 0.0, 0.0),
    "catcher": (-1.0, -2.0, 0.0),
    "umpire": (0.0, 1.0, 0.0),
    "ump": (0.0, 1.0, 0.0),
    "slice": (-1.0, 0.0, 0.0),
    "hand": (-0.5, -3.0, 2.0),
    "finger": (-0.5, -3.0, 2.0),
    "arm": (-1.0, 0.0, 0.0),
    "head": (-1.5, -1.0, 0.0),
    "leg": (-1.5, 1.5, 0.0),
    "pants": (-1.5, 1.5, -0.5),
    "jeans": (-1.5, 1.5, 0.0),
    "plate": (0.0, -2.0, 0.0),
    "table": (0.5, -2.0, 0.5),
}
"""Noun -> preference in log odds, between the extremes among the members, for large, upright, and low boxes."""


def box_preference(noun: Noun, geometry: Geometry, named: bool) -> np.ndarray:
    """Returns log odds (N,) that a box is one of this noun, by its shape and size alone.

    Args:
        noun: of a program.
        geometry: the boxes.
        named: whether classes are known: then only the word counts, among things of a class.
    """
    total = np.zeros(geometry.count)
    upright = np.log(np.maximum(geometry.height, 1e-6) / np.maximum(geometry.width * geometry.aspect, 1e-6))
    size = 0.5 * np.log(np.maximum(geometry.width * geometry.height, 1e-9))
    if not named and noun.classes and noun.classes[0] in BOX_SHAPES:
        mean, spread = BOX_SHAPES[noun.classes[0]]
        spread = max(spread, 0.35)
        general, general_spread = ANY_SHAPE
        likelihood = -0.5 * ((upright - mean) / spread) ** 2 - np.log(spread)
        background = -0.5 * ((upright - general) / general_spread) ** 2 - np.log(general_spread)
        total += BOX_WEIGHT * np.clip(likelihood - background, -3.0, 0.0)
    large, tall, low = WORDS.get(noun.written, WORDS.get(singular(noun.written), (0.0, 0.0, 0.0)))
    if geometry.count > 1 and (large or tall or low):
        total += large * _scaled(size) + tall * _scaled(upright) + low * _scaled(geometry.bottom)
    return total


def _scaled(values: np.ndarray) -> np.ndarray:
    spread = np.ptp(values)
    return (values - values.min()) / spread if spread > 1e-9 else np.zeros_like(values)
