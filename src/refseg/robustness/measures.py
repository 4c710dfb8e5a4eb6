"""Answers of one system to figures with intervals: drops, consistency, flips, false alarms, calibration.

Everything is a function of sums over answers, kept image by image, so that resampled images give paired intervals: an
answer to a changed question and that to its original are always drawn together, and all systems meet the same draws.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.evaluation.report.confidence import BINS
from refseg.metrics import interval
from refseg.robustness.answers import UNKNOWN, Condition, Counted, ImageLine
from refseg.robustness.asked import ORIGINAL, Plan
from refseg.robustness.variant import NEW_WORDS

RESAMPLES = 1000
KNOWN_WORDS = "known words"
"""Level of a row about those sentences that have no words outside of the drawn grammar but those of the original."""
COLUMNS = (
    "answers",
    "known",  # answers whose truth is known
    "targets",  # of these, with a referent
    "iou",
    "intersection",
    "union",
    "original iou",
    "original intersection",
    "original union",
    "same",
    "right flips",
    "false alarms",
    "judged",  # answers with a probability of existence and a known truth
)
"""Sums over answers; the four after "targets" and the three of the originals are over those with a referent."""
_COLUMN = {name: k for k, name in enumerate(COLUMNS)}
Sums = NDArray[np.float64]
"""(..., len(COLUMNS) + 2 * BINS): COLUMNS, then probability and truth of existence by bins of the probability."""


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval over images.

    Attributes:
        value: NaN where it is not defined.
        draws: its values in resamples of the images; NaN as above.
    """

    value: float
    draws: NDArray[np.float64] = field(repr=False)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval; None where it is not defined."""
        defined = self.draws[~np.isnan(self.draws)]
        return None if math.isnan(self.value) or not len(defined) else interval(defined)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain values, ready for JSON."""
        return {"value": None if math.isnan(self.value) else self.value, "interval": self.interval}


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one kind of change, of all its levels or of one.

    Attributes:
        kind: of SENTENCE_KINDS or PICTURE_KINDS.
        level: severity, or form of the sentence; "" for all together; KNOWN_WORDS and NEW_WORDS for sentences of any
            form, without and with words outside of the drawn grammar that the original has not.
        effect: on the referent.
        certain: whether that is certain; other rows are no part of the headline.
        answers: number of changed questions.
        images: that they are about.
        figures: by name.
    """

    kind: str
    level: str
    effect: str
    certain: bool
    answers: int
    images: int
    figures: Mapping[str, Figure]

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain values, ready for JSON."""
        figures = {name: figure.to_dict() for name, figure in self.figures.items()}
        return {**{name: getattr(self, name) for name in self.__slots__ if name != "figures"}, "figures": figures}


