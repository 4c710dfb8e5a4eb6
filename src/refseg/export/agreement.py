"""Agreement of an exported network with the one that it was exported from, on drawn scenes."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.counting import counted
from refseg.datasets.drawn_scenes.dataset import DrawnScenes
from refseg.errors import InvalidInput
from refseg.inference.network_input import NetworkInput
from refseg.inference.predict import Query, predict, truncate
from refseg.preprocessing.geometry import Geometry, Size
from refseg.runtimes.entry import Precision

SCENES = 8
EXPRESSIONS = 6  # about each scene
PIXELS = SCENES * EXPRESSIONS * 160**2  # of all images of expressions together; fewer of large ones are compared
TOLERANCE = {"f32": 1e-3, "bf16": 0.1, "int8": 0.1}
"""By precision: how far logits may be apart, as part of 1 + their size."""
LEAST_EQUAL = {"f32": 0.9999, "bf16": 0.98}
"""By precision: share of equal pixels and of close logits, below which an export is refused; int8 is judged by mIoU."""


@dataclass(frozen=True)
class Agreement:
    """How far two networks agree about the same expressions.

    Attributes:
        images: number of images.
        expressions: number of expressions.
        equal_pixels: share of the pixels of all masks that are equal.
        close_logits: share of the logits that are within the tolerance of the precision.
        largest_difference: of two logits.
        equal_existence: share of the expressions that both find, or both do not.
    """

    images: int
    expressions: int
    equal_pixels: float
    close_logits: float
    largest_difference: float
    equal_existence: float

    def __str__(self) -> str:
        return (
            f"{counted(self.expressions, 'expression')} about {counted(self.images, 'drawn scene')}: "
            f"{percent(self.equal_pixels)} of mask pixels equal, {percent(self.equal_existence)} of found or not; "
            f"largest difference of logits {self.largest_difference:.2g}"
        )

    def check(self, precision: Precision) -> None:
        """Raises InvalidInput unless the networks agree as far as the precision allows."""
        least = LEAST_EQUAL.get(precision, 0.0)
        if min(self.equal_pixels, self.close_logits) < least or not np.isfinite(self.largest_difference):
            raise InvalidInput(
                f"the exported network answers otherwise than its weights, so nothing was written: {self}; "
                f"{percent(self.close_logits)} of logits are close, and {percent(least)} of each are asked for with "
                f"{precision}"
            )


def percent(share: float) -> str:
    """Formats a share, rounded down, so that 100 % means all.

    >>> percent(1.0), percent(0.999999)
    ('100 %', '99.999 %')
    """
    return f"{int(share * 1e5 + 1e-9) / 1e3:g} %"


def compare(exact: Checkpoint, exported: Checkpoint, sizes_hw: list[Size]) -> Agreement:
    """Compares two checkpoints on drawn scenes, scaled to each of the sizes in turn."""
    queries = [query for size in sizes_hw for query in _queries(exact, size, len(sizes_hw))]
    precision = exported.runtime.precision if exported.runtime else "f32"
    equal = close = count = images = expressions = same = 0
    largest = 0.0
    pairs = zip(predict(exact, queries, batch_images=3), predict(exported, queries, batch_images=3), strict=True)
    for one, other in pairs:
        a, b = one.output.logits.double(), other.output.logits.double()
        difference = (a - b).abs()
        equal += int(((a > 0) == (b > 0)).sum())
        close += int((difference <= TOLERANCE[precision] * (1 + a.abs())).sum())
        count += a.numel()
        largest = float(torch.tensor([largest, float(difference.max())]).max())  # NaN if there is one
        same += int((one.predicts_none == other.predicts_none).sum())
        images, expressions = images + len(one.queries), expressions + len(one.expressions)
    return Agreement(images, expressions, equal / count, close / count, largest, same / expressions)


def _queries(checkpoint: Checkpoint, size_hw: Size, sizes: int) -> list[Query]:
    height, width = size_hw
    affordable = max(2, PIXELS // (sizes * height * width))
    scenes = min(max(2, SCENES // sizes), max(2, affordable // 2))
    expressions = max(1, min(EXPRESSIONS, affordable // scenes))
    queries = []
    for scene in DrawnScenes(split="test", count=scenes):
        pixels = np.array(Image.fromarray(scene.image).resize((width, height), Image.Resampling.BILINEAR))
        image = checkpoint.preprocessing.normalise(torch.from_numpy(pixels)[None])[0]
        texts = [truncate(checkpoint.tokenizer, one.text) for one in scene.expressions[:expressions]]
        queries.append(Query([NetworkInput(image, Geometry(size_hw, size_hw, size_hw))], texts))
    return queries
