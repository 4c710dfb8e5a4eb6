"""RegionScorer: SigLIP 2 or CLIP as the judge of what place, size and colours do not tell: verbs, clothes, materials.

SigLIP 2   M. Tschannen et al. "SigLIP 2". https://arxiv.org/abs/2502.14786
CLIP       A. Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.

A crop around each object is compared with "a photo of a dog, sleeping" and "a photo of a dog"; the difference of the
logits is the log odds of "sleeping". How well that tells things apart was not measured here.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from refseg.adapters.local_model import LocalModel
from refseg.adapters.local_parts import local_part
from refseg.array_types import Box, RgbImage
from refseg.readers.execute import RegionScorer as ScoreRegions
from refseg.readers.objects import FoundObject

CROP_MARGIN = 0.1  # on each side, of the box's
MAX_LOG_ODDS = 5.0  # less than the extremes of a place
CROPS_AT_ONCE = 16  # which bounds memory


class RegionScorer(nn.Module):
    """Scores phrases on the objects of an image.

    Args:
        model: of transformers, with image and text features in one space.
        processor: of transformers.
    """

    def __init__(self, model: Any, processor: Any):
        super().__init__()
        self.model, self.processor = model, processor

    @classmethod
    def load(cls, name: str, folder: str | Path | None = None) -> Self:
        """Loads a scorer.

        Args:
            name: "siglip2" or "clip".
            folder: an own copy of the model.

        Raises:
            MissingFile: if it is not on this machine; the message names the command that gets it.
            InvalidInput: if its files are damaged.
        """
        from transformers import AutoProcessor, CLIPModel, SiglipModel

        local: LocalModel = local_part(name, folder)
        model = local.load(SiglipModel if name == "siglip2" else CLIPModel)
        return cls(model, local.load_processor(AutoProcessor))

    def for_image(self, image: RgbImage) -> ScoreRegions:
        """Returns what scores the objects of one image; each object is looked at once, when a phrase is first asked."""
        return partial(self._score, image, {}, {})

    @torch.inference_mode()
    def _score(
        self,
        image: RgbImage,
        seen: dict[Box, Tensor],
        read: dict[str, Tensor],
        phrase: str,
        objects: Sequence[FoundObject],
    ) -> list[float]:
        new = [box for box in dict.fromkeys(thing.box_xyxy for thing in objects) if box not in seen]
        for start in range(0, len(new), CROPS_AT_ONCE):
            some = new[start : start + CROPS_AT_ONCE]
            seen |= zip(some, self._image_features([crop(image, box) for box in some]), strict=True)
        names = [_name(thing) for thing in objects]
        texts = {f"a photo of a {name}{end}" for name in names for end in ("", f", {phrase}")}
        unread = sorted(texts - read.keys())
        if unread:
            read |= zip(unread, self._text_features(unread), strict=True)
        scale = float(self.model.logit_scale.exp())
        scores = []
        for thing, name in zip(objects, names, strict=True):
            with_phrase, without = read[f"a photo of a {name}, {phrase}"], read[f"a photo of a {name}"]
            scores.append(
                min(max(scale * float(seen[thing.box_xyxy] @ (with_phrase - without)), -MAX_LOG_ODDS), MAX_LOG_ODDS)
            )
        return scores

    def _image_features(self, crops: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Returns features (N, D) of length 1."""
        images = [torch.from_numpy(one).permute(2, 0, 1) for one in crops]
        given = self.processor.image_processor(images, input_data_format="channels_first", return_tensors="pt")
        return _unit(self.model.get_image_features(pixel_values=given["pixel_values"].to(self.model.device)))

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        """Returns features (N, D) of length 1; texts are padded to the full length, as SigLIP was trained."""
        limit = self.model.config.text_config.max_position_embeddings
        ids = self.processor.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
        ).to(self.model.device)
        known = {"attention_mask": ids["attention_mask"]} if "attention_mask" in ids else {}
        return _unit(self.model.get_text_features(input_ids=ids["input_ids"], **known))


def crop(image: RgbImage, box_xyxy: Box) -> NDArray[np.uint8]:
    """Returns the part of an image around a box, a pixel at least."""
    (height, width), (x0, y0, x1, y1) = image.shape[:2], box_xyxy
    across, down = CROP_MARGIN * (x1 - x0), CROP_MARGIN * (y1 - y0)
    left, top = min(max(int(x0 - across), 0), width - 1), min(max(int(y0 - down), 0), height - 1)
    part = image[top : max(int(np.ceil(y1 + down)), top + 1), left : max(int(np.ceil(x1 + across)), left + 1)]
    return np.ascontiguousarray(part)


def _name(thing: FoundObject) -> str:
    """Returns the most probable class."""
    return max(thing.classes, key=lambda name: thing.classes[name], default="object")


def _unit(features: Any) -> Tensor:
    pooled: Tensor = features.pooler_output.float()
    return nn.functional.normalize(pooled, dim=-1)
