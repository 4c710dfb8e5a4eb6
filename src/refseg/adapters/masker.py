"""Maskers of boxes: the image is encoded once, then each box gives a mask.

SAM 2, 2.1  N. Ravi et al. "SAM 2: Segment Anything in Images and Videos". https://arxiv.org/abs/2408.00714
EdgeTAM     C. Zhou et al. "EdgeTAM: On-Device Track Anything Model". https://arxiv.org/abs/2501.07256
SAM         A. Kirillov et al. "Segment Anything". ICCV 2023. https://arxiv.org/abs/2304.02643
SAM-HQ      L. Ke et al. "Segment Anything in High Quality". NeurIPS 2023. https://arxiv.org/abs/2306.01567

Models and image processors are those of transformers.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from refseg.adapters.image_processing import process_images
from refseg.adapters.local_model import LocalModel

BOXES_AT_ONCE, IMAGES_AT_ONCE = 32, 4  # which bounds memory


class EncodedImages(NamedTuple):
    """Encoded images of one size.

    Attributes:
        levels: maps (B, ...), the coarsest last.
        size_hw: height and width of the image within the model's input, in its pixels.
    """

    levels: Sequence[Tensor]
    size_hw: tuple[int, int]


class Masker(nn.Module, ABC):
    """Draws the masks of boxes.

    Attributes:
        model: of transformers.
        processor: of transformers; its image processor is used.
    """

    def __init__(self, model: Any, processor: Any):
        super().__init__()
        self.model, self.processor = model, processor

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        device: torch.device = self.model.device
        return device

    def encode_image(self, image: Tensor) -> EncodedImages:
        """Encodes images (B, 3, H, W) of 0 to 255."""
        parts = [self._encode(some) for some in image.split(IMAGES_AT_ONCE)]
        return EncodedImages(
            [torch.cat(level) for level in zip(*(part.levels for part in parts), strict=True)], parts[0].size_hw
        )

    @abstractmethod
    def _encode(self, image: Tensor) -> EncodedImages:
        """Encodes a few images."""

    @abstractmethod
    def _masks(self, seen: EncodedImages, image: int, boxes: Tensor) -> Tensor:
        """Returns mask logits (N, h, w) of the whole image for boxes (N, 4) in pixels of the model's input."""

    def draw(self, seen: EncodedImages, image: int, places: Tensor) -> Tensor:
        """Returns mask logits (N, h, w) for N boxes in an image; without boxes the model is not called.

        Args:
            seen: of `encode_image`.
            image: its index among the encoded images.
            places: (N, 4), left, top, right, bottom in parts of the image's sides.
        """
        height, width = seen.size_hw
        boxes = places.to(self.device, torch.float32) * torch.tensor([width, height] * 2, device=self.device)
        drawn = [self._masks(seen, image, some) for some in boxes.split(BOXES_AT_ONCE)] if len(boxes) else []
        return torch.cat(drawn).float() if drawn else torch.zeros(0, 1, 1, device=self.device)


class Sam2Masker(Masker):
    """SAM 2, SAM 2.1 and EdgeTAM: images are stretched to a square."""

    @override
    def _encode(self, image: Tensor) -> EncodedImages:
        pixels = process_images(self.processor, image)["pixel_values"].to(self.device)
        return EncodedImages(self.model.get_image_embeddings(pixels), (pixels.shape[-2], pixels.shape[-1]))

    @override
    def _masks(self, seen: EncodedImages, image: int, boxes: Tensor) -> Tensor:
        embeddings = [level[image : image + 1] for level in seen.levels]
        out = self.model(image_embeddings=embeddings, input_boxes=boxes[None], multimask_output=False)
        masks: Tensor = out.pred_masks[0, :, 0]
        return masks


class SamMasker(Masker):
    """SAM: images keep their aspect ratio and are padded to a square at the right and below."""

    @override
    def _encode(self, image: Tensor) -> EncodedImages:
        seen = process_images(self.processor, image)
        height, width = (int(side) for side in seen["reshaped_input_sizes"][0])
        levels = self._levels(self.model.get_image_embeddings(seen["pixel_values"].to(self.device)))
        return EncodedImages(levels, (height, width))

    @override
    def _masks(self, seen: EncodedImages, image: int, boxes: Tensor) -> Tensor:
        embeddings = self._embeddings([level[image : image + 1] for level in seen.levels])
        masks = self.model(**embeddings, input_boxes=boxes[None], multimask_output=False).pred_masks[0]  # (N, 1, h, w)
        pad = self.processor.image_processor.pad_size
        padded = F.interpolate(masks.float(), (pad["height"], pad["width"]), mode="bilinear", align_corners=False)
        height, width = seen.size_hw
        return padded[:, 0, :height, :width]

    def _levels(self, embeddings: Any) -> list[Tensor]:
        """Returns what the model gave as one list, the last embedding at the end."""
        return [embeddings]

    def _embeddings(self, levels: list[Tensor]) -> dict[str, Any]:
        """Returns the arguments of the model, the inverse of `_levels`."""
        return {"image_embeddings": levels[-1]}


class SamHQMasker(SamMasker):
    """SAM-HQ, which reads the features of its global blocks too."""

    @override
    def _levels(self, embeddings: Any) -> list[Tensor]:
        last, inner = embeddings
        return [*inner, last]

    @override
    def _embeddings(self, levels: list[Tensor]) -> dict[str, Any]:
        return {"image_embeddings": levels[-1], "intermediate_embeddings": levels[:-1]}


def load_masker(local: LocalModel, name: str) -> Masker:
    """Loads a masker.

    Args:
        local: its folder.
        name: one of `entries.maskers.MASKERS`.

    Raises:
        InvalidInput: if the files are damaged, or those of another model.
    """
    import transformers as library

    videos = ("sam2_video", "edgetam_video")  # types of folders that hold the video model too
    if name == "sam-hq":
        return SamHQMasker(local.load(library.SamHQModel), local.load_processor(library.SamHQProcessor))
    if name.startswith("sam-"):
        return SamMasker(local.load(library.SamModel), local.load_processor(library.SamProcessor))
    model = library.EdgeTamModel if name == "edgetam" else library.Sam2Model
    return Sam2Masker(local.load(model, types=videos), local.load_processor(library.Sam2Processor))
