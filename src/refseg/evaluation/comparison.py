"""Two systems on the same expressions: differences with intervals, and whether chance would make them.

Both meet the same resamples of images, so that what is hard for both does not count as a difference. The test is
Wilcoxon's signed-rank test on the difference of each image's mean IoU, of the expressions that the metric beside it
counts, see `TESTED`: images are independent, expressions about one image are not. It is written out here, because SciPy
is a large package for one formula; a test holds it against SciPy.

Read with  F. Wilcoxon. "Individual Comparisons by Ranking Methods". Biometrics Bulletin 1945.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refseg import metrics
from refseg.counting import counted
from refseg.errors import InvalidInput
from refseg.evaluation.report.breakdown import COLUMNS, grouped
from refseg.evaluation.rows import Row, counts_of
from refseg.evaluation.scoring import STANDARD
from refseg.evaluation.summarize import refs_of, summarize, tracks_of
from refseg.protocols.refsegformer import RefSegformer, ref_of
from refseg.protocols.video_protocol import Scoring, VideoProtocol, averaged

RESAMPLES = 1000
MAX_EXACT_PAIRS = 25  # pairs up to which Wilcoxon's test is exact
TESTED = ("J", "mIoU", "gIoU")
"""Metrics that are means over expressions; the first of them that a protocol has is tested."""
NAMED = 5  # expressions that an error names


@dataclass(frozen=True)
class Difference:
    """One metric of two systems, B minus A.

    Attributes:
        a, b: its values.
        interval: 95 % interval of the difference; None where the metric has none.
    """

    a: float
    b: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Comparison:
    """Two systems under one protocol.

    Attributes:
        protocol: its name.
        expressions, images: how many were compared.
        metrics: difference of each metric.
        tested: metric whose mean over each image is tested.
        p_value: of Wilcoxon's test on it; 1 if no image differs.
        better, worse: share of expressions whose IoU is higher in B, and lower.
        by: the tested metric by type and the like: value, number of expressions, difference.
    """

    protocol: str
    expressions: int
    images: int
    metrics: dict[str, Difference]
    tested: str
    p_value: float
    better: float
    worse: float
    by: dict[str, dict[str, tuple[int, Difference]]]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def paired(a: Sequence[Row], b: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of both in the order of the first.

    Raises:
        InvalidInput: if they are not about the same expressions.
    """
    of_a, of_b = {row.key: row for row in a}, {row.key: row for row in b}
    for rows, by_id in ((a, of_a), (b, of_b)):
        if len(by_id) < len(rows):
            raise InvalidInput(
                f"{counted(len(rows) - len(by_id), 'row')} with the id of another row; write the file again"
            )
    faults = {
        "only in the first": [id for id in of_a if id not in of_b],
        "only in the second": [id for id in of_b if id not in of_a],
        "of another text or truth": [id for id in of_a if id in of_b and not _same(of_a[id], of_b[id])],
    }
    if any(faults.values()):
        told = "; ".join(f"{len(ids):,} {fault} ({_some(ids)})" for fault, ids in faults.items() if ids)
        raise InvalidInput(f"the files are not about the same expressions: {told}; evaluate both on the same split")
    return list(a), [of_b[row.key] for row in a]