@dataclass(frozen=True)
class Measured:
    """Everything that is measured of one system.

    Attributes:
        images, expressions: that it was asked about.
        headline: figures of all kinds together; each kind counts the same, whatever its number of questions.
        original: figures of the expressions as the data set has them.
        rows: figures by kind, effect and level.
        left_out: by kind, number of expressions of which there is no changed question of that kind; of changed pictures
            summed over their severities.
    """

    images: int
    expressions: int
    headline: dict[str, Figure]
    original: dict[str, Figure]
    rows: tuple[Row, ...]
    left_out: dict[str, int]

    def row(self, kind: str, effect: str = "stay", level: str = "", certain: bool = True) -> Row | None:
        """Returns the row of a kind; None if there is none."""
        wanted = kind, effect, level, certain
        return next((one for one in self.rows if (one.kind, one.effect, one.level, one.certain) == wanted), None)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain values, ready for JSON."""
        return {
            "images": self.images,
            "expressions": self.expressions,
            "headline": {name: figure.to_dict() for name, figure in self.headline.items()},
            "original": {name: figure.to_dict() for name, figure in self.original.items()},
            "kinds": [row.to_dict() for row in self.rows],
            "left_out": self.left_out,
        }


def measure(lines: Iterable[ImageLine], plan: Plan) -> Measured:
    """Computes all figures of a system.

    Args:
        lines: its answers, image after image.
        plan: the kinds that were asked.
    """
    sentences, pictures = plan.sentences, plan.pictures
    severities = Counter(kind for kind, _ in plan.conditions())
    of_images: list[dict[Condition, Sums]] = []
    unfamiliar: list[dict[tuple[str, str], bool]] = []
    expressions, left_out = 0, dict.fromkeys((*sentences, *pictures), 0)
    for line in lines:
        of_images.append(_sum_image(line))
        unfamiliar.append(line.unfamiliar)
        expressions += line.expressions
        for kind in left_out:
            asked = {
                (one.expression, condition.level if kind in pictures else "")
                for condition, some in line.counted.items()
                if condition.kind == kind
                for one in some
            }
            left_out[kind] += line.expressions * (severities[kind] or 1) - len(asked)
    weights = _resampled_weights(len(of_images))
    conditions = list(dict.fromkeys(condition for sums in of_images for condition in sums))

    rows: list[Row] = []
    for kind, effect, level, certain in _groups(conditions, (*sentences, *pictures)):
        of_group = [one for one in conditions if (one.kind, one.effect, one.certain) == (kind, effect, certain)]
        per_image = _gather(of_images, [one for one in of_group if _is_in(level, one.level)])
        figures = _figures(per_image, weights, effect)
        if kind in pictures and (strange := _share_unfamiliar(unfamiliar, kind, level, weights)):
            figures["unfamiliar"] = strange
        answers = per_image[:, _COLUMN["answers"]]
        rows.append(Row(kind, level, effect, certain, int(answers.sum()), int(np.count_nonzero(answers)), figures))
    original = _figures(_gather(of_images, [one for one in conditions if one.kind == ORIGINAL]), weights, "stay")
    for name in ("mIoU drop", "oIoU drop", "consistency"):
        original.pop(name, None)
    if strange := _share_unfamiliar(unfamiliar, ORIGINAL, "", weights):
        original["unfamiliar"] = strange
    of_kinds = []
    for kind in sentences:
        of_kind = [one for one in conditions if one.kind == kind and one.certain]
        per_image = _gather(of_images, of_kind)
        pooled = {"ECE": _figure(per_image, weights, _ece)} if per_image[:, _COLUMN["judged"]].any() else {}
        if flipping := [one for one in of_kind if one.effect != "stay"]:
            pooled |= _flips(_gather(of_images, flipping), weights)
        of_kinds.append(pooled)
    headline = _headline(rows, original, sentences, pictures, of_kinds)
    return Measured(len(of_images), expressions, headline, original, tuple(rows), left_out)


def _groups(conditions: Sequence[Condition], kinds: Sequence[str]) -> Iterator[tuple[str, str, str, bool]]:
    """Yields kind, effect, level and certainty of each row: all levels together, then each by itself."""
    for kind in kinds:
        of_kind = [one for one in conditions if one.kind == kind]
        for effect, certain in dict.fromkeys((one.effect, one.certain) for one in of_kind):
            levels = {one.level: None for one in of_kind if (one.effect, one.certain) == (effect, certain)}
            words = {NEW_WORDS if level.endswith(NEW_WORDS) else KNOWN_WORDS: None for level in levels}
            by_words = (KNOWN_WORDS, NEW_WORDS) if NEW_WORDS in words else ()
            forms = (level for level in levels if level and level != NEW_WORDS)
            for level in ("", *(one for one in by_words if one in words), *forms):
                yield kind, effect, level, certain


def _is_in(level: str, own: str) -> bool:
    """Whether a condition's own level is part of the level of a row."""
    if level in (KNOWN_WORDS, NEW_WORDS):
        return own.endswith(NEW_WORDS) == (level == NEW_WORDS)
    return level in ("", own)


