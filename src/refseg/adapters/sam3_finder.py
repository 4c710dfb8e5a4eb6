"""sam3: SAM 3 as a finder of a reader: all things of a name with their masks, among which the sentence chooses."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from typing_extensions import override

from refseg.adapters import sam3
from refseg.adapters.local_parts import local_part
from refseg.adapters.phrase_finders import comparable_score
from refseg.array_types import Mask, RgbImage
from refseg.errors import InvalidInput, shown
from refseg.finders.finder import Detection, Finder, Search
from refseg.masks.boxes import mask_box
from refseg.readers.searching import ANYTHING

USUAL = 0.5  # threshold of scores, that of transformers


class Sam3Finder(Finder):
    """Finds the things of whatever names it is asked for, with their masks.

    Args:
        model: SAM 3.
        processor: its processor.
        threshold: lowest score.
    """

    name: ClassVar[str] = "sam3"
    asked: ClassVar[bool] = True
    finds_masks: ClassVar[bool] = True
    classes = ()

    def __init__(self, model: Any, processor: Any, threshold: float = USUAL):
        self.model, self.processor, self.threshold = model, processor, threshold

    @classmethod
    def load(cls, threshold: float = USUAL, folder: Path | None = None, **others: Any) -> Self:
        """Loads the finder from this machine.

        Args:
            threshold: lowest score.
            folder: an own copy of the model.
            others: refused.

        Raises:
            MissingFile: if it is not on this machine; the message names the command that gets it.
            InvalidInput: for a masker, a threshold outside of [0, 1], or damaged files.
        """
        from transformers import Sam3Model, Sam3Processor

        if others:
            raise InvalidInput(f"the finder {cls.name!r} has no {', '.join(others)}: it finds masks; leave it out")
        if not 0 <= threshold <= 1:
            raise InvalidInput(f"threshold {shown(threshold)} is not a score; it is between 0 and 1")
        local = local_part(cls.name, folder)
        return cls(local.load(Sam3Model, types=sam3.TYPES), local.load_processor(Sam3Processor), threshold)

    @property
    @override
    def networks(self) -> Sequence[nn.Module]:
        return (self.model,)

    @override
    def find(self, image: RgbImage, threshold: float | None = None) -> list[Detection]:
        """Finds what it takes for an object, of any kind."""
        return self.search(image, threshold)((ANYTHING,))

    @override
    def search(self, image: RgbImage, threshold: float | None = None) -> Search:
        return _Search(self, image, self.threshold if threshold is None else threshold).find


class _Search:
    """The things that were looked for in one image, which is encoded when something first is; each name once."""

    def __init__(self, finder: Sam3Finder, image: RgbImage, threshold: float):
        self.finder, self.image, self.threshold = finder, image, threshold
        self.seen: Any = None
        self.found: dict[str, list[Detection]] = {}

    @torch.inference_mode()
    def find(self, names: Sequence[str]) -> list[Detection]:
        """Finds the things of these names, the highest score first."""
        if self.seen is None:
            pixels = torch.from_numpy(np.ascontiguousarray(self.image)).permute(2, 0, 1)
            self.seen = sam3.see(self.finder.model, self.finder.processor, [pixels.to(self.finder.model.device)])
        for name in dict.fromkeys(names):
            if name not in self.found:
                self.found[name] = list(self._detections(name))
        together = [detection for name in dict.fromkeys(names) for detection in self.found[name]]
        return sorted(together, key=lambda detection: -detection.score)

    def _detections(self, name: str) -> Iterator[Detection]:
        finder, first = self.finder, torch.zeros(1, dtype=torch.int64, device=self.finder.model.device)
        scores, masks = sam3.detect(finder.model, finder.processor, self.seen, [name], first)
        for score, logits in zip(scores[0].tolist(), masks[0], strict=True):
            if score < self.threshold:
                continue
            whole = F.interpolate(logits[None, None].float(), self.image.shape[:2], mode="bilinear")[0, 0]
            mask: Mask = whole.cpu().numpy() > 0
            box = mask_box(mask)
            if box is not None:
                yield Detection(box, name, comparable_score(score, USUAL), finder.name, partial(_same, mask))


def _same(mask: Mask) -> Mask:
    return mask
