"""DetectThenSegment: a detector finds the boxes of a sentence, a masker draws them.

Read with  `encode_image` (detector and masker, each what needs no words), `fuse` (boxes, then their masks).
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from refseg.adapters.adapter import Adapter
from refseg.adapters.boxes import BoxDetector, Boxes, GroundingDino, Owlv2
from refseg.adapters.entries import florence2_sam2, gdino_sam2, mmgdino_sam2, owlv2_sam2, qwen3vl_sam2
from refseg.adapters.entries.boxes import BoxesConfig
from refseg.adapters.florence2_boxes import Florence2Boxes
from refseg.adapters.local_model import LocalModel
from refseg.adapters.masker import EncodedImages, load_masker
from refseg.adapters.vlm_boxes import Qwen3VLBoxes
from refseg.networks.network import Candidates, Output

MOST_CANDIDATES = 20  # boxes of an expression that are kept, unless more are meant


class DetectThenSegment(Adapter):
    """A detector and a masker: the objects are the boxes above the threshold, the best one at least."""

    expressions_at_once = 8
    config: BoxesConfig

    def __init__(self, config: BoxesConfig, models: Mapping[str, LocalModel]):
        super().__init__(config, models)
        self.detector = self.load_detector(models["detector"])
        self.masker = load_masker(models["masker"], config.masker)

    @abstractmethod
    def load_detector(self, local: LocalModel) -> BoxDetector:
        """Loads the detector from its folder."""

    @property
    @override
    def most_pieces(self) -> int | None:
        return self.detector.most_pieces

    @override
    def count_pieces(self, expression: str) -> int:
        return self.detector.count_pieces(expression)

    @override
    def encode_image(self, image: Tensor) -> tuple[Any, EncodedImages]:
        """Returns what detector and masker see in images of one size."""
        return self.detector.encode_image(image), self.masker.encode_image(image)

    @override
    def fuse(
        self, image_features: tuple[Any, EncodedImages], words: Tensor, word_mask: Tensor, image_of_expression: Tensor
    ) -> Output:
        seen, masked = image_features
        images = image_of_expression.tolist()
        boxes = self.detector.detect(seen, self.expressions(words, word_mask), images)
        found = [self._meant(some) for some in boxes]
        best = torch.stack(
            [boxes.scores.amax() if len(boxes.scores) else words.new_zeros(()).float() for boxes in found]
        )
        exists = self.certainty(best, self.config.box_threshold)
        output = self.join(self._draw(masked, [some.places for some in found], images), exists)
        output.candidates = [_candidates(some, len(meant.scores)) for some, meant in zip(boxes, found, strict=True)]
        return output

    def _meant(self, boxes: Boxes) -> Boxes:
        """Returns the boxes that are meant if anything is."""
        if self.config.answer == "best" or not len(boxes.scores):
            return Boxes(boxes.places[:1], boxes.scores[:1])
        kept = boxes.scores >= boxes.scores.amax().clamp(max=self.config.box_threshold)
        return Boxes(boxes.places[kept], boxes.scores[kept])

    def _draw(self, masked: EncodedImages, places: Sequence[Tensor], images: Sequence[int]) -> list[Tensor]:
        """Returns the mask logits (N, h, w) of the boxes (N, 4) of each expression; an image's are drawn together."""
        drawn = list[Tensor]([torch.zeros(0, 1, 1)]) * len(places)
        for image in set(images):
            mine = [m for m, one in enumerate(images) if one == image]
            masks = self.masker.draw(masked, image, torch.cat([places[m] for m in mine]))
            for m, some in zip(mine, masks.split([len(places[m]) for m in mine]), strict=True):
                drawn[m] = some
        height, width = max((tuple(masks.shape[1:]) for masks in drawn), default=(1, 1))
        return [masks if len(masks) else masks.new_zeros(0, height, width) for masks in drawn]


def _candidates(boxes: Boxes, meant: int) -> Candidates:
    """Returns the best boxes, of which the first ones are meant."""
    count = max(MOST_CANDIDATES, meant)
    numbers = torch.arange(len(boxes.scores[:count]), device=boxes.scores.device)
    return Candidates(boxes.places[:count], boxes.scores[:count], numbers < meant)


class GroundingDinoSam2(DetectThenSegment):
    """Grounding DINO and SAM 2."""

    entry = gdino_sam2.ENTRY
    idea = "A detector that matches the words of a phrase with the places of an image, and SAM 2 for the boxes"

    @override
    def load_detector(self, local: LocalModel) -> BoxDetector:
        return GroundingDino.load(local)


class MMGroundingDinoSam2(DetectThenSegment):
    """MM-Grounding-DINO and SAM 2."""

    entry = mmgdino_sam2.ENTRY
    idea = "Grounding DINO trained on much more data, and SAM 2 for the boxes"

    @override
    def load_detector(self, local: LocalModel) -> BoxDetector:
        return GroundingDino.load_mm(local)


class Owlv2Sam2(DetectThenSegment):
    """OWLv2 and SAM 2."""

    entry = owlv2_sam2.ENTRY
    idea = "Each patch of an image proposes a box, which the vector of a phrase scores; SAM 2 for the boxes"

    @override
    def load_detector(self, local: LocalModel) -> BoxDetector:
        return Owlv2.load(local)


class Florence2Sam2(DetectThenSegment):
    """Florence-2 and SAM 2."""

    entry = florence2_sam2.ENTRY
    idea = "A sequence-to-sequence model writes the boxes of an expression, and SAM 2 for the boxes"
    config: florence2_sam2.Florence2Sam2Config

    @override
    def load_detector(self, local: LocalModel) -> BoxDetector:
        return Florence2Boxes(local, self.config.beams, self.config.max_pieces, self.config.batch)


class Qwen3VLSam2(DetectThenSegment):
    """Qwen3-VL and SAM 2."""

    entry = qwen3vl_sam2.ENTRY
    idea = "A language model that sees images writes the boxes of a sentence, and SAM 2 for the boxes"
    config: qwen3vl_sam2.Qwen3VLSam2Config

    @override
    def load_detector(self, local: LocalModel) -> BoxDetector:
        return Qwen3VLBoxes(local, self.config.max_pieces, self.config.dtype)
