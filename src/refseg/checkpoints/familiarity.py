"""Familiarity: is an image like those that the weights were trained on?

A network that has only seen drawn scenes answers on a photograph too, and is sure of it. The channels of its features
give that away: they are far, in Mahalanobis distance, from where familiar images put them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from refseg.errors import InvalidInput
from refseg.preprocessing.geometry import Geometry

FALSE_ALARMS = 0.005  # share of familiar images that may be called unfamiliar: fewer than this
MARGIN = 1.2  # times the distance that leaves so few out: a few hundred images do not show the farthest
FEWEST = 8  # images that it can be fitted on
_SHRINKAGE = 0.3  # of the covariance towards its diagonal
_FLOOR = 1e-2  # added before the logarithm: a channel may be silent


@dataclass
class Familiarity:
    """Where familiar images lie in feature space, and how far away an image may be.

    Attributes:
        mean: (D,) of their `describe` vectors.
        precision: (D, D) inverse covariance.
        threshold: distance up to which an image is familiar.
        fitted_on: data set, split and amount, for the record.
    """

    mean: Tensor
    precision: Tensor
    threshold: float
    fitted_on: str

    def distance(self, features: Tensor) -> Tensor:
        """Mahalanobis distance (B,) of the images with these feature maps (B, C, h, w)."""
        away = describe(features) - self.mean
        return (away @ self.precision * away).sum(1).clamp(min=0).sqrt()

    def is_familiar(self, features: Tensor) -> Tensor:
        """Which of the images (B,) are like those it was fitted on; False for features that are not finite."""
        return self.distance(features) <= self.threshold


def describe(features: Tensor) -> Tensor:
    """Feature maps (B, C, h, w) as vectors (B, 2 C): logarithms of each channel's mean and deviation over the image.

    The channels are activations after a ReLU; on a logarithmic scale they are close to normally distributed.
    """
    pixels = features.float().flatten(2)
    return torch.cat([pixels.mean(2), pixels.std(2, correction=0)], dim=1).add(_FLOOR).log()


def unpadded(features: Tensor, geometry: Geometry) -> Tensor:
    """The part of feature maps (B, C, h, w) that shows the image and not its padding."""
    height, width = (
        max(1, round(cells * size / padded))
        for cells, size, padded in zip(features.shape[-2:], geometry.resized_hw, geometry.padded_hw, strict=True)
    )
    return features[..., :height, :width]


def fit_familiarity(described: Tensor, fitted_on: str) -> Familiarity:
    """Mean and covariance from every other familiar image, the threshold from those between.

    Args:
        described: (N, D), from `describe`, of familiar images.
        fitted_on: what the images are, for the record.

    Raises:
        InvalidInput: with fewer than `FEWEST` images.
    """
    described = described.double()
    if len(described) < FEWEST:
        raise InvalidInput(f"familiarity needs at least {FEWEST} images, {len(described)} were given; fit it on more")
    seen, unseen = described[0::2], described[1::2]
    covariance = torch.cov(seen.T)
    variance = covariance.diagonal()
    covariance = (1 - _SHRINKAGE) * covariance + torch.diag(_SHRINKAGE * variance + 1e-6 * variance.mean() + 1e-12)
    mean, precision = seen.mean(0).float(), torch.linalg.inv(covariance).float().contiguous()
    away = unseen.float() - mean
    distances = (away @ precision * away).sum(1).clamp(min=0).sqrt().sort().values
    allowed = max(math.ceil(FALSE_ALARMS * len(distances)) - 1, 0)
    return Familiarity(mean, precision, MARGIN * float(distances[-1 - allowed]), fitted_on)
