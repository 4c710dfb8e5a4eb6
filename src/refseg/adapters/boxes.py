"""Detectors of phrases: an image and a phrase to boxes, each with a score.

Grounding DINO   S. Liu et al. "Grounding DINO". ECCV 2024. https://arxiv.org/abs/2303.05499. MM-Grounding-DINO and
                 LLMDet are other weights of the same network. Words enter the encoder: each phrase costs all of it.
OWLv2            M. Minderer et al. "Scaling Open-Vocabulary Object Detection". NeurIPS 2023.
                 https://arxiv.org/abs/2306.09683. The image is encoded once; a phrase costs its text encoder.

Models and image processors are those of transformers. Phrases are made into ids here, since a phrase must end in a full
stop of its own (Grounding DINO) or be padded to its full length (OWLv2), and since their tokenizers would keep settings
of one call for the next one, which other threads may make.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from refseg.adapters.image_processing import process_images
from refseg.adapters.local_model import LocalModel
from refseg.finders.overlaps import suppress_overlaps

IMAGES_AT_ONCE = 4  # that are encoded together, which bounds memory
MOST_BOXES = 100  # of a phrase
MAX_IOU = 0.7  # of two boxes of a phrase; of more, the worse one is the same object
MIN_SIDE = 1e-3  # side of a box in parts of the image's


class Boxes(NamedTuple):
    """Boxes of one phrase in one image, the best first.

    Attributes:
        places: (N, 4), left, top, right, bottom in parts of the image's sides, within the image.
        scores: (N,), in [0, 1].
    """

    places: Tensor
    scores: Tensor


class BoxDetector(nn.Module, ABC):
    """Finds the boxes of what a phrase or sentence names."""

    @property
    @abstractmethod
    def most_pieces(self) -> int | None:
        """Pieces of a phrase that are read, the special ones included; None if there is no limit to speak of."""

    @abstractmethod
    def count_pieces(self, phrase: str) -> int:
        """Counts the pieces of a whole phrase, the special ones included."""

    @abstractmethod
    def encode_image(self, image: Tensor) -> Any:
        """Computes what depends on images (B, 3, H, W) of 0 to 255 alone."""

    @abstractmethod
    def detect(self, seen: Any, phrases: Sequence[str], image_of_phrase: Sequence[int]) -> list[Boxes]:
        """Finds the boxes of M phrases; those of one do not depend on the others.

        Args:
            seen: of `encode_image`.
            phrases: M phrases.
            image_of_phrase: the index of the image that each is about.

        Returns:
            all boxes of each, however low their score, without those that overlap a better one.
        """


class PhraseDetector(BoxDetector):
    """A detector of transformers that scores boxes by a phrase.

    Attributes:
        model: of transformers.
        processor: of transformers; its image processor is used, and its tokenizer's ids.
        threshold: lowest score of a box that counts, transformers' own default.
        at_once: phrases that are answered at once, which bounds memory.
    """

    threshold: ClassVar[float]
    at_once: ClassVar[int]
    _special: ClassVar[int]  # ids around those of a phrase

    def __init__(self, model: Any, processor: Any):
        super().__init__()
        self.model, self.processor = model, processor
        self._raw_ids(
            "a"
        )  # takes off padding and truncation that a tokenizer's file asks for, before there are threads

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        device: torch.device = self.model.device
        return device

    @property
    @abstractmethod
    def longest(self) -> int:
        """Number of ids of a phrase that are read, the special ones included."""

    @abstractmethod
    def ids(self, phrase: str) -> list[int]:
        """Returns the ids of a phrase as the model reads it, at most `longest`."""

    @abstractmethod
    def _detect(self, seen: Any, ids: Sequence[Sequence[int]], images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns boxes (M, Q, 4), centre and size in parts of the image's sides, and their scores (M, Q)."""

    @property
    @override
    def most_pieces(self) -> int:
        return self.longest

    @override
    def count_pieces(self, phrase: str) -> int:
        return len(self._raw_ids(phrase)) + self._special

    @override
    def detect(self, seen: Any, phrases: Sequence[str], image_of_phrase: Sequence[int]) -> list[Boxes]:
        asked = list(dict.fromkeys(zip(phrases, image_of_phrase, strict=True)))
        found: dict[tuple[str, int], Boxes] = {}
        for start in range(0, len(asked), self.at_once):
            some = asked[start : start + self.at_once]
            images = torch.tensor([image for _, image in some], device=self.device)
            places, scores = self._detect(seen, [self.ids(phrase) for phrase, _ in some], images)
            for one, place, score in zip(some, places, scores, strict=True):
                found[one] = best_boxes(place, score)
        return [found[one] for one in zip(phrases, image_of_phrase, strict=True)]

    def _raw_ids(self, phrase: str) -> list[int]:
        ids: list[int] = self.processor.tokenizer(self.written(phrase), add_special_tokens=False)["input_ids"]
        return ids

    def written(self, phrase: str) -> str:
        """Returns the phrase as it is given to the tokenizer."""
        return " ".join(phrase.split())

    def _padded(self, ids: Sequence[Sequence[int]], length: int) -> tuple[Tensor, Tensor]:
        """Returns ids (M, length), padded, and where they are (M, length), as 0 and 1."""
        rows = torch.full((len(ids), length), self.processor.tokenizer.pad_token_id or 0, dtype=torch.int64)
        known = torch.zeros_like(rows)
        for row, where, one in zip(rows, known, ids, strict=True):
            row[: len(one)] = torch.tensor(one)
            where[: len(one)] = 1
        return rows.to(self.device), known.to(self.device)