def _gather(of_images: Sequence[Mapping[Condition, Sums]], chosen: Sequence[Condition]) -> Sums:
    """Returns the sums of these conditions for each image."""
    gathered = np.zeros((len(of_images), len(COLUMNS) + 2 * BINS))
    for image, sums in zip(gathered, of_images, strict=True):
        for condition in chosen:
            if condition in sums:
                image += sums[condition]
    return gathered


def difference(one: Figure, other: Figure) -> Figure:
    """Returns the paired difference of two systems, `one` minus `other`."""
    return Figure(one.value - other.value, one.draws - other.draws)


def _headline(
    rows: Sequence[Row],
    original: Mapping[str, Figure],
    sentences: Sequence[str],
    pictures: Sequence[str],
    pooled: Sequence[Mapping[str, Figure]],
) -> dict[str, Figure]:
    """Returns the means over kinds, of rows that are certain; `pooled` are those of sentences over several effects."""
    headline = {name: original[name] for name in ("mIoU", "oIoU", "ECE", "unfamiliar") if name in original}
    for prefix, kinds, effects, names in (
        ("sentences", sentences, ("stay",), ("mIoU drop", "oIoU drop", "consistency")),
        ("absent", sentences, ("vanish",), ("false alarms",)),
        ("pictures", pictures, ("stay",), ("mIoU drop", "oIoU drop", "consistency", "ECE", "unfamiliar")),
    ):
        chosen = [row for row in rows if row.kind in kinds and row.effect in effects and row.certain and not row.level]
        for name in names:
            if of_kinds := [row.figures[name] for row in chosen if name in row.figures]:
                headline[f"{prefix} {name}"] = _mean(of_kinds)
    for name, key in (("flips", "flips"), ("right flips", "right flips"), ("ECE", "sentences ECE")):
        if of_kinds := [figures[name] for figures in pooled if name in figures]:
            headline[key] = _mean(of_kinds)
    return headline


def _sum_image(line: ImageLine) -> dict[Condition, Sums]:
    """Returns the sums over an image's answers by condition."""
    originals = {one.expression: one for one in line.counted.get(Condition(ORIGINAL), ())}
    sums = {}
    for condition, some in line.counted.items():
        pairs = [(one, originals[one.expression]) for one in some if one.expression in originals]
        if pairs:
            sums[condition] = np.sum([_sum_answer(*pair) for pair in pairs], axis=0)
    return sums


def _sum_answer(one: Counted, original: Counted) -> Sums:
    sums = np.zeros(len(COLUMNS) + 2 * BINS)
    is_known = one.target != UNKNOWN
    values = {"answers": 1.0, "same": float(one.same), "known": float(is_known)}
    if is_known:
        iou = one.intersection / one.union if one.union else 1.0
        values["right flips"] = float(one.right and not one.same)
        values["false alarms"] = float(not one.target and bool(one.answered))
        if one.target:
            values |= {"targets": 1.0, "iou": iou, "intersection": one.intersection, "union": one.union}
            values |= {
                "original iou": original.intersection / original.union if original.union else 1.0,
                "original intersection": original.intersection,
                "original union": original.union,
            }
        if one.exists is not None:
            place = len(COLUMNS) + min(int(one.exists * BINS), BINS - 1)
            sums[place], sums[place + BINS] = one.exists, one.target
            values["judged"] = 1.0
    for name, value in values.items():
        sums[_COLUMN[name]] = value
    return sums


def _resampled_weights(images: int) -> NDArray[np.float64]:
    """Returns how often each image is drawn in each resample (RESAMPLES, images); of one image no resamples."""
    if images < 2:
        return np.ones((0, images))
    draws = np.random.default_rng(0).integers(0, images, (RESAMPLES, images))
    return np.stack([np.bincount(draw, minlength=images) for draw in draws]).astype(np.float64)


