"""The report of an evaluation: numbers with their protocol, printed as tables, written as Markdown and JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from refseg.checkpoints import Checkpoint
from refseg.crf import DenseCRF
from refseg.evaluation.answers import Row, answer, counts_of
from refseg.evaluation.breakdown import Table, breakdowns, finder_report, perfect_choice, score, wrong_answers
from refseg.evaluation.shortcuts import score_shortcuts
from refseg.protocols.standard import Standard
from refseg.samples import Sample

REPORT, TEXT, ROWS = "report.json", "report.md", "expressions.jsonl"
COLUMNS = ("expressions", "no_target", "oIoU", "mIoU", "Prec@0.5", "Prec@0.7", "Prec@0.9", "N-acc", "T-acc")
COUNTS = ("expressions", "no_target", "objects", "found", "wrong", "images")
SHORT = {"expressions": "expr.", "no_target": "none", **{f"Prec@0.{x}": f"P@.{x}" for x in "5679"}}
TITLES = {
    "type": "type of expression",
    "kind": "kind of relation",
    "size": "size of the target",
    "part": "held-out part",
}


@dataclass
class Report:
    """Everything that is said about one evaluation; all shares in [0, 1], unrounded.

    Attributes:
        about: data set, weights, protocol, seed, hardware and the like: what a number must not travel without.
        metrics: over all expressions, by the protocol's names.
        intervals: 95 % intervals of some of them.
        by: metrics by type, kind, size and part.
        finder: how well objects were found; empty for a network that knows none.
        perfect_choice: what the found objects would score if always the right ones were chosen; empty as above.
        wrong: what wrong answers are due to; empty as above.
        shortcuts: metrics of answers without understanding, where asked for.
    """

    about: dict[str, Any]
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    by: dict[str, Table]
    finder: dict[str, float] = field(default_factory=dict)
    perfect_choice: dict[str, float] = field(default_factory=dict)
    wrong: Table = field(default_factory=dict)
    shortcuts: Table = field(default_factory=dict)

    def sections(self) -> list[tuple[str, list[str], list[list[str]]]]:
        """Title, head and lines of each table, figures in percent."""
        everything = {"all": self.metrics | {name: self.about[name] for name in ("expressions", "no_target")}}
        overall = [_section("all expressions", everything, COLUMNS)]
        measured = [name for name in self.metrics if name not in COUNTS]
        lines = [
            [name, percent(self.metrics[name]), " to ".join(map(percent, self.intervals[name]))]
            for name in measured
            if name in self.intervals
        ]
        if lines:
            overall.append(("95 % intervals, resampled over images", ["metric", "value", "interval"], lines))
        overall.append(_section("no-target expressions included", {"all": self.metrics}, ("gIoU", "cIoU")))
        overall += [_section(f"by {TITLES[name]}", table, COLUMNS) for name, table in self.by.items()]
        if self.finder:
            names = ("objects", "found", "recall", "precision", "mean IoU")
            overall.append(_section("objects found, without language", {"all": self.finder}, names))
            overall.append(_section("if the choice were perfect", {"all": self.perfect_choice}, COLUMNS))
            causes = ("expressions", "wrong", "missed", "choice", "mask")
            overall.append(_section("wrong answers and what they are due to", self.wrong, causes))
        if self.shortcuts:
            overall.append(_section("shortcuts", self.shortcuts, COLUMNS[2:]))
        return [section for section in overall if section[2]]

    def markdown(self) -> str:
        """The report as Markdown."""
        about = self.about
        text = [f"# {about['dataset']}, split {about['split']}: {about['weights']['name']}", ""]
        text += [f"* {name.replace('_', ' ')}: {_said(value)}" for name, value in about.items()]
        for title, head, lines in self.sections():
            ruler = ["---", *(["---:"] * (len(head) - 1))]
            text += ["", f"## {title[0].upper()}{title[1:]}", ""]
            text += [f"| {' | '.join(line)} |" for line in (head, ruler, *lines)]
        return "\n".join(text) + "\n"

    def print(self, console: Console) -> None:
        """Prints the tables."""
        about = self.about
        console.print(
            f"{about['weights']['name']} on {about['dataset']}, split {about['split']}: protocol {about['protocol']}, "
            f"{about['images']:,} images, {about['expressions']:,} expressions, {about['no_target']:,} without target; "
            f"percent",
            highlight=False,
        )
        for title, head, lines in self.sections():
            table = RichTable(*head, box=None, pad_edge=False)
            for column in table.columns[1:]:
                column.justify, column.no_wrap = "right", True
            for line in lines:
                table.add_row(*line)
            console.print(Group(Text(f"\n{title}", style="bold"), table))

    def write(self, folder: Path, rows: Sequence[Row]) -> None:
        """Writes report.json, report.md and expressions.jsonl (one line per expression) into a folder."""
        content = json.dumps(asdict(self), indent=1)
        (folder / REPORT).write_text(content + "\n", encoding="utf-8")
        (folder / TEXT).write_text(self.markdown(), encoding="utf-8")
        with (folder / ROWS).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)


def evaluate(
    checkpoint: Checkpoint,
    samples: Sequence[Sample],
    protocol: Standard,
    about: Mapping[str, Any],
    shortcuts: bool = False,
    on_images: Callable[[int], None] = lambda images: None,
    crf: DenseCRF | None = None,
) -> tuple[Report, list[Row]]:
    """Answers every expression of the samples and sums it up.

    Args:
        checkpoint: what is evaluated.
        samples: the data set.
        protocol: how masks are scored.
        about: what the report says of data, weights and circumstances; the counts are added here.
        shortcuts: also score the answers without understanding, in a second pass.
        on_images: hears after each batch how many images were done; with shortcuts every image counts twice.
        crf: what draws masks to the edges of the image after the network; shortcuts are without it.
    """
    answers = answer(checkpoint, samples, protocol, on_images, crf)
    about = {**about, "crf": crf.model_dump()} if crf else about
    rows = answers.rows
    counts = score(rows, protocol)
    numbers = {name: int(counts.pop(name)) for name in ("expressions", "no_target")}
    image_ids = [row.image_id for row in rows]
    return (
        Report(
            about={**about, "protocol": protocol.name, "images": len(set(image_ids)), **numbers},
            metrics=counts,
            intervals=protocol.intervals(counts_of(rows), image_ids),
            by=breakdowns(rows, protocol),
            finder=finder_report(answers.finder) if answers.finder else {},
            perfect_choice=perfect_choice(rows, protocol) if answers.finder else {},
            wrong=wrong_answers(rows) if answers.finder else {},
            shortcuts=score_shortcuts(checkpoint, samples, protocol, on_images) if shortcuts else {},
        ),
        rows,
    )


def percent(share: float) -> str:
    """A share as percent with two decimals."""
    return f"{100 * share:.2f}"


def _section(title: str, table: Table, columns: tuple[str, ...]) -> tuple[str, list[str], list[list[str]]]:
    """A table of the columns that have a figure anywhere; what is undefined is a dash."""
    columns = tuple(name for name in columns if any(name in line for line in table.values()))
    lines = [[name, *(_cell(column, line) for column in columns)] for name, line in table.items() if columns]
    return title, ["", *(SHORT.get(column, column) for column in columns)], lines


def _cell(column: str, line: Mapping[str, float]) -> str:
    if column not in line:
        return "-"
    return f"{int(line[column]):,}" if column in COUNTS else percent(line[column])


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(inner)}" for name, inner in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
