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
        fitted_on: data set, split and number of expressions.
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


def fit_calibration(exists: ArrayLike, has_target: ArrayLike, could_answer: ArrayLike, fitted_on: str) -> Calibration:
    """Fits temperature and threshold to N expressions outside of the training data.

    Args:
        exists: (N,) existence logits.
        has_target: (N,) bool, whether the expression has a referent.
        could_answer: (N,) bool, whether the mask would have a pixel if existence were certain.
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
    threshold_logit = fit_threshold_logit(exists, has_target, could_answer)
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


def fit_threshold_logit(exists: ArrayLike, has_target: ArrayLike, could_answer: ArrayLike) -> float:
    """Fits the threshold of the existence logit that maximises N-acc + T-acc.

    Among equally good thresholds it is the middle of the widest gap.

    Args:
        exists: (N,) existence logits.
        has_target: (N,) bool.
        could_answer: (N,) bool; False if the mask is empty for any threshold.
    """
    exists, has_target = np.asarray(exists, np.float64), np.asarray(has_target, bool)
    answered = np.where(np.asarray(could_answer, bool), exists, -np.inf)
    values = np.unique(answered[np.isfinite(answered)])
    if len(values) == 0:
        return 0.0
    edges = np.concatenate([[values[0] - 1], values, [values[-1] + 1]])
    thresholds = (edges[1:] + edges[:-1]) / 2
    with_target, without = np.sort(answered[has_target]), np.sort(answered[~has_target])
    target_accuracy = 1 - np.searchsorted(with_target, thresholds, side="right") / len(with_target)
    no_target_accuracy = np.searchsorted(without, thresholds, side="right") / len(without)
    quality = target_accuracy + no_target_accuracy
    best = np.flatnonzero(quality >= quality.max() - 1e-12)
    widest = best[np.argmax((edges[1:] - edges[:-1])[best])]
    return float(thresholds[widest])
