"""Runs a study: trains its rows one after another, scores them alike, and writes its table after each.

OUT/trainings/NETWORK-KEY/   runs of `refseg train`; equal rows of all studies in OUT are one
OUT/STUDY/                   see `results`
"""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg.checkpoints.schema import CONFIG
from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, RefsegError, UnwritableOutput, another_out, setting
from refseg.evaluation.rows import ROWS
from refseg.files.atomic import check_writable, write_atomically
from refseg.files.lock import only_writer
from refseg.hardware import check_device_name
from refseg.progress import Progress, no_progress
from refseg.recipes.early_checks import check_early
from refseg.recipes.recipe import FileData, Recipe
from refseg.studies import find_study
from refseg.studies.resolve import (
    SMALL_COUNT,
    ScoredSplit,
    check_small,
    get_answering_settings,
    list_scored_splits,
    parse_rows,
    resolve_data,
    resolve_recipe,
    training_key,
)
from refseg.studies.results import Costs, Results, read_results, row_folder
from refseg.studies.row_costs import are_current, costs_key, count_row
from refseg.studies.study import Study
from refseg.studies.write import PICTURE_FILES, STUDY_FILE, write_study

if TYPE_CHECKING:
    from refseg.checkpoints.checkpoint import Checkpoint

DATA_FOLDER_VARIABLE = "REFSEG_DATA"  # environment variable: folder of data sets
TRAININGS_FOLDER, SECONDS_FILE, SCORES_FOLDER = "trainings", "seconds", "scores"


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
        InvalidInput: for unknown names, rows and settings, and if the folder holds the study with other settings.
        MissingFile: if files of the data sets are missing.
        UnwritableOutput: if `out` cannot be written.
        TrainingStopped: if Ctrl-C or a signal asked for an end; it is a KeyboardInterrupt.
    """
    study, out = find_study(name), Path(out)
    check_device_name(device)
    if study.tests and costs_only:
        raise InvalidInput(f"{name} is tests of the figures of {study.tests}; ask for the costs of that one")
    if study.tests:
        run_study(
            study.tests,
            out,
            small=small,
            rows=rows,
            seeds=seeds,
            devices=devices,
            device=device,
            settings=settings,
            progress=progress,
            on_message=on_message,
        )
        return _write(study, out, small, settings, seeds, {})
    if small:
        check_small(study)
    numbers = parse_rows(study, rows)
    is_trained = study.is_trained and not costs_only
    trainings = list(_list_trainings(study, numbers, small, settings, seeds if is_trained else 1))
    if not trainings:
        raise InvalidInput(
            f"{name} has no recipe for these rows; refseg study {name} --show prints the paper's figures"
        )
    for _, _, _, recipe in trainings:
        check_early(recipe)
    if is_trained:
        _check_data([recipe for *_, recipe in trainings])
    folder = out / name
    check_writable(folder)
    earlier = _read_earlier(folder, small, settings)
    seeds = max(seeds, int(earlier.get("seeds", 1)))
    costs = read_costs(folder, earlier)
    with only_writer(folder):
        for number in _find_stale_rows(study, small, settings, seeds, costs):
            on_message(f"{name}, row {study.rows[number - 1].label}: its recipe has changed; its figures are left out")
            if costs.pop(number).key:
                for file in PICTURE_FILES:
                    (folder / file).unlink(missing_ok=True)
                for rows_of in (folder / "rows").glob(f"{number:02}-*"):
                    shutil.rmtree(rows_of)
        results = _write(study, out, small, settings, seeds, costs)
        if is_trained:
            if small:
                on_message(f"{name}: each training is scored on the first {SMALL_COUNT} of split test")
            _tell_work(study, out, trainings, on_message)
        checked = set[int]()
        for number, seed, data, recipe in trainings:
            key = training_key(recipe)
            run = training_folder(out, recipe)
            noted = costs.get(number)
            if number not in checked and not are_current(study, noted, costs_key(study, number, recipe), device):
                on_message(f"{name}, row {study.rows[number - 1].label}: is counted")
                cost = count_row(study, number, recipe, device)
                if noted:  # what its training took stays true
                    cost = replace(cost, key=noted.key, pairs=noted.pairs, seconds=noted.seconds)
                costs[number] = cost
            checked.add(number)  # of several data sets the first one is counted
            if is_trained:
                label = f"{name}, row {study.rows[number - 1].label}" + (f", seed {seed}" if seeds > 1 else "")
                was_done = _is_done(run)
                _train(recipe, run, devices, progress, partial(_say, on_message, label))
                for place in list_scored_splits(study, small).values():
                    if small or place.data == data:
                        scored = _score(study, number, recipe, run, place, device, progress, on_message)
                        _copy(scored / ROWS, row_folder(folder, study, number, place.name, seed, small) / ROWS)
                costs[number] = replace(costs[number], key=key, pairs=_count_pairs(recipe), seconds=_read_seconds(run))
                if not was_done:
                    _tell_work(study, out, trainings, on_message)
            results = _write(study, out, small, settings, seeds, costs)
    return results


def _tell_work(
    study: Study, out: Path, trainings: Sequence[tuple[int, int, str, Recipe]], on_message: Callable[[str], None]
) -> None:
    """Tells how many trainings are done, and how long the others take if they are like those."""
    runs = {training_folder(out, recipe) for *_, recipe in trainings}
    done = list(filter(_is_done, runs))
    line = f"{study.name}: {counted(len(done), 'training', len(runs))} done"
    seconds = [taken for run in done if (taken := _read_seconds(run))]
    if seconds and len(done) < len(runs):
        left = sum(seconds) / len(seconds) * (len(runs) - len(done))
        line += f"; the others take about {math.ceil(left / 60):,} min, if they are like these"
    on_message(line)


def _is_done(run: Path) -> bool:
    """Whether the folder of a training holds the weights of its end."""
    return (run / "weights" / CONFIG).is_file()


def training_folder(out: Path, recipe: Recipe) -> Path:
    """Returns the folder of a training in a folder of studies."""
    return out / TRAININGS_FOLDER / f"{recipe.network}-{training_key(recipe)}"


def _check_data(recipes: Sequence[Recipe]) -> None:
    """Raises MissingFile if nothing says where the data sets of recipes are, before the first of them is trained."""
    files = [recipe.data for recipe in recipes if isinstance(recipe.data, FileData)]
    lost = {data.dataset for data in files if "root" not in data.settings and not data.dataset.startswith("drawn_")}
    if lost and not os.environ.get(DATA_FOLDER_VARIABLE):
        root = setting("data.settings.root", f"data/{min(lost)}")
        raise MissingFile(
            f"it is not known where {', '.join(sorted(lost))} is; give its folder, such as {root}, or set "
            f"{DATA_FOLDER_VARIABLE} to the folder that holds it; docs/datasets.md says where to get it"
        )


def _say(on_message: Callable[[str], None], label: str, line: str) -> None:
    on_message(f"{label}: {line}")


def _list_trainings(
    study: Study, numbers: Sequence[int], small: bool, settings: Sequence[str], seeds: int
) -> Iterator[tuple[int, int, str, Recipe]]:
    """Yields (number of the row, seed, data, recipe); all rows with the first seed, then with the next."""
    for seed in range(seeds if study.is_trained else 1):
        for number in numbers:
            row = study.rows[number - 1]
            for data in ("",) if small else [data for data, _ in study.recipe_names(row)]:
                recipe = resolve_recipe(study, row, data, small, settings, seed)
                if recipe is not None:
                    yield number, seed, data, recipe


def _find_stale_rows(
    study: Study, small: bool, settings: Sequence[str], seeds: int, costs: Mapping[int, Costs]
) -> list[int]:
    """Returns the rows whose figures are of another recipe than today's, for example of another version."""
    stale = []
    for number, cost in costs.items():
        recipes = [recipe for *_, recipe in _list_trainings(study, (number,), small, settings, seeds)]
        if cost.key:
            is_stale = cost.key not in map(training_key, recipes)
        else:  # is counted and not trained; of an earlier version it is not known what was counted
            is_stale = bool(cost.costs_key) and cost.costs_key not in [costs_key(study, number, one) for one in recipes]
        if is_stale:
            stale.append(number)
    return stale


