"""What a study has measured so far, read from its folder.

FOLDER/study.json                          settings of all rows, and the figures, unrounded
FOLDER/study.md  FOLDER/study.html         the same to read
FOLDER/rows/ROW/expressions.jsonl          of the first seed; seed1/ and so on are of further ones. ROW/SPLIT/ where
                                           rows are scored on several splits
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev

from refseg import protocols
from refseg.evaluation.report.breakdown import grouped
from refseg.evaluation.report.caveats import share_missed
from refseg.evaluation.rows import ROWS, read_rows
from refseg.evaluation.rows import Row as AnswerRow
from refseg.evaluation.summarize import summarize
from refseg.studies import find_study
from refseg.studies.resolve import STANDARD_NAME, ScoredSplit, list_columns, list_scored_splits, name_scored_split
from refseg.studies.study import Column, Row, Study


@dataclass(frozen=True)
class Costs:
    """What a row costs.

    Attributes:
        parameters, multiply_adds: of its network, without the word encoder.
        parts: the same by component as thop counts, "total" among them.
        words: of the word encoder, "all" of it and its "layers" as thop counts; {} if they were not counted.
        fps: images a second, one at a time, on `machine`; None if they were not measured.
        estimated_hours: of training on one device of `machine`, from a measured step; None likewise.
        machine: that was measured, "" if none was.
        device: that computed there.
        pairs: images with an expression that it saw in training, the mean of its trainings; None where the size of a
            data set is not known.
        seconds: of training, as far as they were noted; None if it was not trained.
        keys: of its trainings, of all seeds and data sets; see `training_key`.
        costs_key: of what was counted, see `row_costs`; "" if that is not known.
    """

    parameters: int
    multiply_adds: int
    parts: Mapping[str, Mapping[str, int]]
    pairs: int | None = None
    seconds: float | None = None
    keys: tuple[str, ...] = ()
    words: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    fps: float | None = None
    estimated_hours: float | None = None
    machine: str = ""
    device: str = ""
    costs_key: str = ""


@dataclass
class RowFigures:
    """Figures of one row.

    Attributes:
        values: by column, of each seed, in [0, 1].
        by_type: oIoU by type of expression, of each seed, in small.
        missed: share of empty answers about what is there, of each split and seed.
        costs: of the row, None if they were not counted.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    by_type: dict[str, list[float]] = field(default_factory=dict)
    missed: list[float] = field(default_factory=list)
    costs: Costs | None = None


@dataclass(frozen=True)
class Results:
    """A study and what is measured of it.

    Attributes:
        study: the table.
        folder: where it lies.
        small: whether on drawn scenes or clips.
        settings: of all rows.
        seeds: how many were asked for, at most.
        rows: figures by number of the row.
        tested: of the study whose rows this one tests against each other; None if it has no tests.
    """

    study: Study
    folder: Path
    small: bool
    settings: tuple[str, ...]
    seeds: int
    rows: Mapping[int, RowFigures]
    tested: "Results | None" = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of our table."""
        return list_columns(self.study, self.small)

    def read_answers(self, number: int, split: str) -> dict[int, list[AnswerRow]]:
        """Returns the answers of a row to all expressions of a scored split, by seed; of those that were run."""
        files = {
            seed: row_folder(self.folder, self.study, number, split, seed, self.small) / ROWS
            for seed in range(self.seeds)
        }
        return {seed: read_rows(file) for seed, file in files.items() if file.is_file()}


def row_folder(folder: Path, study: Study, number: int, split: str, seed: int, small: bool) -> Path:
    """Returns the folder of a row's answers: the row's own for the first seed, and where rows are scored on one split.

    Args:
        folder: of the study.
        study: of the row.
        number: of the row.
        split: name of the scored split.
        seed: counted from 0.
        small: whether the study is run in small.
    """
    label = re.sub(r"[^A-Za-z0-9.+-]+", "_", study.rows[number - 1].label).strip("_.")[:60]
    inner = folder / "rows" / f"{number:02}-{label}"
    if len(list_scored_splits(study, small)) > 1:
        inner /= split
    return inner / f"seed{seed}" if seed else inner


def read_results(
    study: Study, folder: Path, small: bool, settings: Sequence[str], seeds: int, costs: Mapping[int, Costs]
) -> Results:
    """Reads all figures of a study that are there."""
    tested = None
    if study.tests:
        others = folder.parent / study.tests
        tested = read_results(find_study(study.tests), others, small, settings, seeds, costs={})
    rows = {number: RowFigures() for number in range(1, len(study.rows) + 1)}
    results = Results(study, folder, small, tuple(settings), seeds, rows, tested)
    for number, measured in results.rows.items():
        measured.costs = costs.get(number)
        for name, split in list_scored_splits(study, small).items():
            for answers in results.read_answers(number, name).values():
                _add(measured, study, study.rows[number - 1], split, answers, small)
    return results


def _add(
    measured: RowFigures, study: Study, row: Row, split: ScoredSplit, answers: Sequence[AnswerRow], small: bool
) -> None:
    metrics = {name: summarize(answers, protocols.build(name)) for name in split.protocols}
    for column in list_columns(study, small):
        if not column.cost and (small or name_scored_split(column) == split.name):
            named = column.protocol or split.protocols[0]
            value = metrics[named].get(study.find_metric(row, column))
            if value is not None:
                measured.values.setdefault(column.title, []).append(value)
    measured.missed.append(share_missed(answers, STANDARD_NAME))
    if small:
        for kind, some in grouped((one for one in answers if one.has_target), "type").items():
            counted = [one.scores[STANDARD_NAME] for one in some]
            union = sum(score.union for score in counted)
            if union:
                share = sum(score.intersection for score in counted) / union
                measured.by_type.setdefault(kind, []).append(share)


def format_cell(values: Sequence[float]) -> str:
    """Returns a figure in percent, with the standard deviation over several seeds; "" if it was not run."""
    if not values:
        return ""
    spread = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.2f}{spread}"
