"""Familiarity: detection of images unlike those of the training, by the Mahalanobis distance of features.

A network that was trained on drawn scenes alone is confident on photographs as well, but its features are far from
those of familiar images.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from refseg.checkpoints.schema import FAMILIARITY_FLOOR
from refseg.errors import InvalidInput
from refseg.preprocessing.geometry import Geometry

FALSE_ALARMS = 0.005  # bound on the share of familiar images that are taken for unfamiliar
MARGIN = 1.2  # factor on that distance, since a few hundred images do not include the farthest
MIN_IMAGES = 8  # for a fit
_SHRINKAGE = 0.3  # of the covariance towards its diagonal


@dataclass
class Familiarity:
    """Gaussian of familiar images in feature space, with a threshold of the distance.

    Attributes:
        mean: (D,), of their `describe` vectors.
        precision: (D, D) inverse covariance.
        threshold: largest distance of a familiar image.
        fitted_on: data set, split and number of images.
    """

    mean: Tensor
    precision: Tensor
    threshold: float
    fitted_on: str

    def distance(self, features: Tensor) -> Tensor:
        """Returns the Mahalanobis distances (B,) of images with feature maps (B, C, h, w)."""
        away = describe(features) - self.mean
        return (away @ self.precision * away).sum(1).clamp(min=0).sqrt()

    def is_familiar(self, features: Tensor) -> Tensor:
        """Returns whether images are familiar, (B,) bool; False for features that are not finite."""
        return self.distance(features) <= self.threshold


def describe(features: Tensor) -> Tensor:
    """Summarises feature maps (B, C, h, w) by the logarithms of each channel's mean and deviation, (B, 2 C).

    Channels after a ReLU are close to normally distributed on a logarithmic scale.
    """
    pixels = features.float().flatten(2)
    return torch.cat([pixels.mean(2), pixels.std(2, correction=0)], dim=1).add(FAMILIARITY_FLOOR).log()


def unpadded(features: Tensor, geometry: Geometry) -> Tensor:
    """Crops the padding from feature maps (B, C, h, w)."""
    height, width = (
        max(1, round(cells * size / padded))
        for cells, size, padded in zip(features.shape[-2:], geometry.resized_hw, geometry.padded_hw, strict=True)
    )
    return features[..., :height, :width]


def fit_familiarity(described: Tensor, fitted_on: str) -> Familiarity:
    """Fits mean and covariance to the first half of the familiar images, and the threshold to the rest.

    Args:
        described: (N, D), from `describe`, of familiar images; those that are alike, frames of a clip, in a row.
        fitted_on: description of the images.

    Raises:
        InvalidInput: with fewer than `MIN_IMAGES` images.
    """
    described = described.double()
    if len(described) < MIN_IMAGES:
        raise InvalidInput(
            f"familiarity needs at least {MIN_IMAGES} images, {len(described)} were given; fit it on more"
        )
    seen, unseen = described.tensor_split(2)
    covariance = torch.cov(seen.T)
    variance = covariance.diagonal()
    covariance = (1 - _SHRINKAGE) * covariance + torch.diag(_SHRINKAGE * variance + 1e-6 * variance.mean() + 1e-12)
    mean, precision = seen.mean(0).float(), torch.linalg.inv(covariance).float().contiguous()
    away = unseen.float() - mean
    distances = (away @ precision * away).sum(1).clamp(min=0).sqrt().sort().values
    allowed = max(math.ceil(FALSE_ALARMS * len(distances)) - 1, 0)
    return Familiarity(mean, precision, MARGIN * float(distances[-1 - allowed]), fitted_on)
