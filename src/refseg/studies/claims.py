"""What a paper claims with a table, tested on our figures of the same rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal

from refseg.evaluation.comparison import Comparison, compare, paired, wilcoxon
from refseg.evaluation.rows import Row as AnswerRow
from refseg.evaluation.scoring import STANDARD
from refseg.evaluation.summarize import summarize
from refseg.studies.resolve import list_scored_splits
from refseg.studies.results import Results
from refseg.studies.study import Study

AnswerPairs = tuple[list[AnswerRow], list[AnswerRow]]
Verdict = Literal["holds", "does not hold", "within the interval", "not run"]


@dataclass(frozen=True)
class ClaimTest:
    """A claim that one row is better than another.

    Attributes:
        above, below: numbers of the rows.
        about: the difference between them.
        metric: by which.
        paper: difference that the paper prints, in its percent, the mean of all columns of the metric; None if it
            prints none.
        ours: the same of our figures, in [0, 1], of all seeds and splits together; None if a row was not run.
        interval: 95 % interval of it, over images.
        p_value: of Wilcoxon's test on mean IoU by image.
        seeds: of how many seeds the own difference is above 0, and of how many it was measured.
        verdict: whether it holds here.
    """

    above: int
    below: int
    about: str
    metric: str
    paper: float | None
    ours: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    seeds: tuple[int, int] = (0, 0)
    verdict: Verdict = "not run"

    @property
    def same_sign(self) -> bool | None:
        """Whether our difference has the sign of the paper's; None if there are not both, or ours is 0."""
        return None if self.paper is None or not self.ours else self.paper * self.ours > 0


def judge_claims(results: Results) -> list[ClaimTest]:
    """Tests all claims of a study under protocol `standard`, whose metrics have intervals.

    Rows are paired by expression. Of several seeds and splits an image is drawn with all of its answers at once.
    """
    return list(_iter_tests(results))


def _iter_tests(results: Results) -> Iterator[ClaimTest]:
    study = results.study
    for claim in study.claims:
        metric = claim.metric or study.leading_metric()
        for below in claim.below:
            paper = _paper_difference(study, claim.above, below, metric)
            pairs = _pair_by_seed(results, claim.above, below)
            found = _compare_all(pairs)
            one = found.metrics.get(metric) if found else None
            if found is None or one is None:
                yield ClaimTest(claim.above, below, claim.about, metric, paper)
                continue
            ours, interval = one.b - one.a, one.interval
            verdict: Verdict = "holds" if ours > 0 else "does not hold"
            if interval and interval[0] <= 0 <= interval[1]:
                verdict = "within the interval"
            above_0 = sum(summarize(b, STANDARD)[metric] > summarize(a, STANDARD)[metric] for a, b in pairs)
            seeds = above_0, len(pairs)
            yield ClaimTest(
                claim.above, below, claim.about, metric, paper, ours, interval, found.p_value, seeds, verdict
            )


def _pair_by_seed(results: Results, above: int, below: int) -> list[AnswerPairs]:
    """Returns for each seed the answers of the rows `below` and `above` to the same expressions of all splits."""
    seeds: list[AnswerPairs] = []
    for place in list_scored_splits(results.study, results.small):
        answers = zip(results.read_answers(below, place), results.read_answers(above, place), strict=False)
        for seed, (of_below, of_above) in enumerate(answers):
            if seed == len(seeds):
                seeds.append(([], []))
            for of_seed, rows in zip(seeds[seed], paired(of_below, of_above), strict=True):
                of_seed += rows
    return seeds


def _compare_all(pairs: Sequence[AnswerPairs]) -> Comparison | None:
    """Returns the second rows of all seeds minus the first; None if there are none."""
    a, b = ([row for pair in pairs for row in pair[n]] for n in (0, 1))
    return compare(a, b, STANDARD) if a else None


def _paper_difference(study: Study, above: int, below: int, metric: str) -> float | None:
    rows = study.rows[above - 1], study.rows[below - 1]
    pairs = [
        (x, y)
        for x, y, column in zip(rows[0].figures, rows[1].figures, study.columns, strict=True)
        if x is not None and y is not None and all(study.find_metric(row, column) == metric for row in rows)
    ]
    return mean(x for x, _ in pairs) - mean(y for _, y in pairs) if pairs else None


def signed_rank(study: Study, above: int, below: int) -> float:
    """Returns the p-value of Wilcoxon's test on the printed figures of two rows of a table, as CMIRNet's Table IV.

    >>> from refseg.studies import STUDIES
    >>> round(signed_rank(STUDIES["cmirnet_table3"], 5, 4), 6)
    0.000305
    """
    pairs = zip(study.rows[above - 1].figures, study.rows[below - 1].figures, strict=True)
    return wilcoxon([round(x - y, 2) for x, y in pairs if x is not None and y is not None])


def signed_rank_of_ours(results: Results, above: int, below: int) -> float | None:
    """Returns the same of our figures, rounded as the paper rounds; None if a row was not run."""
    rows = results.rows[above].values, results.rows[below].values
    titles = [title for title in rows[0] if title in rows[1]]
    if not titles:
        return None
    return wilcoxon([round(100 * (mean(rows[0][title]) - mean(rows[1][title])), 2) for title in titles])
