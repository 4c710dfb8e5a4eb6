"""The report of a robustness test: tables to print, and robustness.json."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refseg.counting import counted
from refseg.evaluation.report.few_caveat import FEW_IMAGES
from refseg.evaluation.report.report import Section
from refseg.robustness import PROTOCOL
from refseg.robustness.answers import SAME
from refseg.robustness.examples import Example
from refseg.robustness.measures import Figure, Measured, difference

REPORT, PAGE = "robustness.json", "robustness.html"
HEADLINE = {
    "mIoU": "mIoU",
    "oIoU": "oIoU",
    "sentences mIoU drop": "mIoU drop, sentences",
    "sentences consistency": "consistent, sentences",
    "flips": "flips",
    "right flips": "right flips",
    "absent false alarms": "false alarms",
    "pictures mIoU drop": "mIoU drop, pictures",
    "pictures consistency": "consistent, pictures",
    "ECE": "ECE",
    "sentences ECE": "ECE, sentences",
    "pictures ECE": "ECE, pictures",
}
"""Figures of the first table, with their short names."""
MEANINGS = {
    "mIoU, oIoU": "of the expressions with a referent, as the data set has them",
    "mIoU drop": "1 - mIoU of the changed questions / mIoU of the same expressions before; negative where they are "
    "answered better",
    "consistent": f"share of the questions that mean the same and get the same answer: IoU with the answer to the "
    f"original of {SAME} or more, or nothing both times",
    "flips": "share of the sentences that mean another thing, or nothing, and get another answer than the original: "
    "IoU with it below half-way from the IoU of both truths to 1, so below 0.5 where these are apart",
    "right flips": f"the same, and the other answer is right: IoU of {SAME} or more and nearer to the new truth than "
    "to the old one, nothing where nothing matches",
    "false alarms": "share of the sentences that name what is absent and are answered with a mask",
    "ECE": "expected calibration error of the probability that there is a referent, in ten bins",
}
"""What the figures are."""

EFFECTS = {"stay": "stays", "change": "changes", "vanish": "vanishes"}
"""Effects on the referent as a table tells them."""


@dataclass
class RobustnessReport:
    """Report of one or several systems on the same questions; all shares in [0, 1], unrounded.

    Attributes:
        about: protocol, data set, kinds, severities, weights and the like: what a number must not travel without.
        cautions: why the figures may mean little, in plain words.
        systems: figures by name of the system, in the order in which they were given.
        examples: worst answers as pictures.
        sentences, pictures: kinds that were asked, with what they do.
        questions: what makes the questions of two reports the same: protocol, data, kinds, severities, seed.
        baselines: names of those systems that stand beside the others for comparison.
    """

    about: dict[str, Any]
    cautions: list[str]
    systems: dict[str, Measured]
    examples: list[Example] = field(default_factory=list)
    sentences: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, Any] = field(default_factory=dict)
    baselines: frozenset[str] = frozenset()

    @property
    def first(self) -> Measured:
        """Figures of the first system, whose questions are those of all."""
        return next(iter(self.systems.values()))

    @property
    def asked(self) -> dict[str, Measured]:
        """Figures of the systems that are no baselines."""
        return {name: measured for name, measured in self.systems.items() if name not in self.baselines}

    def title(self) -> str:
        """Returns the title: systems and data set."""
        data = " ".join(filter(None, [str(self.about["dataset"]), str(self.about.get("split", ""))]))
        return f"Robustness of {', '.join(self.asked or self.systems)} on {data}"

    def counts(self) -> str:
        """Returns protocol and numbers of images and questions."""
        questions = sum(row.answers for row in self.first.rows if not row.level)
        return (
            f"{self.about['protocol']}, {counted(self.first.images, 'image')}, "
            f"{counted(self.first.expressions, 'expression')}, {counted(questions, 'changed question')}"
        )

    def headline(self) -> Section:
        """Returns the table of all kinds together: a line for each figure, a column for each system."""
        names = [name for name in HEADLINE if any(name in one.headline for one in self.systems.values())]
        lines = [
            [HEADLINE[name], *(with_interval(measured.headline.get(name)) for measured in self.systems.values())]
            for name in names
        ]
        return "all kinds together", ["figure", *self.systems], lines

    def differences(self) -> list[Section]:
        """Returns the differences of further systems to the first one, each paired image by image."""
        others = {name: measured for name, measured in self.systems.items() if measured is not self.first}
        lines = []
        for name, short in HEADLINE.items():
            first = self.first.headline.get(name)
            cells = [
                with_interval(difference(own, first), "+") if first and (own := measured.headline.get(name)) else "-"
                for measured in others.values()
            ]
            if any(cell != "-" for cell in cells):
                lines.append([short, *cells])
        return [(f"minus {next(iter(self.systems))}", ["figure", *others], lines)] if lines else []

    def short(self) -> list[Section]:
        """Returns a table of one figure for each kind and effect: a line each, a column for each system."""
        lines = []
        for kinds, effect, name in (
            (self.sentences, "stay", "consistency"),
            (self.sentences, "change", "right flips"),
            (self.sentences, "vanish", "right flips"),
            (self.pictures, "stay", "mIoU drop"),
        ):
            for kind in kinds:
                rows = [measured.row(kind, effect) for measured in self.systems.values()]
                counts = [row.answers for row in rows if row]
                if counts:
                    cells = [percent(row.figures.get(name)) if row else "-" for row in rows]
                    lines.append([kind, EFFECTS[effect], f"{max(counts):,}", name, *cells])
        return [("by kind", ["kind", "referent", "questions", "figure", *self.systems], lines)] if lines else []

    def sections(self) -> list[Section]:
        """Returns the tables by kind, with intervals."""
        tables = [
            self._by_kind(
                "sentences that mean the same", self.sentences, "stay", ("mIoU drop", "oIoU drop", "consistency")
            ),
            self._by_kind("sentences that mean another object", self.sentences, "change", ("flips", "right flips")),
            self._by_kind(
                "sentences about what is absent", self.sentences, "vanish", ("flips", "right flips", "false alarms")
            ),
            self._by_kind(
                "pictures",
                self.pictures,
                "stay",
                ("mIoU drop", "oIoU drop", "consistency", "false alarms", "ECE", "unfamiliar"),
            ),
            *(self._by_severity(system, measured) for system, measured in self.systems.items()),
            *(
                self._by_kind(f"not certain, {title}, no part of the headline", self.sentences, effect, names, False)
                for effect, title, names in (
                    ("stay", "should mean the same", ("mIoU drop", "consistency")),
                    ("change", "should mean another object", ("flips",)),
                    ("vanish", "should match nothing", ("flips", "false alarms")),
                )
            ),
        ]
        return [table for table in tables if table[2]]

    def forms(self) -> list[Section]:
        """Returns the tables of those kinds of sentences that have several forms, by form."""
        lines = []
        names = ("mIoU drop", "consistency", "flips", "right flips", "false alarms")
        for row in self.first.rows:
            if row.kind in self.sentences and row.level and row.certain:
                for system, measured in self.systems.items():
                    own = measured.row(row.kind, row.effect, row.level)
                    if own is not None:
                        values = [percent(own.figures.get(name)) for name in names]
                        lines.append([row.kind, row.level, row.effect, f"{row.answers:,}", system, *values])
        head = ["kind", "form", "referent", "questions", "system", *names]
        return [("forms of changed sentences", head, lines)] if lines else []

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain values, ready for JSON."""
        return {
            "protocol": PROTOCOL,
            "about": self.about,
            "questions": dict(self.questions),
            "cautions": self.cautions,
            "systems": {name: measured.to_dict() for name, measured in self.systems.items()},
        }

    def write(self, folder: Path) -> None:
        """Writes robustness.json into a folder."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / REPORT).write_text(text + "\n", encoding="utf-8")

    def facts(self) -> dict[str, str]:
        """Returns how it was measured, for readers."""
        shown = {}
        for name, value in self.about.items():
            if isinstance(value, Mapping):
                value = ", ".join(f"{key} {one}" for key, one in value.items())
            elif isinstance(value, list | tuple):
                value = ", ".join(map(str, value))
            shown[name.replace("_", " ")] = str(value)
        return shown

    def _by_kind(
        self, title: str, kinds: Mapping[str, str], effect: str, names: Sequence[str], certain: bool = True
    ) -> Section:
        several = len(self.systems) > 1
        lines = []
        for kind in kinds:
            for place, (system, measured) in enumerate(self.systems.items()):
                row = measured.row(kind, effect, certain=certain)
                if row is None:
                    continue
                first = place == 0
                about = [kind, f"{row.answers:,}", f"{measured.left_out[kind]:,}"] if first else ["", "", ""]
                cells = [with_interval(row.figures.get(name)) for name in names]
                lines.append([*about, *([system] if several else []), *cells])
        shown = [k for k, _ in enumerate(names) if any(line[3 + several + k] != "-" for line in lines)]
        head = ["kind", "questions", "left out", *(["system"] if several else [])]
        kept = [line[: 3 + several] + [line[3 + several + k] for k in shown] for line in lines]
        return title, head + [names[k] for k in shown], kept

    def _by_severity(self, system: str, measured: Measured) -> Section:
        severities = list(dict.fromkeys(row.level for row in measured.rows if row.kind in self.pictures and row.level))
        severities.sort(key=int)
        lines = []
        for kind in self.pictures:
            rows = [measured.row(kind, level=level) for level in severities]
            if any(rows):
                drops = [percent(row.figures.get("mIoU drop")) if row else "" for row in rows]
                same = [percent(row.figures.get("consistency")) if row else "" for row in rows]
                lines.append([kind, *drops, *same])
        head = ["kind", *(f"drop at {level}" for level in severities), *(f"same at {level}" for level in severities)]
        if len(severities) < 2:
            lines = []
        return f"pictures by severity, {system}: mIoU drop, and share of the same answers", head, lines


def percent(figure: Figure | None, sign: str = "") -> str:
    """Formats a figure in percent; "-" where there is none."""
    return "-" if figure is None or math.isnan(figure.value) else _one_digit(figure.value, sign)


def _one_digit(share: float, sign: str) -> str:
    return f"{round(100 * share, 1) + 0.0:{sign}.1f}"  # without the sign of -0.0


def interval_text(figure: Figure, sign: str = "") -> str:
    """Formats the interval of a figure in percent; "-" where there is none."""
    ends = figure.interval
    return "-" if ends is None else f"{_one_digit(ends[0], sign)} to {_one_digit(ends[1], sign)}"


def with_interval(figure: Figure | None, sign: str = "") -> str:
    """Formats a figure and its interval in percent; "-" where there is none."""
    if figure is None or math.isnan(figure.value):
        return "-"
    ends = interval_text(figure, sign)
    return percent(figure, sign) if ends == "-" else f"{percent(figure, sign)} ({ends})"


def find_cautions(systems: Mapping[str, Measured]) -> list[str]:
    """Returns a sentence for each reason why the figures may mean little."""
    cautions = []
    images = next(iter(systems.values())).images
    if images < FEW_IMAGES:
        cautions.append(f"Only {counted(images, 'image')}: too few for decimals to matter. Look at the intervals.")
    for name, measured in systems.items():
        strange = measured.original.get("unfamiliar")
        if strange is not None and strange.value >= 0.05:
            cautions.append(
                f"{name} calls {100 * strange.value:.0f} % of these images unlike all that it was trained on, before "
                "anything is changed: its figures say how it fails here."
            )
    return cautions