def _read_earlier(folder: Path, small: bool, settings: Sequence[str]) -> dict[str, Any]:
    """Returns what the study in a folder has noted; {} if there is none.

    Raises:
        UnwritableOutput: if it was run with other settings.
    """
    noted = read_noted(folder)
    if noted:
        check_settings(folder, noted, small, settings)
    return noted


def check_settings(folder: Path, noted: Mapping[str, Any], small: bool, settings: Sequence[str]) -> None:
    """Checks that the study in a folder was run with these settings.

    Raises:
        UnwritableOutput: if it was run with others.
    """
    if (before := (noted["small"], noted["settings"])) != (small, list(settings)):
        told = [
            f"{'in small' if one else 'at full size'}, {' '.join(some) or 'no settings'}"
            for one, some in (before, (small, settings))
        ]
        raise UnwritableOutput(
            f"{folder} holds this study with other settings ({told[0]}; now {told[1]}), which would not be alike; "
            f"choose {another_out()}"
        )


def read_noted(folder: Path) -> dict[str, Any]:
    """Returns what the study in a folder has noted; {} if there is none.

    Raises:
        UnwritableOutput: if it is damaged.
    """
    try:
        noted: dict[str, Any] = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
        _ = noted["small"], noted["settings"]
    except FileNotFoundError:
        return {}
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UnwritableOutput(f"{folder / STUDY_FILE} is damaged; choose {another_out()}, or delete it") from error
    return noted


