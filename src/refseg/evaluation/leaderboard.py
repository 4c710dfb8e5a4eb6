"""Many systems on the same expressions: a table with intervals, and a test of each pair."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from refseg import metrics
from refseg.errors import InvalidInput
from refseg.evaluation.comparison import compare, find_tested_metric, paired, resampled
from refseg.evaluation.rows import Row
from refseg.evaluation.summarize import summarize
from refseg.protocols.video_protocol import Scoring

LEADING_METRICS = ("J&F", "oIoU", "mIoU")  # the first that a protocol has ranks the systems


@dataclass(frozen=True)
class Standing:
    """One system.

    Attributes:
        name: its name, as it was given.
        values: its figures by metric, in [0, 1].
        intervals: 95 % intervals over images, by metric; of those that have one.
    """

    name: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Pair:
    """Two systems, of which the first ranks higher.

    Attributes:
        higher, lower: their names.
        difference: of the leading metric, higher minus lower, with its 95 % interval.
        interval: None where the metric has none.
        p_value: of Wilcoxon's test on `Leaderboard.tested` by image.
        adjusted: the same for all pairs together, by Holm's method.
    """

    higher: str
    lower: str
    difference: float
    interval: tuple[float, float] | None
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class Leaderboard:
    """Systems under one protocol, the best first.

    Attributes:
        protocol: its name.
        metric: which ranks them.
        tested: the metric whose mean over each image is tested.
        expressions, images: how many are scored.
        standings: the systems.
        pairs: all pairs of them.
    """

    protocol: str
    metric: str
    tested: str
    expressions: int
    images: int
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain values, ready for JSON."""
        return asdict(self)


def rank(systems: Mapping[str, Sequence[Row]], protocol: Scoring) -> Leaderboard:
    """Ranks systems by the leading metric of a protocol.

    Args:
        systems: rows of each, by its name.
        protocol: which scored all of them.

    Raises:
        InvalidInput: if they are not about the same expressions, or the protocol counts none.
    """
    first, *others = systems
    aligned = {first: list(systems[first])}
    for name in others:
        aligned[name] = paired(systems[first], systems[name])[1]
    scored = {name: [row for row in rows if protocol.name in row.scores] for name, rows in aligned.items()}
    if not all(scored.values()):
        raise InvalidInput(
            f"protocol {protocol.name} counts no expression in one of the files; evaluate all of them again"
        )
    values = {name: summarize(rows, protocol) for name, rows in scored.items()}
    drawn = {name: resampled(rows, protocol) for name, rows in scored.items()}
    standings = [
        Standing(name, values[name], {metric: metrics.interval(some) for metric, some in drawn[name].items()})
        for name in systems
    ]
    metric = next((one for one in LEADING_METRICS if one in standings[0].values), next(iter(standings[0].values)))
    standings.sort(key=lambda one: -one.values[metric])
    found = []
    counts = 0, 0
    for high, low in combinations(standings, 2):
        one = compare(aligned[low.name], aligned[high.name], protocol)
        counts = one.expressions, one.images
        difference = one.metrics[metric]
        found.append((high.name, low.name, difference.b - difference.a, difference.interval, one.p_value))
    adjusted = holm([pair[-1] for pair in found])
    pairs = tuple(Pair(*pair, p) for pair, p in zip(found, adjusted, strict=True))
    return Leaderboard(protocol.name, metric, find_tested_metric(standings[0].values), *counts, tuple(standings), pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values of several tests adjusted by Holm's method, in their order.

    Read with  S. Holm. "A Simple Sequentially Rejective Multiple Test Procedure". Scand. J. Statistics 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda n: p_values[n])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, n in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[n]))
        adjusted[n] = largest
    return adjusted
