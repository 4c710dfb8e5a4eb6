"""Trainings of a study's rows, one after another; equal rows of all studies in a folder are one training.

OUT/trainings/NETWORK-KEY/   a run of `refseg train`
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from refseg.checkpoints.schema import CONFIG
from refseg.errors import InvalidInput, MissingFile, RefsegError, setting
from refseg.files.atomic import write_atomically
from refseg.progress import Progress
from refseg.recipes.recipe import FileData, Recipe
from refseg.studies.resolve import (
    check_scored_split,
    list_scored_splits,
    list_splits_of,
    resolve_data,
    resolve_recipe,
    training_key,
)
from refseg.studies.study import Study
from refseg.studies.timing import count_stage_images
from refseg.training.stopping import SIGNALS, stop_requests

DATA_FOLDER_VARIABLE = "REFSEG_DATA"  # environment variable: folder of data sets
TRAININGS_FOLDER, SECONDS_FILE = "trainings", "seconds"


@dataclass(frozen=True)
class Training:
    """A row of a study, trained once.

    Attributes:
        number: of the row.
        seed: counted from 0.
        data: stands for `DATA` in the name of the recipe.
        recipe: with the settings of the row and the study.
    """

    number: int
    seed: int
    data: str
    recipe: Recipe


def list_trainings(
    study: Study, numbers: Sequence[int], small: bool, settings: Sequence[str], seeds: int
) -> Iterator[Training]:
    """Yields the trainings of rows: all of them with the first seed, then with the next."""
    for seed in range(seeds if study.is_trained else 1):
        for number in numbers:
            row = study.rows[number - 1]
            for data in ("",) if small else [data for data, _ in study.recipe_names(row)]:
                recipe = resolve_recipe(study, row, data, small, settings, seed)
                if recipe is not None:
                    yield Training(number, seed, data, recipe)


def training_folder(out: Path, recipe: Recipe) -> Path:
    """Returns the folder of a training in a folder of studies."""
    return out / TRAININGS_FOLDER / f"{recipe.network}-{training_key(recipe)}"


def is_trained(run: Path) -> bool:
    """Whether the folder of a training holds the weights of its end."""
    return (run / "weights" / CONFIG).is_file()


def check_data(study: Study, trainings: Sequence[Training], small: bool) -> None:
    """Checks that it is known where all data sets are that are learnt from or scored on, before anything is trained.

    Raises:
        MissingFile: if it is not.
        InvalidInput: if one folder is given for several data sets.
    """
    needed: dict[str, bool] = {}  # by name, whether a setting says where it is
    for data in (data for one in trainings for data in (one.recipe.data, *(s.data for s in one.recipe.stages))):
        if isinstance(data, FileData):
            needed[data.dataset] = needed.get(data.dataset, True) and "root" in data.settings
    rooted = [name for name, has_root in needed.items() if has_root]
    if len(rooted) > 1:
        raise InvalidInput(
            f"{setting('data.settings.root', '...')} is one folder, and these rows need {', '.join(sorted(rooted))}; "
            f"leave it out and set {DATA_FOLDER_VARIABLE} to the folder that holds them"
        )
    needed |= {split.dataset: False for split in list_scored_splits(study, small).values() if split.dataset}
    lost = sorted(name for name, has_root in needed.items() if not (has_root or name.startswith("drawn_")))
    if lost and not os.environ.get(DATA_FOLDER_VARIABLE):
        alone = f"give its folder, such as {setting('data.settings.root', f'data/{lost[0]}')}, or "
        are, them = ("is", "it") if len(lost) == 1 else ("are", "them")
        raise MissingFile(
            f"it is not known where {', '.join(lost)} {are}; {alone if len(needed) == 1 else ''}set "
            f"{DATA_FOLDER_VARIABLE} to the folder that holds {them}; docs/datasets.md says where to get {them}"
        )


def check_scored_splits(study: Study, trainings: Sequence[Training], small: bool) -> None:
    """Opens the data sets that rows are scored on, and builds their protocols, before anything is trained.

    Raises:
        MissingFile, InvalidInput: as `check_scored_split`.
    """
    places = {}
    for training in trainings:
        for split in list_splits_of(study, small, training.data):
            places[repr(resolve_data(training.recipe, split))] = training.recipe, split
    for recipe, split in places.values():
        check_scored_split(recipe, split, opens_files=True)


def train_row(recipe: Recipe, run: Path, devices: int, progress: Progress, on_message: Callable[[str], None]) -> None:
    """Trains a recipe, or the rest of it; does nothing if it is finished, but says which initial weights are newer."""
    if is_trained(run):
        newer = _list_newer_weights(recipe, run / "weights" / CONFIG)
        beware = f"; {', '.join(newer)} changed since then: to train from it, remove that folder" if newer else ""
        on_message(f"is trained ({run}){beware}")
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


def _list_newer_weights(recipe: Recipe, trained: Path) -> list[str]:
    """Returns which files and folders that a recipe starts from were written after it was trained."""
    newest = {
        source: max(file.stat().st_mtime for file in ([path] if path.is_file() else path.iterdir()))
        for source in recipe.initial.values()
        if (path := Path(source)).is_file() or (path.is_dir() and any(path.iterdir()))
    }
    return [source for source, time in newest.items() if time > trained.stat().st_mtime]


def _train_on(recipe: Recipe, run: Path, devices: int, begun: bool) -> None:
    """Trains on several devices: as a command, since each of the processes runs it from its beginning."""
    file = run.with_suffix(".yaml")
    with write_atomically(file) as unfinished:
        unfinished.write_text(recipe.to_yaml(), encoding="utf-8")
    command = [sys.executable, "-m", "refseg", "train", str(file), "--out", str(run), "--devices", str(devices)]
    command += ["--logger", "csv", *(["--resume"] if begun else [])]
    with stop_requests(tells=False) as request, subprocess.Popen(command) as process:
        told = False
        while (code := _wait(process)) is None:
            if request.signal and not told:  # Ctrl-C reaches the process as well, which takes both as one
                process.send_signal(request.signal)
                told = True
    if request.signal or code in (128 + number for number in SIGNALS):
        raise KeyboardInterrupt(f"the training in {run} is stopped; its state is saved")
    if code:
        raise RefsegError(f"the training in {run} ended with an error, which is told above; the same command goes on")


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Returns the exit status of a process, or None after a while if it has none yet."""
    try:
        return process.wait(0.2)
    except subprocess.TimeoutExpired:
        return None


