"""Choice of the expressions that a gallery shows."""

import random
from collections.abc import Iterable, Sequence
from itertools import combinations
from statistics import mean
from typing import Any, TypeVar

from refseg.counting import counted
from refseg.errors import InvalidInput, did_you_mean, shown
from refseg.inspection.gallery.asked import ids_of, iou
from refseg.samples import Sample

RANDOM, DISAGREEMENT, WORST, GAIN = "random", "disagreement", "worst", "gain"
SORTS = {
    RANDOM: "at random",
    DISAGREEMENT: "those on which the answers differ most",
    WORST: "those whose answers have the lowest mean IoU",
    GAIN: "those on which the last answer is better than the first by most",
}
"""Orders of the lines, and what the gallery says of them."""

Place = tuple[int, int]
"""Number of a sample, and of an expression of it."""
AnyPlace = TypeVar("AnyPlace", bound=tuple[Any, Any])


def score(sort: str, answers: Sequence[Any], truth: Any | None) -> float:
    """Returns how far in front an expression stands.

    Args:
        sort: `DISAGREEMENT`, `WORST` or `GAIN`.
        answers: run-length codes, of each system one.
        truth: the same; None where it is not known.
    """
    if sort == DISAGREEMENT:
        return mean(1 - iou(a, b) for a, b in combinations(answers, 2))
    assert truth is not None
    ious = [iou(answer, truth) for answer in answers]
    return -mean(ious) if sort == WORST else ious[-1] - ious[0]


def highest(scores: Sequence[tuple[float, AnyPlace]], number: int) -> list[AnyPlace]:
    """Returns the places with the highest scores, of each sample (the place's first part) one before any has a second.

    >>> highest([(0.9, (0, 0)), (0.8, (0, 1)), (0.5, (1, 0)), (0.1, (2, 0))], 3)
    [(0, 0), (1, 0), (2, 0)]
    >>> highest([(0.9, (0, 0)), (0.8, (0, 1)), (0.5, (1, 0))], 3)
    [(0, 0), (0, 1), (1, 0)]
    """
    ranked = sorted(scores, key=lambda one: (-one[0], one[1]))
    turns, seen = list[int](), dict[Any, int]()
    for _, (sample, _) in ranked:
        seen[sample] = seen.get(sample, -1) + 1
        turns.append(seen[sample])
    first = sorted(range(len(ranked)), key=lambda k: (turns[k], k))[:number]
    return [ranked[k][1] for k in sorted(first)]


def told(number: int, every: int, sort: str) -> str:
    """Returns how expressions are chosen, in words.

    >>> told(12, 1204, DISAGREEMENT)
    '12 of 1,204 expressions, those on which the answers differ most'
    >>> told(12, 3, WORST)
    'all 3, first those whose answers have the lowest mean IoU'
    """
    if number < every:
        return f"{counted(number, 'expression', every)}, {SORTS[sort]}"
    return f"all {every}, first {SORTS[sort]}"


def at_random(known: Sequence[int], number: int, seed: int) -> list[int]:
    """Returns numbers of random samples among those that are known, in their order."""
    return sorted(random.Random(seed).sample(known, min(number, len(known))))


def any_of(indices: Sequence[int], sample: int, seed: int) -> int:
    """Returns one of the expressions of a sample; another seed, another one."""
    return random.Random(f"{seed} {sample}").choice(indices)


def every(samples: Iterable[Sample]) -> list[tuple[int, int, str]]:
    """Returns all expressions: number of the sample, of the expression, and id."""
    return [(k, index, id) for k, sample in enumerate(samples) for index, id in enumerate(ids_of(sample))]


def named(samples: Iterable[Sample], expressions: Sequence[str]) -> list[tuple[int, int, str]]:
    """Returns the expressions of these ids or texts, in the order that they are named, as `every`.

    Raises:
        InvalidInput: if there is none.
    """
    found: dict[str, list[tuple[int, int, str]]] = {one: [] for one in expressions}
    by_text = {_plain(one): one for one in expressions}
    texts: dict[str, None] = {}
    for k, sample in enumerate(samples):
        for index, id in enumerate(ids_of(sample)):
            text = sample.expressions[index].text
            texts[text] = None
            for one in {id, sample.expression_id(index), by_text.get(_plain(text), "")} & found.keys():
                found[one].append((k, index, id))
    for one, places in found.items():
        if not places:
            raise InvalidInput(
                f"no expression of this split has the id or the text {shown(one)}; {did_you_mean(one, texts)}`refseg "
                "data ids` prints all ids and texts"
            )
    return list(dict.fromkeys(place for places in found.values() for place in places))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
