"""What a paper claims with a table, tested on our figures of the same rows."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from statistics import mean
from typing import Literal

import numpy as np

from refseg import metrics
from refseg.evaluation.comparison import compare_images, paired, resampled, wilcoxon
from refseg.evaluation.rows import Row as AnswerRow
from refseg.evaluation.scoring import STANDARD
from refseg.evaluation.summarize import summarize
from refseg.studies.resolve import list_scored_splits, name_scored_split
from refseg.studies.results import Results
from refseg.studies.study import Claim, Study

AnswerPairs = tuple[list[AnswerRow], list[AnswerRow]]
Verdict = Literal["holds", "does not hold", "undecided", "not run"]


@dataclass(frozen=True)
class ClaimTest:
    """A claim that one row is better than another.

    Attributes:
        above, below: numbers of the rows.
        about: the difference between them.
        metric: by which.
        paper: difference that the paper prints, in its percent, the mean of the columns of the metric; None if it
            prints none.
        ours: the same of our figures, in [0, 1], the mean of the seeds that both rows have; None if they have none.
        interval: 95 % interval of it, over images.
        p_value: of Wilcoxon's test on mean IoU by image.
        seeds: of how many seeds the own difference is above 0, and of how many it was measured.
        verdict: whether it holds here; undecided if the interval contains 0, or seeds disagree.
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
        """Whether our difference has the sign of the paper's; None if there are not both, or one is 0."""
        return self.paper * self.ours > 0 if self.paper and self.ours else None


def judge_claims(results: Results) -> list[ClaimTest]:
    """Tests all claims of a study under protocol `standard`, whose metrics have intervals.

    Rows are paired by expression, on the splits and with the seeds that both have. A difference is the mean of those of
    the seeds, each over all splits; the same resampled images are drawn for all seeds.
    """
    tests = []
    for claim in results.study.claims:
        metric = claim.metric or results.study.leading_metric()
        tests += [_judge(results, claim, below, metric) for below in claim.below]
    return tests


def _judge(results: Results, claim: Claim, below: int, metric: str) -> ClaimTest:
    pairs, splits = _pair_by_seed(results, claim.above, below)
    paper = _paper_difference(results, claim.above, below, metric, splits)
    test = ClaimTest(claim.above, below, claim.about, metric, paper)
    summaries = [(summarize(a, STANDARD), summarize(b, STANDARD)) for a, b in pairs]
    differences = [b[metric] - a[metric] for a, b in summaries if metric in a and metric in b]
    if not differences:
        return test
    drawn = [(resampled(a, STANDARD), resampled(b, STANDARD)) for a, b in pairs]
    draws = [b[metric] - a[metric] for a, b in drawn if metric in a and metric in b]
    interval = metrics.interval(np.mean(draws, axis=0)) if len(draws) == len(pairs) else None
    above_0, ours = sum(one > 0 for one in differences), mean(differences)
    verdict: Verdict = "holds" if ours > 0 else "does not hold"
    if 0 < above_0 < len(pairs) or (interval and interval[0] <= 0 <= interval[1]):
        verdict = "undecided"
    below_rows, above_rows = ([row for pair in pairs for row in pair[n]] for n in (0, 1))
    p_value = compare_images(below_rows, above_rows, STANDARD.name)
    return replace(test, ours=ours, interval=interval, p_value=p_value, seeds=(above_0, len(pairs)), verdict=verdict)


def _pair_by_seed(results: Results, above: int, below: int) -> tuple[list[AnswerPairs], set[str]]:
    """Returns the answers of the rows `below` and `above` to the same expressions, a pair for each seed.

    Returns:
        the pairs, of the seeds and splits that both rows have; the names of those splits.
    """
    seeds: dict[int, AnswerPairs] = {}
    splits: set[str] = set()
    for split in list_scored_splits(results.study, results.small):
        of_below, of_above = (results.read_answers(number, split) for number in (below, above))
        for seed in of_below.keys() & of_above.keys():
            splits.add(split)
            for of_seed, rows in zip(
                seeds.setdefault(seed, ([], [])), paired(of_below[seed], of_above[seed]), strict=True
            ):
                of_seed += rows
    return list(seeds.values()), splits


def _paper_difference(results: Results, above: int, below: int, metric: str, splits: Collection[str]) -> float | None:
    """Returns the paper's mean difference in the columns of a metric; of those splits alone if we have some of them."""
    study = results.study
    rows = study.rows[above - 1], study.rows[below - 1]
    pairs = [
        (x, y)
        for x, y, column in zip(rows[0].figures, rows[1].figures, study.columns, strict=True)
        if x is not None
        and y is not None
        and all(study.find_metric(row, column) == metric for row in rows)
        and (results.small or not splits or name_scored_split(column) in splits)
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
