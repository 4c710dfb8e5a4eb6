"""The report of an evaluation: numbers with their protocol, printed as tables, written as JSON, Markdown and HTML."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.counting import counted
from refseg.errors import printable
from refseg.evaluation.earlier_results import REPORT, TEXT
from refseg.evaluation.report.breakdown import (
    Table,
    breakdowns,
    errors_by_type,
    finder_report,
    kinds_of_errors,
    perfect_choice,
    wrong_answers,
)
from refseg.evaluation.report.caveats import find_caveats
from refseg.evaluation.report.confidence import Reliability, RiskCoverage, curves
from refseg.evaluation.report.meanings import meanings
from refseg.evaluation.report.tables import split_columns
from refseg.evaluation.rows import ImageAnswers, Row, counts_of, rows_of
from refseg.evaluation.scoring import STANDARD
from refseg.evaluation.summarize import summarize
from refseg.protocols.protocol import Protocol
from refseg.protocols.video_protocol import Scoring

ERRORS = "kinds of error"


IOUS, NONE = ("oIoU", "mIoU", "Prec@0.5", "Prec@0.7", "Prec@0.9"), ("N-acc", "T-acc")


OF_VIDEOS = ("J&F", "J", "F", "tIoU", "vIoU", "mAP")


OF_BOXES = ("Acc@0.5", "Acc@0.75", "Acc@0.9", "mAcc")


OF_ABSENCE = ("mRR", "rIoU", "See")


COLUMNS = ("expressions", "answers", "no_target", *OF_VIDEOS, *OF_BOXES, *IOUS, *NONE, *OF_ABSENCE)


PROTOCOL_COLUMNS = ("mAP", *OF_BOXES, *IOUS, "gIoU", "cIoU", *NONE, *OF_ABSENCE, "Acc")


VIDEO_COLUMNS = ("J&F", "J", "J recall", "J decay", "F", "F recall", "F decay", "tIoU", "vIoU")


COUNTS = ("expressions", "answers", "no_target", "objects", "found", "wrong", "images")


SHORT = {
    "expressions": "expr.",
    "no_target": "none",
    **{f"Prec@0.{x}": f"P@.{x}" for x in "5679"},
}


TITLES = {
    "type": "type of expression",
    "kind": "kind",
    "length": "length of the expression",
    "size": "size of the target",
    "referents": "number of referents",
    "part": "held-out part",
    "annotator": "annotator",
}


Section = tuple[str, list[str], list[list[str]]]
"""Title, head and lines of a table."""


@dataclass
class Report:
    """Report of one evaluation; all shares in [0, 1], unrounded.

    Attributes:
        about: data set, weights, protocols, seed, hardware and the like: what a number must not travel without.
        cautions: why the figures may mean little, in plain words.
        metrics: by protocol, over all expressions, by the protocol's own names.
        intervals: 95 % intervals of some of them.
        by: by protocol, metrics by type, kind, length, size, number of referents and part.
        errors: kinds of error: how many, which share, mean IoU.
        errors_by_type: share of each kind among the answers to each type of expression, by kind.
        risk_coverage, reliability: of the probability of existence; None if it is unknown.
        finder: how well objects were found; empty for a network that knows none.
        perfect_choice: what the found objects would score if always the right ones were chosen; empty as above.
        wrong: what wrong answers are due to; empty as above.
        shortcuts: metrics of answers without understanding, where asked for.
    """

    about: dict[str, Any]
    cautions: list[str]
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    by: dict[str, dict[str, Table]]
    errors: Table
    errors_by_type: Table
    risk_coverage: RiskCoverage | None = None
    reliability: Reliability | None = None
    finder: dict[str, float] = field(default_factory=dict)
    perfect_choice: dict[str, float] = field(default_factory=dict)
    wrong: Table = field(default_factory=dict)
    shortcuts: Table = field(default_factory=dict)

    @property
    def first(self) -> str:
        """Name of the first protocol."""
        return next(iter(self.metrics))

    @property
    def shown(self) -> str:
        """Name of the items: images or videos."""
        return "videos" if "videos" in self.about else "images"

    def overall(self) -> list[Section]:
        """Returns the tables over all expressions."""
        videos = {name: values for name, values in self.metrics.items() if "J&F" in values}
        others = {name: values for name, values in self.metrics.items() if name not in videos}
        tables = [section("whole videos, by protocol", videos, VIDEO_COLUMNS, "protocol")]
        each = "answers to single frames" if self.shown == "videos" else "all expressions"
        tables.append(section(f"{each}, by protocol", others, PROTOCOL_COLUMNS, "protocol"))
        for name, intervals in self.intervals.items():
            lines = [
                [metric, percent(self.metrics[name][metric]), _interval(value)] for metric, value in intervals.items()
            ]
            title = f"95 % intervals of {name}, resampled over {self.shown}"
            tables.append((title, ["metric", "value", "interval"], lines))
        errors = {kind: {"answers": line["expressions"], **line} for kind, line in self.errors.items()}
        tables.append(section(ERRORS, errors, ("answers", "share", "mean IoU"), "kind"))
        return [table for table in tables if table[2]]

    def breakdown(self, protocol: str) -> list[Section]:
        """Returns the tables by type, size and the like under one protocol."""
        return [section(f"by {TITLES[name]}, {protocol}", table, COLUMNS) for name, table in self.by[protocol].items()]

    def rest(self) -> list[Section]:
        """Returns the tables of errors by type, of confidence, of objects and of shortcuts."""
        types = tuple(self.by[self.first].get("type", {}))
        tables = [section("kinds of error by type of expression", self.errors_by_type, types, "kind")]
        if self.risk_coverage and self.reliability:
            head = ["area under risk-coverage", "expected calibration error", "Brier score"]
            values = [self.risk_coverage.area, self.reliability.ece, self.reliability.brier]
            tables.append(("how sure it is of existence, as fractions", head, [[f"{value:.4f}" for value in values]]))
        if self.finder:
            names = ("objects", "found", "recall", "precision", "mean IoU")
            tables.append(section("objects found, without language", {"all": self.finder}, names))
            tables.append(section("if the choice were perfect", {"all": self.perfect_choice}, COLUMNS))
            causes = ("expressions", "wrong", "missed", "choice", "mask")
            tables.append(section("wrong answers and what they are due to", self.wrong, causes))
        if self.shortcuts:
            tables.append(section(f"shortcuts, {STANDARD.name}", self.shortcuts, (*IOUS, *NONE)))
        return [table for table in tables if table[2]]

    def sections(self) -> list[Section]:
        """All tables that are printed; breakdowns are those of the protocol that was asked for first."""
        return [*self.overall(), *self.breakdown(self.first), *self.rest()]

    def printed_by_releases(self) -> dict[str, str]:
        """Each protocol's headline figures in the form in which its release prints them, by protocol."""
        described = self.about["protocols"]
        return {
            name: ", ".join(
                f"{metric} {format_as_release(self.metrics[name][metric], metric, described[name])}"
                for metric in described[name]["headline"]
                if metric in self.metrics[name]
            )
            for name in self.metrics
        }

    def title(self) -> str:
        """Returns data set, split and system in one line."""
        about = self.about
        return printable(f"{about['dataset']}, split {about['split']}: {about['answers']}")

    def counts(self) -> str:
        """Returns the numbers of images or videos, expressions and no-targets in one line, and of what they are."""
        about = self.about
        selected = f"; {printable(about['selection'])}" if "selection" in about else ""
        if self.shown == "videos":
            answers = (
                f"{counted(about['videos'], 'video')}, {counted(about['frames'], 'frame')}, "
                f"{counted(about['expressions'], 'expression')}"
            )
            return (
                f"{answers}, {counted(about['frame_answers'], 'answer')}, {about['no_target']:,} of them without target"
            )
        return (
            f"{counted(about['images'], 'image')}, {counted(about['expressions'], 'expression')}, "
            f"{about['no_target']:,} without target{selected}"
        )

    def facts(self) -> dict[str, str]:
        """Returns the facts that a number travels with, as text by name."""
        return {
            name.replace("_", " "): describe_fact(value)
            for name, value in self.about.items()
            if name not in ("protocols",)
        }

    def markdown(self) -> str:
        """The report as Markdown."""
        text = [f"# {self.title()}", ""]
        text += [f"> **Beware.** {printable(caution)}\n" for caution in self.cautions]
        text += [f"* {name}: {value}" for name, value in self.facts().items()]
        text += ["", "| protocol | compares | its release prints |", "| --- | --- | --- |"]
        text += [
            f"| {name} | {self.about['protocols'][name]['about']} | {figures or '-'} |"
            for name, figures in self.printed_by_releases().items()
        ]
        for title, head, lines in self.sections():
            ruler = ["---", *(["---:"] * (len(head) - 1))]
            text += ["", f"## {title[0].upper()}{title[1:]}", ""]
            text += [f"| {' | '.join(line)} |" for line in (head, ruler, *lines)]
        return "\n".join(text) + "\n"

    def result(self) -> list[str]:
        """Returns the headline figures in a line for each protocol."""
        about = self.about["protocols"]
        lines = []
        for name, values in self.metrics.items():
            metrics = [metric for metric in about[name]["headline"] if metric in values]
            figures = ", ".join(f"{metric} {percent(values[metric])} %" for metric in metrics)
            lines.append(f"{self.title()}, protocol {name}: {figures or 'no figure'} ({self.counts()})")
        return lines

    def print_result(self, console: Console) -> None:
        """Prints a line for each protocol, and what is to be known of them."""
        for caution in self.cautions:
            console.print(Text(f"beware: {printable(caution)}", style="yellow"))
        for line in self.result():
            console.print(line)

    def print(self, console: Console) -> None:
        """Prints the tables; what is between brackets is a name of the user's, not markup."""
        console.print(f"{self.title()}: {self.counts()}; percent", highlight=False, markup=False)
        for caution in self.cautions:
            console.print(Text(f"beware: {printable(caution)}", style="yellow"))
        for title, head, lines in self.sections():
            console.print(Text(f"\n{title}", style="bold"))
            for number, (part_head, part_lines) in enumerate(split_columns(head, lines, console.width)):
                if number:
                    console.print()
                table = RichTable(*part_head, box=None, pad_edge=False)
                for column in table.columns[1:]:
                    column.justify, column.no_wrap = "right", True
                for line in part_lines:
                    table.add_row(*line)
                console.print(table, markup=False)
        console.print(Text("\nwhat the figures are", style="bold"))
        for meaning in meanings(name for metrics in self.metrics.values() for name in metrics):
            console.print(meaning, highlight=False, markup=False)
        console.print("kinds of error, and more of these: docs/evaluation.md", highlight=False, markup=False)

    def write(self, folder: Path) -> None:
        """Writes report.json and report.md into a folder."""
        content = json.dumps(_without_nan(asdict(self)), indent=1)
        (folder / REPORT).write_text(content + "\n", encoding="utf-8")
        (folder / TEXT).write_text(self.markdown(), encoding="utf-8")


