"""Is it sure when it is right? Risk over coverage, and the calibration of the probability of existence.

Read with  Y. Geifman, R. El-Yaniv. "Selective Classification for Deep Neural Networks". NeurIPS 2017.
           C. Guo et al. "On Calibration of Modern Neural Networks". ICML 2017 (reliability, ECE).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from refseg.evaluation.rows import Row
from refseg.evaluation.scoring import STANDARD

BINS = 10
POINTS = 101


@dataclass(frozen=True)
class RiskCoverage:
    """What remains wrong when only the surest answers are given.

    Attributes:
        coverage: shares of the expressions that are answered, from 0 to 1.
        risk: mean of 1 - IoU of those, under `standard`, no-target expressions included.
        area: under the curve; the smaller the better. At coverage 1 the risk is 1 - gIoU.
    """

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float


@dataclass(frozen=True)
class Reliability:
    """Reliability: how often expressions had a referent, by their predicted probability.

    Attributes:
        probability: mean probability of existence in each of BINS equal parts of [0, 1] that is not empty.
        share: of the expressions there that refer to something.
        expressions: there.
        ece: expected calibration error, the mean of |probability - share| over expressions.
        brier: mean square of what the probability is off by.
    """

    probability: tuple[float, ...]
    share: tuple[float, ...]
    expressions: tuple[int, ...]
    ece: float
    brier: float


def risk_coverage(confidence: ArrayLike, risk: ArrayLike) -> RiskCoverage:
    """The curve of N answers; answers of equal confidence stand for each other, so that their order plays no part.

    >>> risk_coverage([0.9, 0.8, 0.8, 0.1], [0.0, 0.0, 1.0, 1.0]).risk
    (0.0, 0.25, 0.3333333333333333, 0.5)
    """
    sure, wrong = np.asarray(confidence, np.float64), np.asarray(risk, np.float64)
    values, group = np.unique(-sure, return_inverse=True)
    sizes = np.bincount(group, minlength=len(values))
    means = np.bincount(group, wrong, minlength=len(values)) / sizes
    running = np.cumsum(np.repeat(means, sizes)) / np.arange(1, len(sure) + 1)
    shown = np.unique(np.linspace(0, len(sure) - 1, min(POINTS, len(sure))).round().astype(int))
    coverage = tuple(((shown + 1) / len(sure)).tolist())
    return RiskCoverage(coverage, tuple(running[shown].tolist()), float(running.mean()))


def reliability(probability: ArrayLike, exists: ArrayLike) -> Reliability:
    """Calibration of N probabilities against what is so (N,) bool.

    >>> reliability([0.9, 0.9, 0.1, 0.1], [True, True, False, True]).ece
    0.25
    """
    said, true = np.asarray(probability, np.float64), np.asarray(exists, np.float64)
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    full = counts > 0
    mean = np.bincount(place, said, minlength=BINS)[full] / counts[full]
    share = np.bincount(place, true, minlength=BINS)[full] / counts[full]
    ece = float((counts[full] * np.abs(mean - share)).sum() / len(said))
    kept = tuple(mean.tolist()), tuple(share.tolist()), tuple(counts[full].tolist())
    return Reliability(*kept, ece, float(((said - true) ** 2).mean()))


def curves(rows: Sequence[Row]) -> tuple[RiskCoverage, Reliability] | None:
    """Both of them; None unless every row has a probability.

    An answer is as sure as the probability that it stands on: of existence if it is a mask, else of nothing there.
    """
    exists = np.array([np.nan if row.exists is None else row.exists for row in rows])
    if not len(rows) or np.isnan(exists).any():
        return None
    scores = [row.scores[STANDARD.name] for row in rows]
    answered = np.array([score.has_prediction for score in scores])
    risk = [1 - (score.iou or 0.0) for score in scores]
    return (
        risk_coverage(np.where(answered, exists, 1 - exists), risk),
        reliability(exists, [row.has_target for row in rows]),
    )
