"""Selector's finder alone: the shapes of drawn scenes with masks and attributes, for a reader as the chooser."""

from collections.abc import Iterator
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor
from typing_extensions import override

from refseg.array_types import Mask, RgbImage
from refseg.checkpoints import bundled
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import load_checkpoint
from refseg.datasets.drawn_scenes.objects import SHAPES, VALUES
from refseg.finders.finder import Detection, Finder, check_no_settings, check_threshold, known_mask
from refseg.masks.boxes import mask_box
from refseg.networks.selector.selector import Selector
from refseg.preprocessing.restore import mask_at_image_size

LEAST_SHAPE = 0.05  # probability of a shape that an object is found as


class SelectorFinder(Finder):
    """Finds the shapes of drawn scenes.

    Args:
        checkpoint: of a Selector that knows attributes.
        threshold: lowest score.
    """

    name: ClassVar[str] = "selector"
    classes = SHAPES
    finds_masks = True
    same_object_iou = 1.0  # exactly the same box

    def __init__(self, checkpoint: Checkpoint, threshold: float = 0.5):
        self.checkpoint, self.threshold = checkpoint, threshold
        self.network = cast(Selector, checkpoint.network)

    @classmethod
    def load(cls, threshold: float = 0.5, **others: Any) -> Self:
        """Loads the bundled weights."""
        check_no_settings(cls.name, others)
        check_threshold(threshold)
        return cls(load_checkpoint(bundled.FOR_IMAGES), threshold)

    @override
    def find(self, image: RgbImage, threshold: float | None = None) -> list[Detection]:
        threshold = self.threshold if threshold is None else check_threshold(threshold)
        return sorted(self._find(image, threshold), key=lambda detection: -detection.score)

    @torch.inference_mode()
    def _find(self, image: RgbImage, threshold: float) -> Iterator[Detection]:
        pixels, geometry = self.checkpoint.preprocessing(image)
        network = self.network
        found = network.encode_image(pixels[None])
        attributes = network.finder.attributes
        assert attributes is not None
        values = [
            group.softmax(-1) for group in attributes(found.tokens[0]).float().split(network.config.attributes, -1)
        ]
        owner, scores = network.id_map(found)[0], found.scores[0].sigmoid().tolist()
        down, across = (own / resized for own, resized in zip(geometry.own_hw, geometry.resized_hw, strict=True))
        for q in found.selectable[0].nonzero()[:, 0].tolist():
            visible = torch.where(owner == q + 1, 1.0, -1.0)[None, None]
            mask: Mask = mask_at_image_size(visible, geometry)[0].numpy()
            box = mask_box(mask)
            if box is None or scores[q] < threshold:
                continue
            x, y, radius = found.centres[0, q].tolist()
            words = {
                name: p
                for names, p_of in list(zip(VALUES, values, strict=True))[1:]
                for name, p in _named(names, p_of[q])
            }
            for shape, p in _named(SHAPES, values[0][q]):
                if p >= LEAST_SHAPE:
                    yield Detection(
                        box_xyxy=box,
                        class_name=shape,
                        score=scores[q] * p,
                        finder=self.name,
                        draw_mask=known_mask(mask),
                        words=words,
                        centre_xy=((x + 0.5) * across, (y + 0.5) * down),
                        size=radius * (across * down) ** 0.5,
                    )


def _named(names: tuple[str, ...], probabilities: Tensor) -> Iterator[tuple[str, float]]:
    return zip(names, probabilities.tolist(), strict=True)
