"""ModelMasker: SAM 2 and its like as maskers of finders, which ask for one box after the other."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn
from typing_extensions import override

from refseg.adapters.image_processing import to_batch
from refseg.adapters.local_parts import local_part
from refseg.adapters.masker import EncodedImages, Masker, load_masker
from refseg.array_types import Box, Mask, RgbImage
from refseg.finders.box_masks import ImageMasker, check_box


class ModelMasker(ImageMasker):
    """A masker of `masker.py` that draws at the image's size."""

    def __init__(self, masker: Masker):
        self.masker = masker

    @classmethod
    def load(cls, name: str, folder: Path | None = None) -> Self:
        """Loads a masker.

        Args:
            name: one of `entries.maskers.MASKERS`.
            folder: an own copy of the model.

        Raises:
            MissingFile: if it is not on this machine; the message names the command that gets it.
            InvalidInput: if its files are damaged.
        """
        return cls(load_masker(local_part(name, folder), name))

    @property
    @override
    def networks(self) -> Sequence[nn.Module]:
        return (self.masker,)

    @override
    def for_image(self, image: RgbImage) -> Callable[[Box], Mask]:
        return _MaskerOfImage(self.masker, image)


class _MaskerOfImage:
    """The masker of one image, whose features are computed when a mask is first drawn."""

    def __init__(self, masker: Masker, image: RgbImage):
        self.masker, self.image = masker, image

    @cached_property
    def features(self) -> EncodedImages:
        """Features of the image alone."""
        return self.masker.encode_image(to_batch(self.image, self.masker.device))

    @torch.inference_mode()
    def __call__(self, box_xyxy: Box) -> Mask:
        """Draws the mask (H, W) of the object in a box."""
        check_box(self.image, box_xyxy)
        height, width = self.image.shape[:2]
        place = torch.tensor([box_xyxy], dtype=torch.float32) / torch.tensor([width, height] * 2)
        logits = self.masker.draw(self.features, 0, place.clamp(0, 1))
        mask: Mask = F.interpolate(logits[None], (height, width), mode="bilinear")[0, 0].cpu().numpy() > 0
        return mask
