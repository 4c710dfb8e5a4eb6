"""Scores a training of a study's row, as the row answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from refseg import networks
from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import load_checkpoint
from refseg.evaluation.evaluate import evaluate
from refseg.evaluation.rows import ROWS
from refseg.inference.crf import DenseCRF
from refseg.progress import Progress
from refseg.recipes.recipe import Recipe
from refseg.studies.resolve import ScoredSplit, get_answering_settings, resolve_data
from refseg.studies.study import Study
from refseg.studies.trainings import Training

SCORES_FOLDER = "scores"


def score_row(
    study: Study,
    training: Training,
    run: Path,
    split: ScoredSplit,
    device: str,
    progress: Progress,
    on_message: Callable[[str], None],
) -> Path:
    """Scores the weights of a training on a split, unless it was done.

    Args:
        study: of the row.
        training: of the row.
        run: its folder.
        split: to score on.
        device: of the network.
        progress: shows progress.
        on_message: receives lines for the user.

    Returns:
        the folder of the results.
    """
    number, recipe = training.number, training.recipe
    dataset, settings = resolve_data(recipe, split)
    protocols = "-".join(split.protocols) + ("-crf" if split.crf else "")
    own = f"-row{number}" if get_answering_settings(study, study.rows[number - 1]) else ""
    folder = run / SCORES_FOLDER / f"{split.name}-{protocols}{own}"
    if not (folder / ROWS).is_file():
        evaluate(
            row_weights(study, number, recipe, run),
            dataset,
            protocols=split.protocols,
            out=folder,
            device=device,
            crf=DenseCRF() if split.crf else None,
            progress=progress,
            on_message=on_message,
            **settings,
        )
    return folder


def row_weights(study: Study, number: int, recipe: Recipe, run: Path) -> Path | Checkpoint:
    """Returns the weights of a training as a row answers with them."""
    differs = get_answering_settings(study, study.rows[number - 1])
    return _load_changed(run / "weights", recipe, differs) if differs else run / "weights"


def _load_changed(weights: Path, recipe: Recipe, settings: Sequence[str]) -> Checkpoint:
    """Returns the checkpoint with settings of its network that act when it answers."""
    checkpoint = load_checkpoint(weights, "cpu")
    config = recipe.with_settings(list(settings)).config
    network = networks.build(recipe.network, config, vocabulary_size=len(checkpoint.tokenizer))
    network.load_state_dict(checkpoint.network.state_dict())
    network.exists_threshold_logit = checkpoint.network.exists_threshold_logit
    return replace(checkpoint, network=network.eval())