def compare(a: Sequence[Row], b: Sequence[Row], protocol: Scoring) -> Comparison:
    """Two systems on the same expressions in the same order, from `paired`.

    Raises:
        InvalidInput: if the protocol counts no expression, or others in one system than in the other.
    """
    name = protocol.name
    a, b = ([row for row in rows if name in row.scores] for rows in (a, b))
    if not a or [row.key for row in a] != [row.key for row in b]:
        raise InvalidInput(f"protocol {name} does not count the same expressions in both files; evaluate both again")
    summaries = [summarize(rows, protocol) for rows in (a, b)]
    drawn = [resampled(rows, protocol) for rows in (a, b)]
    intervals = {
        metric: metrics.interval(drawn[1][metric] - drawn[0][metric]) for metric in drawn[0] if metric in drawn[1]
    }
    change = _ious(b, name) - _ious(a, name)
    tested = find_tested_metric(summaries[0])
    return Comparison(
        protocol=name,
        expressions=len({(row.image_id, row.id) for row in a}),
        images=len({row.image_id for row in a}),
        metrics={
            metric: Difference(value, summaries[1][metric], intervals.get(metric))
            for metric, value in summaries[0].items()
            if metric in summaries[1]
        },
        tested=tested,
        p_value=compare_images(a, b, protocol, tested),
        better=float((change > 0).mean()),
        worse=float((change < 0).mean()),
        by={column: table for column in COLUMNS if (table := _by(a, b, column, protocol, tested))},
    )


def find_tested_metric(metrics: Collection[str]) -> str:
    """Returns the metric of a protocol that is tested; "mean IoU", of all expressions, if it has none of them."""
    return next((metric for metric in TESTED if metric in metrics), "mean IoU")


def compare_images(a: Sequence[Row], b: Sequence[Row], protocol: Scoring, tested: str) -> float:
    """Computes the p-value of Wilcoxon's test on a metric by image.

    Args:
        a: rows of one system, from `paired`.
        b: of the other.
        protocol: that scored them.
        tested: the metric, from `find_tested_metric`.

    Returns:
        1 if no image differs.
    """
    values, images = _list_averaged(_keep_tested(a, protocol, tested), protocol)
    others, _ = _list_averaged(_keep_tested(b, protocol, tested), protocol)
    sums, counts = _sums(others - values, images)
    return wilcoxon(sums / counts)


def _keep_tested(rows: Sequence[Row], protocol: Scoring, tested: str) -> list[Row]:
    """Returns the rows that the tested metric counts."""
    return [row for row in rows if row.has_target or protocol.counts_no_target or tested != "mIoU"]


def _list_averaged(rows: Sequence[Row], protocol: Scoring) -> tuple[NDArray[np.float64], list[str]]:
    """Returns what the tested metric is the mean of, and the image of each.

    That is the IoU of each expression; J of each expression about a video, and of each ref the mean of its expressions.
    """
    if isinstance(protocol, VideoProtocol):
        tracks = tracks_of(rows, protocol.name)
        return np.array([protocol.score(track)["J"] for track in tracks.values()]), [video for video, _ in tracks]
    if isinstance(protocol, RefSegformer):
        return refs_of(rows, protocol.name).iou, _list_images_of_refs(rows)
    return _ious(rows, protocol.name), [row.image_id for row in rows]


def _list_images_of_refs(rows: Sequence[Row]) -> list[str]:
    """Returns the image of each ref, as `refs_of` orders them."""
    return list({ref_of(row.id): row.image_id for row in rows}.values())