@contextmanager
def _note_seconds(run: Path) -> Iterator[None]:
    """Adds the wall time to a note in the run's folder; that of a killed process is lost."""
    begin, before = time.monotonic(), read_seconds(run) or 0.0
    try:
        yield
    finally:
        if run.is_dir():
            with write_atomically(run / SECONDS_FILE) as unfinished:
                unfinished.write_text(f"{before + time.monotonic() - begin:.1f}\n", encoding="ascii")


def read_seconds(run: Path) -> float | None:
    """Returns how long a training took, or took so far; None if it was not noted."""
    try:
        return float((run / SECONDS_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def count_mean_pairs(recipes: Sequence[Recipe]) -> int | None:
    """Returns the mean of `count_pairs` over trainings; None if it is not known of all of them."""
    counts = [count_pairs(recipe) for recipe in recipes]
    known = [count for count in counts if count is not None]
    return round(mean(known)) if known and len(known) == len(counts) else None


def count_pairs(recipe: Recipe) -> int | None:
    """Returns images with an expression that are seen in training, by the published sizes of its data sets.

    Returns:
        None if these are unknown.
    """
    pairs = 0.0
    for stage in recipe.stages:
        if stage.expressions_per_image:
            images = count_stage_images(recipe, stage)
            if images is None:
                return None
            pairs += images * stage.expressions_per_image
    return round(pairs)