def _figure(per_image: Sums, weights: NDArray[np.float64], formula: Callable[[Sums], Any]) -> Figure:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(formula(np.vstack([per_image.sum(0), weights @ per_image])), np.float64)
    values[~np.isfinite(values)] = np.nan  # a division by 0
    return Figure(float(values[0]), values[1:])


def _figures(per_image: Sums, weights: NDArray[np.float64], effect: str) -> dict[str, Figure]:
    """Returns the figures that are defined for changes of this effect."""
    total = per_image.sum(0)

    def ratio(over: str, under: str) -> Callable[[Sums], Any]:
        return lambda sums: sums[:, _COLUMN[over]] / sums[:, _COLUMN[under]]

    def drop(now: Callable[[Sums], Any], before: Callable[[Sums], Any]) -> Callable[[Sums], Any]:
        return lambda sums: 1 - now(sums) / before(sums)

    mean_iou, overall_iou = ratio("iou", "targets"), ratio("intersection", "union")
    formulas: dict[str, Callable[[Sums], Any]] = {}
    if total[_COLUMN["targets"]]:
        formulas |= {"mIoU": mean_iou, "oIoU": overall_iou}
        if effect == "stay":
            formulas["mIoU drop"] = drop(mean_iou, ratio("original iou", "targets"))
            formulas["oIoU drop"] = drop(overall_iou, ratio("original intersection", "original union"))
    if effect == "stay" and total[_COLUMN["answers"]]:
        formulas["consistency"] = ratio("same", "answers")
    if total[_COLUMN["known"]] > total[_COLUMN["targets"]]:
        formulas["false alarms"] = lambda sums: (
            sums[:, _COLUMN["false alarms"]] / (sums[:, _COLUMN["known"]] - sums[:, _COLUMN["targets"]])
        )
    if total[_COLUMN["judged"]]:
        formulas["ECE"] = _ece
    figures = {name: _figure(per_image, weights, formula) for name, formula in formulas.items()}
    return figures if effect == "stay" else {**_flips(per_image, weights), **figures}


def _flips(per_image: Sums, weights: NDArray[np.float64]) -> dict[str, Figure]:
    figures = {
        "flips": _figure(per_image, weights, lambda sums: 1 - sums[:, _COLUMN["same"]] / sums[:, _COLUMN["answers"]])
    }
    if per_image[:, _COLUMN["known"]].any():
        figures["right flips"] = _figure(
            per_image, weights, lambda sums: sums[:, _COLUMN["right flips"]] / sums[:, _COLUMN["known"]]
        )
    return figures


def _ece(sums: Sums) -> NDArray[np.float64]:
    bins = sums[:, len(COLUMNS) :]
    error: NDArray[np.float64] = np.abs(bins[:, :BINS] - bins[:, BINS:]).sum(1) / sums[:, _COLUMN["judged"]]
    return error


def _mean(figures: Sequence[Figure]) -> Figure:
    """Returns the mean of figures of which each counts the same; those that are not defined are left out."""
    defined = [one for one in figures if not math.isnan(one.value)]
    if not defined:
        return figures[0]
    return Figure(
        float(np.mean([one.value for one in defined])),
        np.mean([np.where(np.isnan(one.draws), one.value, one.draws) for one in defined], axis=0),
    )


def _share_unfamiliar(
    unfamiliar: Sequence[Mapping[tuple[str, str], bool]], kind: str, level: str, weights: NDArray[np.float64]
) -> Figure | None:
    """Returns the share of pictures of a kind that the weights call unfamiliar; None where they do not say."""
    counts = np.zeros((len(unfamiliar), 2))
    for image, known in enumerate(unfamiliar):
        for (of_kind, of_level), value in known.items():
            if of_kind == kind and level in ("", of_level):
                counts[image] += value, 1
    return _figure(counts, weights, lambda sums: sums[:, 0] / sums[:, 1]) if counts[:, 1].any() else None
