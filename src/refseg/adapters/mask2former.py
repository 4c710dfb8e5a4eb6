"""mask2former: Mask2Former as a finder of the classes that it was trained on, COCO's 80 by default, with masks.

Paper      B. Cheng et al. "Masked-attention Mask Transformer for Universal Image Segmentation". CVPR 2022.
           https://arxiv.org/abs/2112.01527
Departs    Masks are thresholded at the image's size, where transformers does it at 384 x 384.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from refseg.adapters.local_parts import local_part
from refseg.array_types import Mask, RgbImage
from refseg.finders.finder import Detection, Finder, check_no_settings, check_threshold, known_mask
from refseg.masks.boxes import mask_box

MOST_OBJECTS = 100


class Mask2FormerFinder(Finder):
    """Finds objects of known classes with their masks.

    Args:
        model: with its weights.
        processor: its image processor.
        threshold: lowest score.
    """

    name: ClassVar[str] = "mask2former"
    finds_masks = True

    def __init__(self, model: Any, processor: Any, threshold: float = 0.5):
        self.model, self.processor, self.threshold = model, processor, threshold
        self.classes = tuple(str(name).lower() for _, name in sorted(model.config.id2label.items()))

    @classmethod
    def load(cls, threshold: float = 0.5, folder: Path | None = None, **others: Any) -> Self:
        """Loads the finder from this machine.

        Args:
            threshold: lowest score; the default is that of transformers.
            folder: an own copy of the model.
            others: refused.

        Raises:
            MissingFile: if it is not on this machine; the message names the command that gets it.
            InvalidInput: for a masker, a threshold outside of [0, 1], or damaged files.
        """
        from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerImageProcessor

        check_no_settings(cls.name, others)
        check_threshold(threshold)
        local = local_part(cls.name, folder)
        processor = local.load_processor(Mask2FormerImageProcessor)
        return cls(local.load(Mask2FormerForUniversalSegmentation), processor, threshold)

    @property
    @override
    def networks(self) -> Sequence[nn.Module]:
        return (self.model,)

    @override
    @torch.inference_mode()
    def find(self, image: RgbImage, threshold: float | None = None) -> list[Detection]:
        threshold = self.threshold if threshold is None else check_threshold(threshold)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
        given = self.processor([pixels], input_data_format="channels_first", return_tensors="pt").to(self.model.device)
        out = self.model(**given)
        inside = given["pixel_mask"][0].bool()  # without padding
        rows, columns = int(inside.any(1).sum()), int(inside.any(0).sum())
        chances = out.class_queries_logits[0].float().softmax(-1)[:, :-1]  # the last one is "nothing"
        return list(
            self._detections(
                out.masks_queries_logits[0].float(), chances, (rows, columns), tuple(inside.shape), image, threshold
            )
        )

    def _detections(
        self,
        logits: Tensor,
        chances: Tensor,
        inside_hw: tuple[int, int],
        padded_hw: tuple[int, ...],
        image: RgbImage,
        threshold: float,
    ) -> Iterator[Detection]:
        """Yields the objects of mask logits (Q, h, w) and probabilities (Q, classes), the highest score first.

        A score is the probability of the class times the mean of the mask's own.
        """
        sure = logits.sigmoid()
        sureness = (sure * (logits > 0)).sum((1, 2)) / (logits > 0).sum((1, 2)).clamp(min=1)
        scores = chances * sureness[:, None]
        best = scores.flatten().argsort(descending=True, stable=True)[:MOST_OBJECTS]
        masks: dict[int, tuple[Mask, tuple[int, int, int, int] | None]] = {}
        for index in best[scores.flatten()[best] >= threshold].tolist():
            query, label = divmod(index, scores.shape[1])
            if query not in masks:
                padded = F.interpolate(logits[None, query : query + 1], padded_hw, mode="bilinear")
                whole = F.interpolate(padded[..., : inside_hw[0], : inside_hw[1]], image.shape[:2], mode="bilinear")
                mask: Mask = whole[0, 0].cpu().numpy() > 0
                masks[query] = mask, mask_box(mask)
            mask, box = masks[query]
            if box is not None:
                score = float(scores[query, label])
                yield Detection(box, self.classes[label], score, self.name, known_mask(mask))
