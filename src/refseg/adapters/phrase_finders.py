"""Detectors of phrases as finders of a reader: they look for whatever things a sentence is about."""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn
from typing_extensions import override

from refseg.adapters.adapter import SCORE_MARGIN
from refseg.adapters.boxes import Boxes, GroundingDino, Owlv2, PhraseDetector
from refseg.adapters.cached_search import CachedSearch
from refseg.adapters.entries.parts import DEFAULT_MASKER
from refseg.adapters.image_processing import to_batch
from refseg.adapters.local_model import LocalModel
from refseg.adapters.local_parts import local_part
from refseg.array_types import RgbImage
from refseg.finders.box_masks import BoxMasker, ImageMasker, find_masker, mask_drawer
from refseg.finders.finder import Detection, Finder, Search, check_threshold
from refseg.readers.searching import ANYTHING

EVEN_SCORE = 0.25  # score from which on a reader takes an object for there rather than not
MIN_SIDE = 1.0  # of a box, in pixels


class PhraseFinder(Finder):
    """Finds whatever it is asked for.

    Args:
        detector: with its weights.
        threshold: lowest score; that of the detector if not given.
        masker: a name, or a function of image and box.
    """

    open_vocabulary: ClassVar[bool] = True
    classes = ()

    def __init__(
        self, detector: PhraseDetector, threshold: float | None = None, masker: str | BoxMasker = DEFAULT_MASKER
    ):
        self.detector = detector
        self.threshold = detector.threshold if threshold is None else check_threshold(threshold)
        self.masker = find_masker(masker) if isinstance(masker, str) else masker

    @classmethod
    def load(
        cls, threshold: float | None = None, masker: str | BoxMasker = DEFAULT_MASKER, folder: Path | None = None
    ) -> Self:
        """Loads the finder from this machine.

        Args:
            threshold: lowest score; by default that of transformers.
            masker: "sam2", "edgetam", "grabcut", ..., or a function of image and box.
            folder: an own copy of the detector's model.

        Raises:
            MissingFile: if detector or masker are not on this machine; the message names the command that gets them.
            InvalidInput: for an unknown masker, a threshold outside of [0, 1], or damaged files.
        """
        if threshold is not None:
            check_threshold(threshold)
        local = local_part(cls.name, folder)
        found = find_masker(masker) if isinstance(masker, str) else masker  # with its errors, before much is loaded
        return cls(cls.load_detector(local), threshold, found)

    @classmethod
    def load_detector(cls, local: LocalModel) -> PhraseDetector:
        """Loads the detector from its folder."""
        raise NotImplementedError

    @property
    @override
    def networks(self) -> Sequence[nn.Module]:
        return (self.detector, *(self.masker.networks if isinstance(self.masker, ImageMasker) else ()))

    @override
    def find(self, image: RgbImage, threshold: float | None = None) -> list[Detection]:
        """Finds what the detector takes for an object, of any kind."""
        return self.search(image, threshold)((ANYTHING,))

    @override
    def search(self, image: RgbImage, threshold: float | None = None) -> Search:
        return _Search(self, image, self.threshold if threshold is None else check_threshold(threshold))

    def certainty(self, score: float) -> float:
        """Returns a score as a reader takes it; see `comparable_score`."""
        return comparable_score(score, self.detector.threshold)


class _Search(CachedSearch):
    """A search in one image, which is encoded when something is first looked for."""

    def __init__(self, finder: PhraseFinder, image: RgbImage, threshold: float):
        super().__init__()
        self.finder, self.image, self.threshold = finder, image, threshold
        self.draw = mask_drawer(finder.masker, image)

    @cached_property
    def features(self) -> Any:
        """What the detector computes of the image alone."""
        detector = self.finder.detector
        return detector.encode_image(to_batch(self.image, detector.device))

    @override
    def find_new(self, names: Sequence[str]) -> list[list[Detection]]:
        found = self.finder.detector.detect(self.features, names, [0] * len(names))
        return [self._detections(name, boxes) for name, boxes in zip(names, found, strict=True)]

    def _detections(self, name: str, boxes: Boxes) -> list[Detection]:
        height, width = self.image.shape[:2]
        corners = (boxes.places.cpu().double() * torch.tensor([width, height] * 2)).tolist()
        return [
            Detection(
                box_xyxy=(x0, y0, x1, y1),
                class_name=name,
                score=self.finder.certainty(score),
                finder=self.finder.name,
                draw_mask=partial(self.draw, (x0, y0, x1, y1)),
            )
            for (x0, y0, x1, y1), score in zip(corners, boxes.scores.tolist(), strict=True)
            if score >= self.threshold and min(x1 - x0, y1 - y0) >= MIN_SIDE
        ]


class GroundingDinoFinder(PhraseFinder):
    """Grounding DINO; each name costs a call of it."""

    name: ClassVar[str] = "gdino"

    @override
    @classmethod
    def load_detector(cls, local: LocalModel) -> PhraseDetector:
        return GroundingDino.load(local)


class MMGroundingDinoFinder(PhraseFinder):
    """MM-Grounding-DINO; each name costs a call of it."""

    name: ClassVar[str] = "mmgdino"

    @override
    @classmethod
    def load_detector(cls, local: LocalModel) -> PhraseDetector:
        return GroundingDino.load_mm(local)


class Owlv2Finder(PhraseFinder):
    """OWLv2, which encodes an image once for all names."""

    name: ClassVar[str] = "owlv2"

    @override
    @classmethod
    def load_detector(cls, local: LocalModel) -> PhraseDetector:
        return Owlv2.load(local)


def comparable_score(score: float, usual: float) -> float:
    """Returns a score so that those of all detectors mean the same to a reader: EVEN_SCORE at their usual threshold."""
    score = min(max(score, SCORE_MARGIN), 1 - SCORE_MARGIN)
    odds = score / (1 - score) * (1 - usual) / usual * EVEN_SCORE / (1 - EVEN_SCORE)
    return odds / (1 + odds)
