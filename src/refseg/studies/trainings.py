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

from refseg.checkpoints.schema import CONFIG
from refseg.errors import MissingFile, RefsegError, setting
from refseg.files.atomic import write_atomically
from refseg.progress import Progress
from refseg.recipes.recipe import FileData, Recipe
from refseg.studies.resolve import resolve_recipe, training_key
from refseg.studies.study import Study

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


def check_data(recipes: Sequence[Recipe]) -> None:
    """Checks that it is known where the data sets of recipes are, before the first of them is trained.

    Raises:
        MissingFile: if it is not.
    """
    files = [recipe.data for recipe in recipes if isinstance(recipe.data, FileData)]
    lost = {data.dataset for data in files if "root" not in data.settings and not data.dataset.startswith("drawn_")}
    if lost and not os.environ.get(DATA_FOLDER_VARIABLE):
        root = setting("data.settings.root", f"data/{min(lost)}")
        raise MissingFile(
            f"it is not known where {', '.join(sorted(lost))} is; give its folder, such as {root}, or set "
            f"{DATA_FOLDER_VARIABLE} to the folder that holds it; docs/datasets.md says where to get it"
        )


def train_row(recipe: Recipe, run: Path, devices: int, progress: Progress, on_message: Callable[[str], None]) -> None:
    """Trains a recipe, or the rest of it; does nothing if it is finished."""
    if is_trained(run):
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


def count_pairs(recipe: Recipe) -> int | None:
    """Returns images with an expression that are seen in training; None where stages are given in epochs."""
    stages = [stage for stage in recipe.stages if stage.expressions_per_image]
    if any(stage.steps is None for stage in stages):
        return None
    return sum((stage.steps or 0) * stage.images * stage.expressions_per_image for stage in stages)
