"""Choice of the expressions that a gallery shows."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean
from typing import Any, NamedTuple

from pycocotools import mask as coco

from refseg.counting import counted
from refseg.inspection.gallery.find_by_name import find_by_name
from refseg.inspection.gallery.shown_samples import encode_ignored, leave_out, list_ids, rle_iou
from refseg.samples import Sample

RANDOM, DISAGREEMENT, WORST, GAIN = "random", "disagreement", "worst", "gain"
SORTS = {
    RANDOM: "at random",
    DISAGREEMENT: "those on which the answers differ most",
    WORST: "those whose answers have the lowest mean IoU",
    GAIN: "those on which the last answer is better than the first by most",
}
"""Orders of the lines, and what the gallery says of them."""
EACH_IN_ITS_SHARE = "of each image one first, and about nothing as many as is their share"
"""How `choose_highest` takes turns."""

Place = tuple[int, int]
"""Number of a sample, and of an expression of it."""


@dataclass(frozen=True, eq=False)
class FoundExpression:
    """An expression of a data set.

    Attributes:
        place: where it is.
        id: by which masks of it are stored.
        has_target: Whether it refers to anything.
        ignored: run-length code of the pixels that are not scored; None if all are.
    """

    place: Place
    id: str
    has_target: bool
    ignored: Mapping[str, Any] | None = None


class ScoredExpression(NamedTuple):
    """An expression with how far in front it stands.

    Attributes:
        image: number or name of its image.
        key: its number, or its name, among all.
        score: the highest comes first.
        pixels: about which answers differ; of those with one score the largest comes first, since it is seen best.
        has_target: Whether it refers to anything.
    """

    image: Any
    key: Any
    score: float
    pixels: int = 0
    has_target: bool = True


def score_expression(sort: str, found: FoundExpression, answers: Sequence[Any], truth: Any | None) -> ScoredExpression:
    """Returns an expression with its score.

    Args:
        sort: `DISAGREEMENT`, `WORST` or `GAIN`.
        found: the expression.
        answers: run-length codes, of each system one.
        truth: the same; None where it is not known.
    """
    answers = [leave_out(answer, found.ignored) for answer in answers]
    masks = [*answers, *([] if truth is None else [truth])]
    pixels = int(coco.area(coco.merge(masks))) - int(coco.area(coco.merge(masks, intersect=True)))
    if sort == DISAGREEMENT:
        score = mean(1 - rle_iou(a, b) for a, b in combinations(answers, 2))
    else:
        ious = [rle_iou(answer, truth) for answer in answers]
        score = -mean(ious) if sort == WORST else ious[-1] - ious[0]
    return ScoredExpression(found.place[0], found.place, score, pixels, found.has_target)


def choose_highest(given: Sequence[ScoredExpression], number: int) -> list[Any]:
    """Returns the keys of those with the highest scores, of each image one before any has a second.

    Those that refer to nothing are as many among them as is their share: an answer to them is right or wrong, so that
    they would be in front of all others.

    >>> of_images = [ScoredExpression(image, k, 1 - k / 10) for k, image in enumerate("aabc")]
    >>> choose_highest(of_images, 3)
    [0, 2, 3]
    >>> choose_highest([of_images[0], ScoredExpression("a", 1, 1.0, pixels=5), of_images[2]], 3)
    [1, 0, 2]
    >>> choose_highest([ScoredExpression(k, k, 1 - k / 10, has_target=k > 1) for k in range(6)], 3)
    [0, 2, 3]
    """
    without = [one for one in given if not one.has_target]
    share = round(number * len(without) / max(len(given), 1))
    share = max(share, number - (len(given) - len(without)))
    chosen = _take_first([one for one in given if one.has_target], number - share, ())
    chosen += _take_first(without, share, [one.image for one in chosen])
    return [one.key for one in sorted(chosen, key=_get_sort_key)]


def _take_first(given: Sequence[ScoredExpression], number: int, taken: Iterable[Any]) -> list[ScoredExpression]:
    """Returns those in front, of each image one before any that is taken has another."""
    seen, turns = dict.fromkeys(taken, 1), list[tuple[int, ScoredExpression]]()
    for one in sorted(given, key=_get_sort_key):
        turns.append((seen.get(one.image, 0), one))
        seen[one.image] = turns[-1][0] + 1
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])[:number]]


def _get_sort_key(one: ScoredExpression) -> tuple[Any, ...]:
    return -one.score, -one.pixels, one.key


def describe_selection(number: int, every: int, sort: str) -> str:
    """Returns how expressions are chosen, in words.

    >>> describe_selection(12, 1204, RANDOM)
    '12 of 1,204 expressions, at random'
    >>> describe_selection(12, 3, WORST)
    'all 3, first those whose answers have the lowest mean IoU'
    """
    if number < every:
        turns = "" if sort == RANDOM else f" ({EACH_IN_ITS_SHARE})"
        return f"{counted(number, 'expression', every)}, {SORTS[sort]}{turns}"
    return f"all {every}, first {SORTS[sort]}"


def pick_samples(known: Sequence[int], number: int, seed: int) -> list[int]:
    """Returns numbers of random samples among those that are known, in their order."""
    return sorted(random.Random(seed).sample(known, min(number, len(known))))


def pick_expression(indices: Sequence[int], sample: int, seed: int) -> int:
    """Returns one of the expressions of a sample; another seed, another one."""
    return random.Random(f"{seed} {sample}").choice(indices)


def list_expressions(samples: Iterable[Sample]) -> list[FoundExpression]:
    """Returns all expressions."""
    return [one for k, sample in enumerate(samples) for one in _iter_expressions(k, sample)]


def find_named(samples: Iterable[Sample], expressions: Sequence[str]) -> list[FoundExpression]:
    """Returns the expressions of these ids or texts, in the order that they are named.

    Raises:
        InvalidInput: if there is no expression of a name.
    """
    known = (
        (one, {one.id, sample.expression_id(one.place[1])}, sample.expressions[one.place[1]].text)
        for k, sample in enumerate(samples)
        for one in _iter_expressions(k, sample)
    )
    return find_by_name(expressions, known, "`refseg data ids` prints all ids and texts of a split")


def _iter_expressions(number: int, sample: Sample) -> Iterator[FoundExpression]:
    for index, (id, expression) in enumerate(zip(list_ids(sample), sample.expressions, strict=True)):
        yield FoundExpression((number, index), id, bool(expression.targets), encode_ignored(sample, index))
