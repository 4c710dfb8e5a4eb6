"""Calibration: what a network's existence logit means as a probability, and above which one it answers with a mask."""

import math

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from refseg.config import Config
from refseg.errors import InvalidInput

_COLDEST, _HOTTEST = 0.05, 20.0  # temperatures tried


class Calibration(Config):
    """How a checkpoint reads the existence logit z: probability = sigmoid(z / temperature), a mask above the threshold.

    Attributes:
        temperature: above 1 the network was too sure of itself.
        exists_threshold: probability above which an expression is taken to refer to something.
        fitted_on: data set, split and amount, for the record.
    """

    temperature: float = Field(default=1.0, gt=0)
    exists_threshold: float = Field(default=0.5, gt=0, lt=1)
    fitted_on: str = ""

    def existence_logit(self, probability: float) -> float:
        """The existence logit that stands for a probability in (0, 1).

        >>> Calibration(temperature=2.0).existence_logit(0.5)
        0.0
        """
        return self.temperature * math.log(probability / (1 - probability))


def fit_calibration(exists: ArrayLike, has_target: ArrayLike, could_answer: ArrayLike, fitted_on: str) -> Calibration:
    """Temperature and threshold for N expressions that were not trained on.

    Args:
        exists: (N,) existence logits.
        has_target: (N,) bool, does the expression refer to anything.
        could_answer: (N,) bool, would the mask have a pixel if existence were certain.
        fitted_on: what the expressions are, for the record.

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
    """Temperature at which sigmoid(exists / temperature) has the least negative log-likelihood, from 0.05 to 20.

    >>> round(fit_temperature([-4, -4, -4, 4, 4, 4, 4, -4], [0, 0, 0, 1, 1, 1, 0, 1]), 2)  # 6 of 8 are right
    3.64
    """
    exists = np.asarray(exists, np.float64)
    signed = np.where(np.asarray(has_target, bool), exists, -exists)

    def nll(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / math.exp(log_temperature)).mean())

    low, high = math.log(_COLDEST), math.log(_HOTTEST)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(60):  # the likelihood has one peak (it is convex in 1 / temperature): keep the side that holds it
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if nll(left) < nll(right) else (left, high)
    return math.exp((low + high) / 2)


def fit_threshold_logit(exists: ArrayLike, has_target: ArrayLike, could_answer: ArrayLike) -> float:
    """Existence logit above which answering makes N-acc + T-acc of the answers largest.

    Of equally good thresholds it takes the one that is farthest from a wrong answer: the middle of the widest gap.

    Args:
        exists: (N,) existence logits.
        has_target: (N,) bool.
        could_answer: (N,) bool; an expression whose mask is empty anyway counts as answered by nothing.
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