def read_costs(folder: Path, noted: Mapping[str, Any]) -> dict[int, Costs]:
    """Returns the costs of rows among what the study in a folder has noted.

    Raises:
        UnwritableOutput: if they are damaged.
    """
    try:
        return {int(number): Costs(**cost) for number, cost in noted.get("costs", {}).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UnwritableOutput(f"{folder / STUDY_FILE} is damaged; choose {another_out()}, or delete it") from error


def _write(
    study: Study, out: Path, small: bool, settings: Sequence[str], seeds: int, costs: Mapping[int, Costs]
) -> Results:
    results = read_results(study, out / study.name, small, settings, seeds, costs)
    write_study(results)
    return results


def _train(recipe: Recipe, run: Path, devices: int, progress: Progress, on_message: Callable[[str], None]) -> None:
    """Trains a recipe, or the rest of it; does nothing if it is finished."""
    if _is_done(run):
        on_message(f"is trained ({run})")
        return
    begun = (run / "recipe.yaml").is_file()
    on_message(f"{'goes on' if begun else 'is trained'} in {run}")
    with _note_seconds(run):
        if devices > 1:
            _train_on(recipe, run, devices, begun)
            return
        from refseg.training.run import train

        others = [other for other in sorted(run.parent.glob("*")) if other != run]
        train(recipe, run, resume=begun, progress=progress, loggers=("csv",), others=others)


def _train_on(recipe: Recipe, run: Path, devices: int, begun: bool) -> None:
    """Trains on several devices: as a command, since each of the processes runs it from its beginning."""
    file = run.with_suffix(".yaml")
    with write_atomically(file) as unfinished:
        unfinished.write_text(recipe.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "refseg", "train", str(file), "--out", str(run), "--devices", str(devices)]
    code = subprocess.run([*command, "--logger", "csv", *(["--resume"] if begun else [])], check=False).returncode
    if code in (130, 143, 129):
        raise KeyboardInterrupt
    if code:
        raise RefsegError(f"the training in {run} ended with an error, which is told above; the same command goes on")


@contextmanager
def _note_seconds(run: Path) -> Iterator[None]:
    """Adds the wall time to a note in the run's folder; that of a killed process is lost."""
    begin, before = time.monotonic(), _read_seconds(run) or 0.0
    try:
        yield
    finally:
        if run.is_dir():
            with write_atomically(run / SECONDS_FILE) as unfinished:
                unfinished.write_text(f"{before + time.monotonic() - begin:.1f}\n", encoding="ascii")


def _read_seconds(run: Path) -> float | None:
    try:
        return float((run / SECONDS_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _score(
    study: Study,
    number: int,
    recipe: Recipe,
    run: Path,
    place: ScoredSplit,
    device: str,
    progress: Progress,
    on_message: Callable[[str], None],
) -> Path:
    """Scores the weights of a training on a place, unless it was done; returns the folder of the results."""
    from refseg.evaluation.evaluate import evaluate
    from refseg.inference.crf import DenseCRF

    differs = get_answering_settings(study, study.rows[number - 1])
    dataset, settings = resolve_data(recipe, place)
    protocols = "-".join(place.protocols) + ("-crf" if place.crf else "")
    folder = run / SCORES_FOLDER / f"{place.name}-{protocols}{f'-row{number}' if differs else ''}"
    if not (folder / ROWS).is_file():
        evaluate(
            row_weights(study, number, recipe, run),
            dataset,
            protocols=place.protocols,
            out=folder,
            device=device,
            crf=DenseCRF() if place.crf else None,
            progress=progress,
            on_message=on_message,
            **settings,
        )
    return folder


def row_weights(study: Study, number: int, recipe: Recipe, run: Path) -> "Path | Checkpoint":
    """Returns the weights of a training as a row answers with them."""
    differs = get_answering_settings(study, study.rows[number - 1])
    return _load_changed(run / "weights", recipe, differs) if differs else run / "weights"


def _load_changed(weights: Path, recipe: Recipe, settings: Sequence[str]) -> "Checkpoint":
    """Returns the checkpoint with settings of its network that act when it answers."""
    from refseg import networks
    from refseg.checkpoints.io import load_checkpoint

    checkpoint = load_checkpoint(weights, "cpu")
    config = recipe.with_settings(list(settings)).config
    network = networks.build(recipe.network, config, vocabulary_size=len(checkpoint.tokenizer))
    network.load_state_dict(checkpoint.network.state_dict())
    network.exists_threshold_logit = checkpoint.network.exists_threshold_logit
    return replace(checkpoint, network=network.eval())


def _copy(source: Path, target: Path) -> None:
    with write_atomically(target) as unfinished:
        shutil.copyfile(source, unfinished)


def _count_pairs(recipe: Recipe) -> int | None:
    """Returns images with an expression that are seen in training; None where stages are given in epochs."""
    stages = [stage for stage in recipe.stages if stage.expressions_per_image]
    if any(stage.steps is None for stage in stages):
        return None
    return sum((stage.steps or 0) * stage.images * stage.expressions_per_image for stage in stages)
