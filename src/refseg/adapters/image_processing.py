"""Images as the processors of transformers take them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from refseg.array_types import RgbImage


def to_batch(image: RgbImage, device: torch.device) -> Tensor:
    """Returns an image as a batch of one, (1, 3, H, W) of 0 to 255, float32."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(device).float()


def to_uint8(image: Tensor) -> Tensor:
    """Returns images of 0 to 255 in any type as uint8, rounded."""
    return image.round().clamp(0, 255).byte()


def process_images(processor: Any, image: Tensor) -> Any:
    """Returns what the image processor of a processor makes of images (B, 3, H, W) of 0 to 255, such as pixel_values.

    Images are on the device of `image` if the processor keeps them there; move them to the model's.
    """
    return processor.image_processor(list(to_uint8(image)), input_data_format="channels_first", return_tensors="pt")
