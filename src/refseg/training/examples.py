"""Pictures of a few validation expressions: the image, the true mask and the predicted one, side by side."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from refseg.array_types import RgbImage
from refseg.batch import Batch
from refseg.masks.overlay import coloured
from refseg.preprocessing.transform import Preprocessing

COUNT, SIDE = 4, 320  # images, and pixels of their longer side


class Examples:
    """Keeps the first expression of the first images that it sees in a validation.

    Args:
        preprocessing: of the images.
        annotated: which frame of a clip the masks belong to.
        texts: expressions by their id, as far as they are known.

    Attributes:
        pictures: by name, (H, 3 W, 3): image, truth and answer.
    """

    def __init__(self, preprocessing: Preprocessing, annotated: int = 0, texts: Mapping[str, str] | None = None):
        self.preprocessing, self.annotated, self.texts = preprocessing, annotated, texts or {}
        self.pictures: dict[str, RgbImage] = {}

    def see(self, batch: Batch, answers: Tensor) -> None:
        """Takes a batch and its answers (M, H, W) bool."""
        truths, seen = batch.masks(), set()
        for number, image in enumerate(batch.image_of_expression.tolist()):
            if len(self.pictures) < COUNT and image not in seen:
                seen.add(image)
                pixels = batch.image[image]
                pixels = pixels[self.annotated] if pixels.ndim == 4 else pixels
                id = batch.ids[number] if batch.ids else str(len(self.pictures))
                name = f"{id} {self.texts.get(id, '')}".strip().replace("/", " ")
                self.pictures[f"examples/{name}"] = self._draw(pixels, truths[number], answers[number])

    def _draw(self, pixels: Tensor, truth: Tensor, answer: Tensor) -> RgbImage:
        both = self.preprocessing.mean, self.preprocessing.std
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in both)
        image = (pixels * std + mean).clamp(0, 255)
        scale = min(1.0, SIDE / max(image.shape[1:]))
        height, width = (max(1, round(scale * side)) for side in image.shape[1:])
        image = F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
        plain: NDArray[np.uint8] = image.round().byte().permute(1, 2, 0).cpu().numpy()
        masks = torch.stack([truth, answer])[None].float()
        of_truth, of_answer = F.interpolate(masks, (height, width))[0].bool().cpu().numpy()
        return np.concatenate([plain, coloured(plain, [of_truth]), coloured(plain, [of_answer])], axis=1)
