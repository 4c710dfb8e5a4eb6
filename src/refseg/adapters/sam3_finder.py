"""sam3: SAM 3 as a finder of a reader: all things of a name with their masks, among which the sentence chooses."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import nn
from typing_extensions import override

from refseg.adapters import sam3
from refseg.adapters.cached_search import CachedSearch
from refseg.adapters.image_processing import to_batch
from refseg.adapters.local_parts import local_part
from refseg.adapters.phrase_finders import comparable_score
from refseg.array_types import Mask, RgbImage
from refseg.finders.finder import Detection, Finder, Search, check_no_settings, check_threshold, known_mask
from refseg.masks.boxes import mask_box
from refseg.readers.searching import ANYTHING

DEFAULT_THRESHOLD = 0.5  # of scores, that of transformers


class Sam3Finder(Finder):
    """Finds the things of whatever names it is asked for, with their masks.

    Args:
        model: SAM 3.
        processor: its processor.
        threshold: lowest score.
    """

    name: ClassVar[str] = "sam3"
    open_vocabulary: ClassVar[bool] = True
    finds_masks: ClassVar[bool] = True
    classes = ()

    def __init__(self, model: Any, processor: Any, threshold: float = DEFAULT_THRESHOLD):
        self.model, self.processor, self.threshold = model, processor, threshold

    @classmethod
    def load(cls, threshold: float = DEFAULT_THRESHOLD, folder: Path | None = None, **others: Any) -> Self:
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

        check_no_settings(cls.name, others)
        check_threshold(threshold)
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
        return _Search(self, image, self.threshold if threshold is None else check_threshold(threshold))


class _Search(CachedSearch):
    """A search in one image, which is encoded when something is first looked for."""

    def __init__(self, finder: Sam3Finder, image: RgbImage, threshold: float):
        super().__init__()
        self.finder, self.image, self.threshold = finder, image, threshold

    @cached_property
    def features(self) -> Any:
        """Features of SAM 3's image encoder."""
        model = self.finder.model
        return sam3.encode_images(model, self.finder.processor, to_batch(self.image, model.device))

    @override
    def find_new(self, names: Sequence[str]) -> Iterator[list[Detection]]:
        return (list(self._detections(name)) for name in names)

    def _detections(self, name: str) -> Iterator[Detection]:
        finder, first = self.finder, torch.zeros(1, dtype=torch.int64, device=self.finder.model.device)
        scores, masks = sam3.detect(finder.model, finder.processor, self.features, [name], first)
        for score, logits in zip(scores[0].tolist(), masks[0], strict=True):
            if score < self.threshold:
                continue
            whole = F.interpolate(logits[None, None].float(), self.image.shape[:2], mode="bilinear")[0, 0]
            mask: Mask = whole.cpu().numpy() > 0
            box = mask_box(mask)
            if box is not None:
                yield Detection(box, name, comparable_score(score, DEFAULT_THRESHOLD), finder.name, known_mask(mask))
