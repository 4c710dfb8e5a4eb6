"""What a paper claims with a table, tested on our figures of the same rows."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
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
        place: on which data set or split alone, "" for all.
        paper: difference that the paper prints, in its percent, the mean of the columns of the metric; None if it
            prints none.
        columns: in how many of these columns it is above 0, and their number.
        ours: the difference of our figures, in [0, 1]: the mean of the seeds, each over the expressions of all splits
            together, of which a large one counts more; None if nothing was run.
        spread: standard deviation of the seeds' differences; None of one seed.
        interval: 95 % interval of the difference, over images.
        p_value: of Wilcoxon's test on mIoU by image.
        seeds: of how many seeds the own difference is above 0, and of how many it was measured.
        splits: the same of splits, each with the mean of its seeds.
        verdict: whether it holds here; undecided if the interval contains 0, or seeds disagree.
    """

    above: int
    below: int
    about: str
    metric: str
    place: str = ""
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

    Rows are paired by expression, on the splits that both have and with the seeds that both have on all of these. A
    difference is the mean of those of the seeds, each over the expressions of all splits; the same resampled images are
    drawn for all seeds. Of a study of tests (`Study.tests`) the pairs of rows that it is about are tested.
    """
    if results.tested:
        pairs = [row.tested for row in results.study.rows if row.tested is not None]
        return _judge_all(results.tested, [Claim(above=above, below=(below,)) for below, above in pairs])
    return _judge_all(results, results.study.list_claims(results.small))


def _judge_all(results: Results, claims: Sequence[Claim]) -> list[ClaimTest]:
    # both rows of the pair at hand: a row is in several claims, and too large to keep all
    read = lru_cache(maxsize=2 * len(list_scored_splits(results.study, results.small)))(results.read_answers)
    return [_judge(results, claim, below, read) for claim in claims for below in claim.below]


def _judge(results: Results, claim: Claim, below: int, read: ReadAnswers) -> ClaimTest:
    metric = claim.metric or results.study.leading_metric()
    test = ClaimTest(claim.above, below, claim.about, metric, "" if results.small else claim.place)
    by_split = _pair_by_split(results, claim, below, read)
    printed = _paper_differences(results, claim, below, metric, by_split.keys())
    if printed:
        test = replace(test, paper=mean(printed), columns=_count_above_0(printed))
    pairs = [_pool(of_splits) for of_splits in zip(*by_split.values(), strict=True)]
    differences = _list_differences(pairs, metric)
    if not differences:
        return test
    drawn = [(resampled(a, STANDARD), resampled(b, STANDARD)) for a, b in pairs]
    draws = [b[metric] - a[metric] for a, b in drawn if metric in a and metric in b]
    interval = metrics.interval(np.mean(draws, axis=0)) if len(draws) == len(pairs) else None
    seeds, ours = _count_above_0(differences), mean(differences)
    verdict: Verdict = "holds" if ours > 0 else "does not hold"
    if 0 < seeds[0] < seeds[1] or (interval and interval[0] <= 0 <= interval[1]):
        verdict = "undecided"
    of_splits = [mean(found) for split in by_split.values() if (found := _list_differences(split, metric))]
    return replace(
        test,
        ours=ours,
        spread=stdev(differences) if len(differences) > 1 else None,
        interval=interval,
        p_value=compare_images(*_pool(pairs), STANDARD, "mIoU"),
        seeds=seeds,
        splits=_count_above_0(of_splits),
        verdict=verdict,
    )


def _list_differences(pairs: Iterable[AnswerPairs], metric: str) -> list[float]:
    """Returns by how much the second answers of each pair are better; without pairs where the metric has no value."""
    summaries = ([summarize(rows, STANDARD) for rows in pair] for pair in pairs)
    return [above[metric] - below[metric] for below, above in summaries if metric in below and metric in above]


def _count_above_0(differences: Sequence[float]) -> tuple[int, int]:
    return sum(one > 0 for one in differences), len(differences)


def _pair_by_split(results: Results, claim: Claim, below: int, read: ReadAnswers) -> dict[str, list[AnswerPairs]]:
    """Returns the answers of the rows `below` and above to the same expressions.

    Returns:
        by split, a pair for each of the seeds that both rows have on all splits that they have at all.
    """
    by_split = {}
    for name, split in list_scored_splits(results.study, results.small).items():
        if not results.small and (claim.data not in ("", split.data) or claim.split not in ("", split.split)):
            continue
        of_below, of_above = read(below, name), read(claim.above, name)
        if seeds := of_below.keys() & of_above.keys():
            by_split[name] = {seed: paired(of_below[seed], of_above[seed]) for seed in seeds}
    common = sorted(set.intersection(*map(set, by_split.values()))) if by_split else []
    return {name: [seeds[seed] for seed in common] for name, seeds in by_split.items()}


def _pool(pairs: Iterable[AnswerPairs]) -> AnswerPairs:
    """Returns all answers of pairs as one."""
    below, above = zip(*pairs, strict=True)
    return list(chain.from_iterable(below)), list(chain.from_iterable(above))


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
        and claim.split in ("", column.split)
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


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's test on figures of two rows.

    Attributes:
        p_value: two-sided.
        pairs: of figures.
    """

    p_value: float
    pairs: int


def signed_rank_of_ours(results: Results, above: int, below: int) -> SignedRank | None:
    """Tests our figures of two rows as `signed_rank` those of the paper, rounded alike; None if a row was not run.

    Each figure is the mean of as many seeds in both rows. N-acc and T-acc, of which one grows as the other falls, and
    which the paper's table does not have, are left out.
    """
    rows = results.rows[above].values, results.rows[below].values
    titles = [column.title for column in results.columns if column.metric not in ("N-acc", "T-acc")]
    both = [[row[title] for row in rows] for title in titles if all(title in row for row in rows)]
    if not both:
        return None
    seeds = min(len(values) for pair in both for values in pair)
    differences = [round(100 * (mean(a[:seeds]) - mean(b[:seeds])), 2) for a, b in both]
    return SignedRank(wilcoxon(differences), len(differences))
