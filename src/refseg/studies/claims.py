"""What a paper claims with a table, tested on our figures of the same rows."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import mean, stdev
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
ReadAnswers = Callable[[int, str], dict[int, list[AnswerRow]]]
Verdict = Literal["holds", "does not hold", "undecided", "not run"]


@dataclass(frozen=True)
class ClaimTest:
    """A claim that one row is better than another.

    Attributes:
        above, below: numbers of the rows.
        about: the difference between them.
        metric: by which.
        data: of which data set alone, "" for all.
        paper: difference that the paper prints, in its percent, the mean of the columns of the metric; None if it
            prints none.
        columns: in how many of these columns it is above 0, and their number.
        ours: the same of our figures, in [0, 1], the mean of the seeds that both rows have; None if they have none.
        spread: standard deviation of the seeds' differences; None of one seed.
        interval: 95 % interval of the difference, over images.
        p_value: of Wilcoxon's test on mean IoU by image.
        seeds: of how many seeds the own difference is above 0, and of how many it was measured.
        splits: the same of splits, each with the mean of its seeds.
        verdict: whether it holds here; undecided if the interval contains 0, or seeds disagree.
    """

    above: int
    below: int
    about: str
    metric: str
    data: str = ""
    paper: float | None = None
    columns: tuple[int, int] = (0, 0)
    ours: float | None = None
    spread: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    seeds: tuple[int, int] = (0, 0)
    splits: tuple[int, int] = (0, 0)
    verdict: Verdict = "not run"

    @property
    def same_sign(self) -> bool | None:
        """Whether our difference has the sign of the paper's; None if there are not both, or one is 0."""
        return self.paper * self.ours > 0 if self.paper and self.ours else None


def judge_claims(results: Results) -> list[ClaimTest]:
    """Tests all claims of a study under protocol `standard`, whose metrics have intervals.

    Rows are paired by expression, on the splits and with the seeds that both have. A difference is the mean of those of
    the seeds, each over all splits; the same resampled images are drawn for all seeds. In small, where there is one
    data set, a claim about one of several is left out but for the first one's.
    """
    study = results.study
    claims = [claim for claim in study.claims if not results.small or claim.data in ("", study.data_sets()[0])]
    return _judge_all(results, claims)


def judge_tested(study: Study, tested: Results) -> list[ClaimTest]:
    """Tests the pairs of rows that a study of tests is about, by answers to the same expressions; see `Study.tests`."""
    pairs = [row.tested for row in study.rows if row.tested is not None]
    return _judge_all(tested, [Claim(above=above, below=(below,)) for below, above in pairs])


def _judge_all(results: Results, claims: Sequence[Claim]) -> list[ClaimTest]:
    # both rows of the pair at hand: a row is in several claims, and too large to keep all
    read = lru_cache(maxsize=2 * len(list_scored_splits(results.study, results.small)))(results.read_answers)
    return [_judge(results, claim, below, read) for claim in claims for below in claim.below]


def _judge(results: Results, claim: Claim, below: int, read: ReadAnswers) -> ClaimTest:
    metric = claim.metric or results.study.leading_metric()
    test = ClaimTest(claim.above, below, claim.about, metric, claim.data)
    by_split = _pair_by_split(results, claim, below, read)
    printed = _paper_differences(results, claim, below, metric, by_split.keys())
    if printed:
        test = replace(test, paper=mean(printed), columns=_count_above_0(printed))
    pairs = _pool_splits(by_split.values())
    differences = [one for pair in pairs if (one := _difference(pair, metric)) is not None]
    if not differences:
        return test
    drawn = [(resampled(a, STANDARD), resampled(b, STANDARD)) for a, b in pairs]
    draws = [b[metric] - a[metric] for a, b in drawn if metric in a and metric in b]
    interval = metrics.interval(np.mean(draws, axis=0)) if len(draws) == len(pairs) else None
    seeds, ours = _count_above_0(differences), mean(differences)
    verdict: Verdict = "holds" if ours > 0 else "does not hold"
    if 0 < seeds[0] < seeds[1] or (interval and interval[0] <= 0 <= interval[1]):
        verdict = "undecided"
    below_rows, above_rows = ([row for pair in pairs for row in pair[n]] for n in (0, 1))
    return replace(
        test,
        ours=ours,
        spread=stdev(differences) if len(differences) > 1 else None,
        interval=interval,
        p_value=compare_images(below_rows, above_rows, STANDARD.name),
        seeds=seeds,
        splits=_count_above_0(_mean_by_split(by_split, metric)) if len(by_split) > 1 else (int(ours > 0), 1),
        verdict=verdict,
    )


def _difference(pair: AnswerPairs, metric: str) -> float | None:
    """Returns by how much the second answers are better than the first; None where the metric has no value."""
    below, above = (summarize(rows, STANDARD) for rows in pair)
    return above[metric] - below[metric] if metric in below and metric in above else None


def _count_above_0(differences: Sequence[float]) -> tuple[int, int]:
    return sum(one > 0 for one in differences), len(differences)


def _pair_by_split(results: Results, claim: Claim, below: int, read: ReadAnswers) -> dict[str, dict[int, AnswerPairs]]:
    """Returns the answers of the rows `below` and above to the same expressions, by split and seed that both have."""
    by_split = {}
    for name, split in list_scored_splits(results.study, results.small).items():
        if claim.data and not results.small and split.data != claim.data:
            continue
        of_below, of_above = read(below, name), read(claim.above, name)
        seeds = {seed: paired(of_below[seed], of_above[seed]) for seed in sorted(of_below.keys() & of_above.keys())}
        if seeds:
            by_split[name] = seeds
    return by_split


def _pool_splits(splits: Iterable[Mapping[int, AnswerPairs]]) -> list[AnswerPairs]:
    """Returns a pair of answers for each seed, to the expressions of all splits."""
    pooled: dict[int, AnswerPairs] = {}
    for seeds in splits:
        for seed, pair in seeds.items():
            for all_rows, rows in zip(pooled.setdefault(seed, ([], [])), pair, strict=True):
                all_rows += rows
    return list(pooled.values())


def _mean_by_split(by_split: Mapping[str, Mapping[int, AnswerPairs]], metric: str) -> list[float]:
    """Returns the difference on each split that has one, the mean of its seeds."""
    found = (
        [one for pair in seeds.values() if (one := _difference(pair, metric)) is not None]
        for seeds in by_split.values()
    )
    return [mean(differences) for differences in found if differences]


def _paper_differences(results: Results, claim: Claim, below: int, metric: str, splits: Collection[str]) -> list[float]:
    """Returns the paper's differences in the columns of a metric; of those splits alone if we have some of them."""
    study = results.study
    rows = study.rows[claim.above - 1], study.rows[below - 1]
    return [
        x - y
        for x, y, column in zip(rows[0].figures, rows[1].figures, study.columns, strict=True)
        if x is not None
        and y is not None
        and claim.data in ("", column.data)
        and all(study.find_metric(row, column) == metric for row in rows)
        and (results.small or not splits or name_scored_split(column) in splits)
    ]


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
