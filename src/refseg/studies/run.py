"""Runs a study: trains its rows one after another, scores them alike, and writes its table after each.

OUT/trainings/   see `trainings`
OUT/STUDY/       see `results`
"""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import mean

from refseg.counting import counted
from refseg.errors import InvalidInput, RefsegError, option
from refseg.evaluation.rows import ROWS
from refseg.files.atomic import check_writable, write_atomically
from refseg.files.lock import only_writer
from refseg.hardware import check_device_name
from refseg.networks import configured
from refseg.progress import Progress, no_progress
from refseg.recipes.early_checks import check_early
from refseg.studies import find_study
from refseg.studies.resolve import SMALL_COUNT, check_small, list_splits_of, parse_rows, training_key
from refseg.studies.results import Costs, Results, read_results, row_folder
from refseg.studies.row_costs import are_current, costs_key, count_row
from refseg.studies.score_row import score_row
from refseg.studies.study import Study
from refseg.studies.study_file import check_settings, read_costs, read_noted
from refseg.studies.trainings import (
    Training,
    check_data,
    check_scored_splits,
    count_mean_pairs,
    is_trained,
    list_trainings,
    read_seconds,
    train_row,
    training_folder,
)
from refseg.studies.write import PICTURE_FILES, write_study


def run_study(
    name: str,
    out: str | Path,
    *,
    small: bool = False,
    rows: str = "",
    costs_only: bool = False,
    seeds: int = 1,
    devices: int = 1,
    device: str = "auto",
    settings: Sequence[str] = (),
    progress: Progress = no_progress,
    on_message: Callable[[str], None] = print,
) -> Results:
    """Trains and scores the rows of a study, or what is left of them.

    The same call goes on where it was stopped, at the row and the step; other rows and further seeds add to it.

    Args:
        name: of the study.
        out: folder of this and other studies.
        small: whether on drawn scenes or clips instead of the paper's data.
        rows: numbers, "1,8" or "2-4"; all if empty.
        costs_only: whether to count and measure what the rows cost, and train nothing; no data are needed.
        seeds: trainings of each row.
        devices: processes of each training, each with its own device.
        device: of the scoring, and of what is measured: "cpu", "cuda", or "auto" for a GPU if there is one. Speed that
            is noted of another device or machine is kept for "auto", and measured again for others.
        settings: "a.b=value", of the recipes of all rows.
        progress: shows progress, as `refseg.commands.progress.progress`.
        on_message: receives lines for the user.

    Raises:
        InvalidInput: for unknown names, rows and settings.
        MissingFile: if files of the data sets are missing.
        UnwritableOutput: if `out` cannot be written, or holds the study with other settings.
        RefsegError: in the end, if some trainings failed; the others are done.
        TrainingStopped: if Ctrl-C or a signal asked for an end; it is a KeyboardInterrupt.
    """
    study = find_study(name)
    check_device_name(device)
    for what, count in (("seeds", seeds), ("devices", devices)):
        if count < 1:
            raise InvalidInput(f"{what} is {count}; give at least 1")
    run = _StudyRun(study, Path(out), small, tuple(settings), seeds, devices, device, progress, on_message)
    numbers = parse_rows(study, rows)
    if not study.tests:
        return run.run(numbers, costs_only)
    if costs_only:
        raise InvalidInput(f"{name} is tests of the figures of {study.tests}; ask for the costs of that one")
    tested = {number for row in numbers for number in study.rows[row - 1].tested or ()}
    found = replace(run, study=find_study(study.tests)).run(sorted(tested), costs_only)
    results = read_results(study, run.folder, small, settings, found.seeds, {})
    write_study(results)
    return results