def build_report(
    answers: Sequence[ImageAnswers],
    protocols: Sequence[Scoring],
    about: Mapping[str, Any],
    checkpoint: Checkpoint | None = None,
) -> Report:
    """Builds the report of answers of a checkpoint, or of another program if that is None."""
    rows = rows_of(answers)
    image_ids = {p.name: [row.image_id for row in rows if p.name in row.scores] for p in protocols}
    metrics = {protocol.name: summarize(rows, protocol) for protocol in protocols}
    of_images = [protocol for protocol in protocols if isinstance(protocol, Protocol)]
    intervals = {p.name: p.intervals(counts_of(rows, p.name), image_ids[p.name]) for p in of_images}
    unfamiliar = [image.unfamiliar for image in answers if image.unfamiliar is not None]
    known = {"unfamiliar_images": f"{100 * sum(unfamiliar) / len(unfamiliar):.1f} %"} if unfamiliar else {}
    found = [image.found for image in answers if image.found]
    curve, calibrated = curves(rows) or (None, None)
    described = {
        p.name: {
            "about": p.about,
            "headline": p.headline,
            "percent": p.percent,
            "digits": p.digits,
            "fractions": p.fractions,
        }
        for p in protocols
    }
    return Report(
        about={"answers": "", **about, **_numbers(rows), **known, "protocols": described},
        cautions=find_caveats(answers, protocols, checkpoint),
        metrics=metrics,
        intervals={name: values for name, values in intervals.items() if values},
        by={protocol.name: breakdowns(rows, protocol) for protocol in protocols},
        errors=kinds_of_errors(rows),
        errors_by_type=errors_by_type(rows),
        risk_coverage=curve,
        reliability=calibrated,
        finder=finder_report(found) if found else {},
        perfect_choice=perfect_choice(rows) if found else {},
        wrong=wrong_answers(rows) if found else {},
    )