class GroundingDino(PhraseDetector):
    """Grounding DINO and MM-Grounding-DINO; only images of one size may be in one call, which `Network` promises."""

    threshold = 0.25
    at_once = 4
    _special = 3  # [CLS], the full stop, [SEP]

    @classmethod
    def load(cls, local: LocalModel) -> Self:
        """Loads Grounding DINO from its folder; errors as of `LocalModel.load`."""
        from transformers import GroundingDinoForObjectDetection, GroundingDinoProcessor

        return cls(local.load(GroundingDinoForObjectDetection), local.load_processor(GroundingDinoProcessor))

    @classmethod
    def load_mm(cls, local: LocalModel) -> Self:
        """Loads MM-Grounding-DINO from its folder; errors as of `LocalModel.load`."""
        from transformers import GroundingDinoProcessor, MMGroundingDinoForObjectDetection

        return cls(local.load(MMGroundingDinoForObjectDetection), local.load_processor(GroundingDinoProcessor))

    @property
    @override
    def longest(self) -> int:
        length: int = self.model.config.max_text_len
        return length

    @override
    def encode_image(self, image: Tensor) -> Any:
        return process_images(self.processor, image)

    @override
    def written(self, phrase: str) -> str:
        """Lower case without the stops that would part the phrase in two."""
        return " ".join(re.sub(r"[.?]", " ", phrase.lower()).split())

    @override
    def ids(self, phrase: str) -> list[int]:
        """Returns [CLS] phrase . [SEP]: without its full stop, the last words would not attend to each other."""
        tokenizer = self.processor.tokenizer
        stop = tokenizer.convert_tokens_to_ids(".")
        read = self._raw_ids(phrase)[: self.longest - self._special]
        return [tokenizer.cls_token_id, *read, stop, tokenizer.sep_token_id]

    @override
    def _detect(self, seen: Any, ids: Sequence[Sequence[int]], images: Tensor) -> tuple[Tensor, Tensor]:
        tokens, known = self._padded(ids, max(map(len, ids)))
        out = self.model(
            pixel_values=seen["pixel_values"].to(images.device)[images],
            pixel_mask=seen["pixel_mask"].to(images.device)[images],
            input_ids=tokens,
            attention_mask=known,
            token_type_ids=torch.zeros_like(tokens),
        )
        return out.pred_boxes, out.logits.float().sigmoid().amax(-1)  # of the whole phrase: its best piece


class Owlv2(PhraseDetector):
    """OWLv2."""

    threshold = 0.1
    at_once = 64
    _special = 2

    @classmethod
    def load(cls, local: LocalModel) -> Self:
        """Loads OWLv2 from its folder; errors as of `LocalModel.load`."""
        from transformers import Owlv2ForObjectDetection, Owlv2Processor

        return cls(local.load(Owlv2ForObjectDetection), local.load_processor(Owlv2Processor))

    @property
    @override
    def longest(self) -> int:
        length: int = self.model.config.text_config.max_position_embeddings
        return length

    @override
    def encode_image(self, image: Tensor) -> Any:
        """Returns patch features (B, P, D), and the boxes (B, P, 4) of the patches in parts of the image's sides."""
        features, boxes = zip(*map(self._encode, image.split(IMAGES_AT_ONCE)), strict=True)
        return torch.cat(features), torch.cat(boxes)

    def _encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        model, (height, width) = self.model, image.shape[-2:]
        pixels = process_images(self.processor, image)
        grid, _ = model.image_embedder(pixel_values=pixels["pixel_values"].to(model.device))
        features = grid.flatten(1, 2)
        boxes = model.box_predictor(features, grid)  # of the square that the image is padded to
        scale = [max(height, width) / width, max(height, width) / height] * 2
        return features, boxes * boxes.new_tensor(scale)

    @override
    def ids(self, phrase: str) -> list[int]:
        tokenizer = self.processor.tokenizer
        read = self._raw_ids(phrase)[: self.longest - self._special]
        return [tokenizer.bos_token_id, *read, tokenizer.eos_token_id]

    @override
    def _detect(self, seen: Any, ids: Sequence[Sequence[int]], images: Tensor) -> tuple[Tensor, Tensor]:
        features, boxes = seen
        tokens, known = self._padded(ids, self.longest)
        queries = self.model.owlv2.get_text_features(input_ids=tokens, attention_mask=known).pooler_output  # (M, D)
        scores = features.new_empty(len(ids), features.shape[1], dtype=torch.float32)
        for image in images.unique().tolist():  # all phrases of an image at once
            mine = images == image
            logits, _ = self.model.class_predictor(features[image : image + 1], queries[mine][None])
            scores[mine] = logits[0].T.float().sigmoid()
        return boxes[images], scores


def best_boxes(places: Tensor, scores: Tensor) -> Boxes:
    """Returns the best of boxes (Q, 4), centre and size in parts of the image, that lie in the image.

    Of those that overlap, the best is kept; there may be none.
    """
    (x, y), (width, height) = places.float()[:, :2].T, places.float()[:, 2:].T
    return kept_boxes(torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], -1), scores)


def kept_boxes(corners: Tensor, scores: Tensor) -> Boxes:
    """Returns those of `best_boxes`, of boxes (Q, 4) given as left, top, right, bottom in parts of the image."""
    corners, scores = corners.float().clamp(0, 1), scores.float()
    inside = ((corners[:, 2:] - corners[:, :2]) >= MIN_SIDE).all(-1) & scores.isfinite()
    corners, scores = corners[inside], scores[inside]
    order = scores.argsort(descending=True, stable=True)[:MOST_BOXES]
    corners, scores = corners[order], scores[order]
    one_class = np.zeros(len(order), np.int64)
    kept = torch.from_numpy(suppress_overlaps(corners.detach().cpu().double().numpy(), one_class, MAX_IOU)).to(
        corners.device
    )
    return Boxes(corners[kept], scores[kept])