@dataclass
class _StudyRun:
    """A study on its way; for the arguments see `run_study`.

    Attributes:
        costs: of the rows, as far as they are known.
    """

    study: Study
    out: Path
    small: bool
    settings: Sequence[str]
    seeds: int
    devices: int
    device: str
    progress: Progress
    on_message: Callable[[str], None]
    costs: dict[int, Costs] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of the study."""
        return self.out / self.study.name

    def run(self, numbers: Sequence[int], costs_only: bool) -> Results:
        """Counts, trains and scores what is left of some rows, and writes the table after each."""
        study, small = self.study, self.small
        if small:
            check_small(study)
        trains = study.is_trained and not costs_only
        seeds = self.seeds if trains else 1
        trainings = list(list_trainings(study, numbers, small, self.settings, seeds))
        self._check(trainings, trains)
        noted = read_noted(self.folder)
        if noted and (self.folder / "rows").is_dir():
            check_settings(self.folder, noted, small, self.settings)
        self.seeds = max(self.seeds, int(noted.get("seeds", 1)))
        self.costs = read_costs(self.folder, noted)
        with only_writer(self.folder):
            self._drop_stale_rows()
            results = self._write()
            if trains:
                if small:
                    self.on_message(f"{study.name}: each training is scored on the first {SMALL_COUNT} of split test")
                self._tell_work(trainings)
            counted_rows = set[int]()  # of several data sets the first one is counted
            failed: list[str] = []
            for training in trainings:
                if training.number not in counted_rows:
                    self._count(training)
                counted_rows.add(training.number)
                if trains:
                    was_trained = is_trained(training_folder(self.out, training.recipe))
                    try:
                        self._train_and_score(training, trainings)
                    except RefsegError as error:  # the other rows may do better
                        failed.append(self._label(training))
                        self.on_message(f"{failed[-1]}: {error}")
                    if not was_trained:
                        self._tell_work(trainings)
                results = self._write()
        if failed:
            raise RefsegError(
                f"{counted(len(failed), 'training', len(trainings))} or their scoring failed, for the reasons above: "
                f"{'; '.join(failed[:5])}; the same command tries again"
            )
        return results

    def _check(self, trainings: Sequence[Training], trains: bool) -> None:
        """Checks all that can be known before anything is counted or trained."""
        if not trainings:
            study, every = self.study, range(1, len(self.study.rows) + 1)
            known = sorted({one.number for one in list_trainings(study, every, self.small, (), 1)})
            others = f"; rows {', '.join(map(str, known))} have" if known else ""
            if not known and study.has_small and not self.small:
                others = f"; run it with {option('small', True)}"
            if study.has_figures:
                others += f"; refseg study {study.name} --show prints the paper's figures"
            raise InvalidInput(f"{study.name} has no recipe for these rows{others}")
        recipes = [training.recipe for training in trainings]
        for recipe in recipes:
            check_early(recipe)
            configured(recipe.network, recipe.config)
        if trains:
            check_data(self.study, trainings, self.small)
            check_scored_splits(self.study, trainings, self.small)
        check_writable(self.folder)

    def _drop_stale_rows(self) -> None:
        """Leaves out the figures of rows that are of another recipe than today's, for example of another version."""
        for number, cost in list(self.costs.items()):
            trainings = list_trainings(self.study, (number,), self.small, self.settings, self.seeds)
            recipes = [training.recipe for training in trainings]
            if cost.keys:
                is_current = set(cost.keys) <= set(map(training_key, recipes))
            else:  # is counted and not trained; of an earlier version it is not known what was counted
                known = [costs_key(self.study, number, recipe) for recipe in recipes]
                is_current = not cost.costs_key or cost.costs_key in known
            if is_current:
                continue
            self.on_message(
                f"{self._name(number)}: its recipe has changed; its figures are left out until it is run again"
            )
            del self.costs[number]
            if cost.keys:
                for file in PICTURE_FILES:
                    (self.folder / file).unlink(missing_ok=True)
                for rows_of in (self.folder / "rows").glob(f"{number:02}-*"):
                    shutil.rmtree(rows_of)

    def _count(self, training: Training) -> None:
        """Counts what a row costs, unless that is known."""
        number, recipe, known = training.number, training.recipe, self.costs.get(training.number)
        if are_current(self.study, known, costs_key(self.study, number, recipe), self.device):
            return
        self.on_message(f"{self._name(number)}: is counted")
        cost = count_row(self.study, number, recipe, self.device)
        if known:  # what its training took stays true
            cost = replace(cost, keys=known.keys, pairs=known.pairs, seconds=known.seconds)
        self.costs[number] = cost

    def _train_and_score(self, training: Training, trainings: Sequence[Training]) -> None:
        """Trains and scores, or what is left of that, and notes it with the mean time of all trainings of the row."""
        study, number, recipe = self.study, training.number, training.recipe
        folder = training_folder(self.out, recipe)
        train_row(recipe, folder, self.devices, self.progress, partial(_say, self.on_message, self._label(training)))
        for split in list_splits_of(study, self.small, training.data):
            scored = score_row(study, training, folder, split, self.device, self.progress, self.on_message)
            target = row_folder(self.folder, study, number, split.name, training.seed, self.small) / ROWS
            with write_atomically(target) as unfinished:
                shutil.copyfile(scored / ROWS, unfinished)
        of_row = [one.recipe for one in trainings if one.number == number]
        folders = {training_folder(self.out, one) for one in of_row}
        seconds = [taken for one in folders if is_trained(one) and (taken := read_seconds(one)) is not None]
        known = self.costs[number]
        self.costs[number] = replace(
            known,
            keys=tuple(sorted({*known.keys, training_key(recipe)})),
            pairs=count_mean_pairs(of_row),
            seconds=mean(seconds) if seconds else None,
        )

    def _tell_work(self, trainings: Sequence[Training]) -> None:
        """Tells how many trainings are done, and how long the others take if they are like those."""
        folders = {training_folder(self.out, training.recipe) for training in trainings}
        done = list(filter(is_trained, folders))
        line = f"{self.study.name}: {counted(len(done), 'training', len(folders))} done"
        seconds = [taken for folder in done if (taken := read_seconds(folder))]
        if seconds and len(done) < len(folders):
            left = sum(seconds) / len(seconds) * (len(folders) - len(done))
            line += f"; the others take about {math.ceil(left / 60):,} min, if they are like these"
        self.on_message(line)

    def _name(self, number: int) -> str:
        return f"{self.study.name}, row {self.study.rows[number - 1].label}"

    def _label(self, training: Training) -> str:
        data = f", {training.data}" if training.data else ""
        return f"{self._name(training.number)}{data}" + (f", seed {training.seed}" if self.seeds > 1 else "")

    def _write(self) -> Results:
        results = read_results(self.study, self.folder, self.small, self.settings, self.seeds, self.costs)
        write_study(results)
        return results


def _say(on_message: Callable[[str], None], label: str, line: str) -> None:
    on_message(f"{label}: {line}")
