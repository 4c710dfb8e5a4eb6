"""Pictures of a study: the expressions on which its trained rows differ most, with the answer of each row."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from refseg import datasets
from refseg.counting import counted
from refseg.errors import InvalidInput, MissingFile, for_caller, option
from refseg.evaluation.row_frames import find_frame
from refseg.evaluation.rows import ROWS, read_rows
from refseg.evaluation.rows import Row as AnswerRow
from refseg.files.atomic import all_or_nothing, check_writable
from refseg.inspection.gallery.build import open_systems
from refseg.inspection.gallery.compose import collect_answers, draw_gallery
from refseg.inspection.gallery.find_by_name import find_by_name
from refseg.inspection.gallery.selection import EACH_IN_ITS_SHARE, Place, ScoredExpression, choose_highest
from refseg.inspection.gallery.sheet import Gallery
from refseg.inspection.gallery.shown_samples import list_ids
from refseg.progress import Progress, no_progress
from refseg.recipes.recipe import Recipe
from refseg.samples import Clip, Sample
from refseg.studies import find_study
from refseg.studies.resolve import (
    STANDARD_NAME,
    ScoredSplit,
    list_scored_splits,
    parse_rows,
    resolve_data,
    resolve_recipe,
)
from refseg.studies.results import Results, read_results, row_folder
from refseg.studies.score_row import row_weights
from refseg.studies.study_file import check_settings, read_costs, read_noted
from refseg.studies.study_text import format_title
from refseg.studies.trainings import TRAININGS_FOLDER, is_trained, training_folder
from refseg.studies.write import PICTURE_FILES, write_texts

MAX_PICTURES = 50  # expressions


def draw_pictures(
    name: str,
    out: str | Path,
    *,
    small: bool = False,
    rows: str = "",
    number: int | None = None,
    expressions: Sequence[str] = (),
    device: str = "auto",
    settings: Sequence[str] = (),
    progress: Progress = no_progress,
    on_message: Callable[[str], None] = print,
) -> Gallery:
    """Draws answers of the trained rows of a study into its folder and its page; trains nothing.

    Args:
        name: of the study.
        out: folder of this and other studies.
        small: whether it was run on drawn scenes or clips; for messages, since its folder says it.
        rows: numbers, "1,8" or "2-4"; all that are trained if empty.
        number: of expressions, those on which the IoU of the rows differs most; 6 if not given, of named ones all.
        expressions: ids or texts of those to show instead.
        device: of the networks.
        settings: of the study, which its folder says: others are refused.
        progress: shows progress, as `refseg.commands.progress.progress`.
        on_message: receives lines for the user.

    Raises:
        InvalidInput: for unknown names, rows and expressions, and for tables without answers.
        MissingFile: if nothing is trained yet, or the weights are gone.
        UnwritableOutput: if the folder cannot be written, or holds the study with other settings.
    """
    study, out = find_study(name), Path(out)
    if study.tests or not study.is_trained:
        other = f"; give {study.tests}, whose rows it tests" if study.tests else ", which no picture shows"
        raise InvalidInput(f"{name} has {'tests' if study.tests else 'costs'} of networks{other}")
    if number is not None and not 1 <= number <= MAX_PICTURES:
        raise InvalidInput(f"{counted(number, 'expression')} cannot be shown; give 1 to {MAX_PICTURES}")
    folder, numbers = out / study.name, parse_rows(study, rows)
    check_writable(folder)
    only = f" --rows {rows}" if rows else ""
    run_it = f"refseg study {name}{' --small' if small else ''}{only} --out {shlex.quote(str(out))}"
    noted = read_noted(folder)
    if not noted:
        raise MissingFile(f"{folder} holds no figures of {name}, and so no trained rows to show; train them: {run_it}")
    if settings:
        check_settings(folder, noted, noted["small"], settings)
    results = read_results(
        study, folder, noted["small"], noted["settings"], int(noted.get("seeds", 1)), read_costs(folder, noted)
    )
    split, answered = _read_answers(results, numbers)
    if not answered:
        raise MissingFile(f"{folder} has no figures of these rows yet; train them: {run_it}")
    if rows and (lost := [str(one) for one in numbers if one not in answered]):
        raise MissingFile(f"{folder} has no figures of row {', '.join(lost)} yet; train it: {run_it}")
    trained = _find_trained(results, split, answered, out, on_message)
    chosen, how = _choose([answered[one] for one in trained], expressions, number)
    first = trained[next(iter(trained))]
    samples, places = _find_samples(*resolve_data(first, split), chosen)

    from refseg.inference.crf import DenseCRF

    crf = DenseCRF() if split.crf else None
    weights = [row_weights(study, one, recipe, training_folder(out, recipe)) for one, recipe in trained.items()]
    answers = collect_answers(open_systems(weights, device, crf), samples, places, progress)
    labels = [study.rows[one - 1].label for one in trained]
    about = resolve_data(first, split)[0]
    note = f"{about}, split {split.split}: {how}. Rows as trained with the first seed."
    gallery = draw_gallery(samples, places, answers, labels, note, title=format_title(study))
    with all_or_nothing(folder) as new:
        for file in PICTURE_FILES:
            gallery.save(new / file)
    write_texts(results)
    return gallery


def _read_answers(results: Results, numbers: Sequence[int]) -> tuple[ScoredSplit, dict[int, dict[str, AnswerRow]]]:
    """Returns the first split that rows are scored on, and by row their answers by key, with the first seed."""
    splits = list_scored_splits(results.study, results.small)
    for split in splits.values():
        found: dict[int, dict[str, AnswerRow]] = {}
        for number in numbers:
            file = row_folder(results.folder, results.study, number, split.name, 0, results.small) / ROWS
            if file.is_file():
                found[number] = {row.key: row for row in read_rows(file)}
        if found:
            return split, found
    return next(iter(splits.values())), {}


def _find_trained(
    results: Results, split: ScoredSplit, numbers: Mapping[int, Any], out: Path, on_message: Callable[[str], None]
) -> dict[int, Recipe]:
    """Returns the recipes of those rows whose weights are there.

    Raises:
        MissingFile: if there are none.
    """
    study, found, gone = results.study, dict[int, Recipe](), list[str]()
    for number in numbers:
        recipe = resolve_recipe(study, study.rows[number - 1], split.data, results.small, results.settings)
        if recipe is not None and is_trained(training_folder(out, recipe)):
            found[number] = recipe
        else:
            gone.append(study.rows[number - 1].label)
    if not found:
        raise MissingFile(
            f"{out / TRAININGS_FOLDER} has no weights of {study.name} that today's recipes would train, so its rows "
            "cannot answer: that folder is gone, or the recipes are of another version; bring it back, or train them "
            f"in {for_caller('another --out', 'another folder')}"
        )
    if gone:
        on_message(f"there are no weights of {counted(len(gone), 'row')}, which the pictures lack: {', '.join(gone)}")
    return found


def _choose(
    rows: Sequence[Mapping[str, AnswerRow]], expressions: Sequence[str], number: int | None
) -> tuple[list[AnswerRow], str]:
    """Returns the expressions to show, and how they were chosen.

    Raises:
        InvalidInput: if a named one is not there.
    """
    common = [key for key in rows[0] if all(key in others for others in rows)]
    if expressions:
        known = ((key, {key, rows[0][key].id}, rows[0][key].expression) for key in common)
        example = option("expression", common[0]) if common else ROWS
        named = find_by_name(expressions, known, f"for example {example}")[: number or MAX_PICTURES]
        return [rows[0][key] for key in named], f"{counted(len(named), 'expression')}, as named"
    scores = []
    for key in common:
        each = [some[key].scores[STANDARD_NAME] for some in rows]
        ious = [score.iou or 0.0 for score in each]
        difference = max(ious) - min(ious) if len(rows) > 1 else -ious[0]
        pixels = max(score.union for score in each)
        scores.append(ScoredExpression(rows[0][key].image_id, key, difference, pixels, rows[0][key].has_target))
    first = choose_highest(scores, number or 6)
    how = "on which the IoU of the rows differs most" if len(rows) > 1 else "with the lowest IoU"
    chosen = f"{counted(len(first), 'expression', len(common))}, those {how} ({EACH_IN_ITS_SHARE})"
    return [rows[0][key] for key in first], chosen


def _find_samples(
    dataset: str, settings: Mapping[str, Any], chosen: Sequence[AnswerRow]
) -> tuple[list[Sample], list[Place]]:
    """Returns the samples of these expressions, and their places among them."""
    wanted = {row.image_id for row in chosen}
    found: dict[str, Any] = {}
    opened = datasets.build(dataset, **settings)
    for k in range(len(opened)):
        one = opened[k]
        if (id := one.clip_id if isinstance(one, Clip) else one.image_id) in wanted:
            found[id] = one
    samples: list[Sample] = []
    places: list[Place] = []
    for row in chosen:
        shown = found.get(row.image_id)
        sample = find_frame(shown, row) if isinstance(shown, Clip) else shown
        ids = [] if sample is None else list_ids(sample)
        if sample is None or row.key not in ids:
            raise InvalidInput(
                f"{row.key} is not in {dataset} any more, so it cannot be shown; bring back the data that the rows are "
                f"scored on, or run the study in {for_caller('another --out', 'another folder')}"
            )
        places.append((len(samples), ids.index(row.key)))
        samples.append(sample)
    return samples, places
