"""Calibration of the existence logit: temperature, and the threshold for a mask."""

import math

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from refseg.config import Config
from refseg.errors import InvalidInput

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.05, 20.0


class Calibration(Config):
    """Interpretation of the existence logit z: probability = sigmoid(z / temperature), with a mask above the threshold.

    Attributes:
        temperature: above 1 if the network is overconfident.
        exists_threshold: probability above which an expression is predicted to have a referent.
        fitted_on: data set, split and number of images.
    """

    temperature: float = Field(default=1.0, gt=0)
    exists_threshold: float = Field(default=0.5, gt=0, lt=1)
    fitted_on: str = ""

    def existence_logit(self, probability: float) -> float:
        """Returns the existence logit of a probability in (0, 1).

        >>> Calibration(temperature=2.0).existence_logit(0.5)
        0.0
        """
        return self.temperature * math.log(probability / (1 - probability))


def fit_calibration(exists: ArrayLike, has_target: ArrayLike, ious: ArrayLike, fitted_on: str) -> Calibration:
    """Fits temperature and threshold to N expressions outside of the training data.

    Args:
        exists: (N,) existence logits.
        has_target: (N,) bool, whether the expression has a referent.
        ious: (N,) IoU of the masks if existence were certain; 1 for an empty one where there is no referent.
        fitted_on: description of the expressions.

    Raises:
        InvalidInput: unless some expressions have a target and some have none.
    """
    exists, has_target = np.asarray(exists, np.float64), np.asarray(has_target, bool)
    if has_target.all() or not has_target.any():
        raise InvalidInput(
            f"calibration needs expressions with and without a target, here {int(has_target.sum())} of "
            f"{len(has_target)} have one; calibrate on more scenes"
        )
    temperature = fit_temperature(exists, has_target)
    threshold_logit = fit_threshold_logit(exists, has_target, ious)
    probability = 1 / (1 + math.exp(-threshold_logit / temperature))
    return Calibration(
        temperature=temperature, exists_threshold=min(max(probability, 1e-6), 1 - 1e-6), fitted_on=fitted_on
    )


def fit_temperature(exists: ArrayLike, has_target: ArrayLike) -> float:
    """Fits the temperature, from 0.05 to 20, of the largest likelihood of sigmoid(exists / temperature).

    >>> round(fit_temperature([-4, -4, -4, 4, 4, 4, 4, -4], [0, 0, 0, 1, 1, 1, 0, 1]), 2)  # 6 of 8 are right
    3.64
    """
    exists = np.asarray(exists, np.float64)
    signed = np.where(np.asarray(has_target, bool), exists, -exists)

    def nll(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / math.exp(log_temperature)).mean())

    low, high = math.log(_MIN_TEMPERATURE), math.log(_MAX_TEMPERATURE)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(60):  # bisection: the loss is convex in 1 / temperature
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if nll(left) < nll(right) else (left, high)
    return math.exp((low + high) / 2)


def fit_threshold_logit(exists: ArrayLike, has_target: ArrayLike, ious: ArrayLike) -> float:
    """Fits the threshold of the existence logit that maximises gIoU: the mean IoU, where a right "nothing" counts 1.

    A mask is therefore emptied where that gains more than it loses: of a network whose existence says little, few
    are. Among equally good thresholds it is the middle of the widest gap.

    Args:
        exists: (N,) existence logits.
        has_target: (N,) bool.
        ious: (N,) IoU of the masks if existence were certain; 1 for an empty one where there is no referent.

    >>> fit_threshold_logit([-3, -1, 2, 5], [0, 0, 1, 1], [0, 0, 0.7, 0.8])
    0.5
    """
    exists, has_target = np.asarray(exists, np.float64), np.asarray(has_target, bool)
    gains = np.asarray(ious, np.float64) - ~has_target  # of answering, compared with saying that there is nothing
    decided = gains != 0
    if not decided.any():
        return 0.0
    values, place = np.unique(exists[decided], return_inverse=True)
    gain_of_value = np.bincount(place, weights=gains[decided])
    gain_above = np.concatenate([np.cumsum(gain_of_value[::-1])[::-1], [0.0]])  # of answers from value k on
    edges = np.concatenate([[values[0] - 1], values, [values[-1] + 1]])
    best = np.flatnonzero(gain_above >= gain_above.max() - 1e-9)
    widest = best[np.argmax((edges[1:] - edges[:-1])[best])]
    return float((edges[widest] + edges[widest + 1]) / 2)