def percent(share: float) -> str:
    """Formats a share as percent with two decimals."""
    return "nan" if math.isnan(share) else f"{100 * share:.2f}"


def _numbers(rows: Sequence[Row]) -> dict[str, int]:
    """How many images or videos, expressions and answers there are."""
    none, images = sum(not row.has_target for row in rows), len({row.image_id for row in rows})
    if not any(row.frame for row in rows):
        return {"images": images, "expressions": len(rows), "no_target": none}
    return {
        "videos": images,
        "frames": len({(row.image_id, row.frame) for row in rows}),
        "expressions": len({(row.image_id, row.id) for row in rows}),
        "frame_answers": len(rows),
        "no_target": none,
    }


def format_as_release(value: float, metric: str, described: Mapping[str, Any]) -> str:
    """Formats a figure as the official release of a protocol prints it."""
    if described["percent"] and metric not in described["fractions"]:
        return f"{100 * value:.{described['digits']}f} %"
    return f"{value:.{described['digits']}f}"


def section(title: str, table: Mapping[str, Mapping[str, float]], columns: Sequence[str], corner: str = "") -> Section:
    """Returns a table of the columns that have any figure; undefined ones are dashes, names from data are escaped."""
    columns = [name for name in columns if any(name in line for line in table.values())]
    lines = [[printable(name), *(_cell(column, line) for column in columns)] for name, line in table.items() if columns]
    return title, [corner, *(SHORT.get(column, printable(column)) for column in columns)], lines


def describe_fact(value: Any) -> str:
    """Formats a fact as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {describe_fact(inner)}" for name, inner in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else printable(str(value))


def _cell(column: str, line: Mapping[str, float]) -> str:
    if column not in line:
        return "-"
    return f"{int(line[column]):,}" if column in COUNTS else percent(line[column])


def _interval(value: tuple[float, float]) -> str:
    return " to ".join(map(percent, value))


def _without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