def wilcoxon(differences: ArrayLike) -> float:
    """Two-sided p-value of the signed-rank test: zeros dropped, ties at their mean rank.

    Up to `MAX_EXACT_PAIRS` differences it is exact, by the null distribution of untied ranks; above, it is the normal
    approximation.

    >>> wilcoxon([0.0, 0.0]), round(wilcoxon([1, 2, 3, 4, 5, 6, 7, 8, -9, 10]), 4)
    (1.0, 0.0645)
    """
    values = np.asarray(differences, np.float64)
    values = values[values != 0]
    if not len(values):
        return 1.0
    _, group, sizes = np.unique(np.abs(values), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    n = len(values)
    rank_sum = min(ranks[values > 0].sum(), ranks[values < 0].sum())
    if n <= MAX_EXACT_PAIRS:
        return min(1.0, 2 * sum(_rank_sums(n)[: math.floor(rank_sum) + 1]) / 2**n)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((sizes.astype(np.float64) ** 3 - sizes).sum()) / 48
    return math.erfc(abs(rank_sum - n * (n + 1) / 4) / math.sqrt(2 * variance))


def _rank_sums(n: int) -> list[int]:
    """Returns in how many of the 2^n choices of signs the positive ranks of 1 to n add up to 0, 1, 2, ..."""
    counts = [1]
    for rank in range(1, n + 1):
        shifted = [0] * rank + counts
        counts = [a + b for a, b in zip(counts + [0] * rank, shifted, strict=True)]
    return counts


def _by(
    a: Sequence[Row], b: Sequence[Row], column: str, protocol: Scoring, tested: str
) -> dict[str, tuple[int, Difference]]:
    of_b = {row.key: row for row in b}
    table = {}
    for value, rows in grouped(_keep_tested(a, protocol, tested), column).items():
        values, images = _list_averaged(rows, protocol)
        others, _ = _list_averaged([of_b[row.key] for row in rows], protocol)
        interval = metrics.interval(_resampled_means(others - values, images))
        expressions = len({(row.image_id, row.id) for row in rows})
        table[value] = expressions, Difference(float(values.mean()), float(others.mean()), interval)
    return table if len(table) > 1 else {}


def resampled(rows: Sequence[Row], protocol: Scoring) -> Mapping[str, NDArray[np.float64]]:
    """Returns metrics of the same resamples of images for every system; of a release's protocol all that it prints.

    But for the mAP of `a2d`, which would have to be ranked anew each time.
    """
    counts, image_ids = counts_of(rows, protocol.name), [row.image_id for row in rows]
    if protocol.name == STANDARD.name:
        return metrics.bootstrap(counts, image_ids)
    found: list[tuple[str, dict[str, float]]] = []
    if isinstance(protocol, VideoProtocol):
        tracks = tracks_of(rows, protocol.name)
        found = [(track.annotator, protocol.score(track)) for track in tracks.values()]
        image_ids = [video for video, _ in tracks]

    if isinstance(protocol, RefSegformer):
        refs = refs_of(rows, protocol.name)
        image_ids = _list_images_of_refs(rows)

    def summary(chosen: list[int]) -> dict[str, float]:
        if isinstance(protocol, RefSegformer):
            return refs.summarize(chosen)
        if isinstance(protocol, VideoProtocol):
            return averaged([found[k] for k in chosen])
        return protocol.summarize(counts.where(np.array(chosen)))

    members: dict[str, list[int]] = {}
    for i, image in enumerate(image_ids):
        members.setdefault(image, []).append(i)
    groups = list(members.values())
    draws = np.random.default_rng(0).integers(0, len(groups), (RESAMPLES, len(groups)))
    summaries = [summary([i for k in draw for i in groups[k]]) for draw in draws]
    common = set.intersection(*(set(summary) for summary in summaries))
    return {name: np.array([summary[name] for summary in summaries]) for name in summaries[0] if name in common}


def _resampled_means(values: NDArray[np.float64], image_ids: Sequence[str]) -> NDArray[np.float64]:
    sums, counts = _sums(values, image_ids)
    draws = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    means: NDArray[np.float64] = sums[draws].sum(1) / counts[draws].sum(1)
    return means


def _sums(values: NDArray[np.float64], image_ids: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Sum and number of values of each image, in order of first appearance."""
    numbers: dict[str, int] = {}
    of_image = [numbers.setdefault(image, len(numbers)) for image in image_ids]
    sums: NDArray[np.float64] = np.bincount(of_image, values, minlength=len(numbers)).astype(np.float64)
    return sums, np.bincount(of_image, minlength=len(numbers))


def _ious(rows: Sequence[Row], protocol: str) -> NDArray[np.float64]:
    return np.array([row.scores[protocol].iou or 0.0 for row in rows], np.float64)


def _same(a: Row, b: Row) -> bool:
    return (a.expression, a.image_id, a.referents) == (b.expression, b.image_id, b.referents)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else "")
