"""Statistics of a data set, numbers and plots, for `refseg data stats`."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from refseg.counting import counted
from refseg.errors import InvalidInput, printable
from refseg.optional import import_optional
from refseg.samples import Sample
from refseg.text.expression_types import LENGTHS, NAME_ONLY, PRECEDENCE, length_class, types
from refseg.text.vocabulary import split_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Histogram = dict[str, int]
Track = Callable[[Sequence[Any], str], Iterable[Any]]

FREQUENT = 30
PERCENTILES = (5, 25, 50, 75, 95)
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Of the image's area: where the classes of referents' sizes end."""
GLUE = frozenset("a an the of in on at to with and is that it its".split())
"""Not counted among frequent words."""


@dataclass(frozen=True)
class Statistics:
    """Statistics of a split; a histogram maps classes to counts.

    Attributes:
        images, expressions: how many.
        no_target: expressions that refer to nothing.
        expressions_per_image, words, referents: histograms, the latter two per expression.
        areas: share of the image that expressions with a referent mean; of the box where there are no masks.
        area_percentiles: of the same, in [0, 1].
        types_by: source of the types: "data set" or "rules" (text.expression_types).
        main_types: one type an expression; by rules, a bare noun is of type `NAME_ONLY`.
        all_types: every type that applies; empty where the data set has one only.
        lengths: classes of length.
        frequent: the most frequent words but articles and the like.
        different_words: how many.
    """

    images: int
    expressions: int
    no_target: int
    expressions_per_image: Histogram
    words: Histogram
    referents: Histogram
    areas: Histogram
    area_percentiles: dict[str, float]
    types_by: str
    main_types: Histogram
    all_types: Histogram
    lengths: Histogram
    frequent: Histogram
    different_words: int

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values for JSON."""
        return asdict(self)

    def markdown(self, title: str) -> str:
        """Returns everything as tables in Markdown."""
        lines = [f"# {title}", ""]
        per_image = self.expressions / self.images
        lines += [
            f"{counted(self.images, 'image')}, {counted(self.expressions, 'expression')} ({per_image:.1f} an image), "
            f"{self.no_target:,} of them without a referent ({self.no_target / self.expressions:.1%}), "
            f"{counted(self.different_words, 'different word')}, "
            f"{_mean(self.words):.2f} words an expression, at most {max(map(int, self.words))}.",
        ]
        if self.area_percentiles:
            middle = ", ".join(f"{value:.1%} ({name} %)" for name, value in self.area_percentiles.items())
            lines += ["", f"Area of referents as a share of the image, by percentile: {middle}."]
        for name, histogram in self._tables().items():
            total = sum(histogram.values()) if name != ALL_TYPES else self.expressions
            rows = [f"| {_cell(key)} | {value:,} | {value / total:.1%} |" for key, value in histogram.items()]
            lines += ["", f"## {name}", "", "| | number | share |", "|---|---:|---:|", *rows]
        words = ", ".join(f"{printable(word)} {count:,}" for word, count in self.frequent.items())
        return "\n".join([*lines, "", "## Most frequent words", "", words, ""])

    def figure(self) -> "Figure":
        """Draws the histograms as one figure.

        Raises:
            InvalidInput: if matplotlib is not installed.
        """
        sheet = figure_class()(figsize=(13, 10), layout="constrained")
        panels = {**self._tables(), "Most frequent words": dict(list(self.frequent.items())[:20])}
        for axes, (name, histogram) in zip(sheet.subplots(3, 3).flat, panels.items(), strict=False):
            _draw(axes, name, histogram)
        for axes in sheet.axes[len(panels) :]:
            axes.axis("off")
        return sheet

    def _tables(self) -> dict[str, Histogram]:
        tables = {
            "Expressions per image": self.expressions_per_image,
            "Words per expression": self.words,
            "Length": self.lengths,
            "Referents per expression": self.referents,
            "Area of referents": self.areas,
            f"Main type, by {self.types_by}": self.main_types,
            ALL_TYPES: self.all_types,
        }
        return {name: histogram for name, histogram in tables.items() if histogram}


ALL_TYPES = "Every type that applies"


def figure_class() -> "type[Figure]":
    """Imports matplotlib's `Figure`.

    Raises:
        InvalidInput: if it is not installed.
    """
    found: type[Figure] = import_optional("matplotlib.figure", "plots need matplotlib", "plot").Figure
    return found


def describe(samples: Sequence[Sample], track: Track = lambda items, what: items) -> Statistics:
    """Computes the statistics; photographs are not opened where annotations have their size.

    Args:
        samples: a split of any data set.
        track: gives the same items again, and may show progress.
    """
    per_image, words, referents, areas = Counter[int](), Counter[int](), Counter[int](), []
    own_types, main, every, lengths, vocabulary = (Counter[str]() for _ in range(5))
    for sample in track(samples, "expressions"):
        per_image[len(sample.expressions)] += 1
        known: dict[tuple[int, ...], float | None] = {}
        for i, expression in enumerate(sample.expressions):
            split = split_words(expression.text)
            vocabulary.update(split)
            words[len(split)] += 1
            lengths[length_class(expression.text)] += 1
            referents[len(expression.targets)] += 1
            own_types[expression.type] += 1
            of_types = types(expression.text) or (NAME_ONLY,)
            main[of_types[0]] += 1
            every.update(of_types)
            if expression.targets not in known:
                known[expression.targets] = _share(sample, i)
            share = known[expression.targets]
            if share is not None:
                areas.append(share)
    own = own_types[""] == 0
    frequent = [(word, count) for word, count in vocabulary.most_common(FREQUENT + len(GLUE)) if word not in GLUE]
    return Statistics(
        images=per_image.total(),
        expressions=words.total(),
        no_target=referents[0],
        expressions_per_image=_binned(per_image),
        words=_ordered(words),
        referents=_ordered(referents),
        areas=_area_classes(areas),
        area_percentiles={str(p): round(float(np.percentile(areas, p)), 5) for p in PERCENTILES} if areas else {},
        types_by="data set" if own else "rules",
        main_types=dict(own_types.most_common()) if own else _in_order(main, (*PRECEDENCE, NAME_ONLY)),
        all_types={} if own else _in_order(every, (*PRECEDENCE, NAME_ONLY)),
        lengths=_in_order(lengths, LENGTHS),
        frequent=dict(frequent[:FREQUENT]),
        different_words=len(vocabulary),
    )


def _share(sample: Sample, index: int) -> float | None:
    """Returns the share of the image that the referents cover; None without referents or annotations."""
    if not sample.expressions[index].targets:
        return None
    try:
        return float(sample.mask(index).mean())
    except InvalidInput:  # no mask
        pass
    try:
        box = sample.box(index)
    except InvalidInput:
        return None
    height, width = sample.size_hw
    return None if box is None else (box[2] - box[0]) * (box[3] - box[1]) / (height * width)


def _area_classes(areas: Sequence[float]) -> Histogram:
    counts, _ = np.histogram(areas, SHARES)
    names = [f"{low:.0%} to {high:.0%}" for low, high in zip(SHARES, SHARES[1:], strict=False)]
    return dict(zip(names, counts.tolist(), strict=True)) if len(areas) else {}


def _binned(counts: Counter[int], most: int = 12) -> Histogram:
    """Returns counts of values if they are few, otherwise of classes of equal width."""
    low, high = min(counts), max(counts)
    width = -(-(high - low + 1) // most)
    found: Histogram = {}
    for begin in range(low, high + 1, width):
        name = str(begin) if width == 1 else f"{begin}-{begin + width - 1}"
        found[name] = sum(counts[value] for value in range(begin, begin + width))
    return found


def _ordered(counts: Counter[int]) -> Histogram:
    return {str(value): counts[value] for value in sorted(counts) if counts[value]}


def _in_order(counts: Counter[str], names: Sequence[str]) -> Histogram:
    return {name: counts[name] for name in names if counts[name]}


def _mean(histogram: Histogram) -> float:
    return sum(int(value) * count for value, count in histogram.items()) / sum(histogram.values())


def _cell(text: str) -> str:
    """Escapes a text for a table of Markdown."""
    return printable(text).replace("|", "\\|")


def _draw(axes: "Axes", name: str, histogram: Histogram) -> None:
    names = [text.replace("$", r"\$") for text in histogram]  # or matplotlib reads a formula
    bars = axes.barh(names, list(histogram.values()), color="#4477aa")
    if len(histogram) <= 12:
        axes.bar_label(bars, labels=[f"{value:,}" for value in histogram.values()], fontsize=7, padding=2)
    axes.invert_yaxis()
    axes.set_title(name, fontsize=10)
    axes.tick_params(labelsize=7)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
