"""DenseCRF: a network's mask drawn to the edges of the image, a step after the network that needs no training.

Source     P. Krähenbühl, V. Koltun. "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials".
           NeurIPS 2011. https://arxiv.org/abs/1210.5644
Settings   Those of CMPC (S. Huang et al., CVPR 2020), for images of 320 x 320 as its network sees them: it works on the
           image at the size that the network sees too, and the result is enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from refseg.config import Config
from refseg.lazy import LazyModule
from refseg.optional import import_optional
from refseg.preprocessing.restore import resize_logits

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

MIN_PROBABILITY = 1e-8  # probability of either class that enters


class DenseCRF(Config):
    """Every pixel agrees with all others, the more the nearer they are, and the more alike in colour.

    Attributes:
        near: distance in pixels over which neighbours agree whatever their colours are, and near_weight, how much.
        far, colour: distance in pixels, and in colours of 0 to 255, over which alike pixels agree, and alike_weight.
        rounds: of mean-field inference.
    """

    near: float = Field(3.0, gt=0)
    near_weight: float = Field(3.0, ge=0)
    far: float = Field(20.0, gt=0)
    colour: float = Field(3.0, gt=0)
    alike_weight: float = Field(10.0, ge=0)
    rounds: int = Field(5, ge=1)

    def __call__(self, probability: NDArray[np.floating], image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probability (H, W) of the referent, of what a network says of it (H, W) and the image (H, W, 3), RGB.

        Raises:
            InvalidInput: if the library is not installed.
        """
        height, width = probability.shape
        referent = np.clip(probability.astype(np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        field = library().DenseCRF2D(width, height, 2)
        energy = -np.log(np.stack([1 - referent, referent]))
        field.setUnaryEnergy(np.ascontiguousarray(energy.reshape(2, -1), np.float32))
        field.addPairwiseGaussian(sxy=self.near, compat=self.near_weight)
        pixels = np.ascontiguousarray(image)
        field.addPairwiseBilateral(sxy=self.far, srgb=self.colour, rgbim=pixels, compat=self.alike_weight)
        refined: NDArray[np.float32] = np.array(field.inference(self.rounds), np.float32)[1].reshape(height, width)
        return refined

    def refine(self, logits: Tensor, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Refines mask logits (M, 1, h, w) to (M, 1, H, W) at the size of the images; empty masks stay empty.

        Args:
            logits: above 0 on the referent.
            images: (H, W, 3) RGB for each of the M, as the network saw it.
        """
        with torch.inference_mode():
            refined = resize_logits(logits, images[0].shape[:2]).to(torch.float64, copy=True)
            for one, image in zip(refined[:, 0], images, strict=True):
                if (one > 0).any() and not one.isnan().any():
                    one.copy_(
                        torch.from_numpy(self(one.sigmoid().cpu().numpy(), image)).double().logit(MIN_PROBABILITY)
                    )
            return refined.float()


def library() -> Any:
    """Imports the library that computes it.

    Raises:
        InvalidInput: if it is not installed.
    """
    need = "DenseCRF needs pydensecrf2"
    return import_optional("pydensecrf.densecrf", need, "crf", remark=" (a C++ compiler is needed)")
