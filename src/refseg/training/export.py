"""From a finished run to weights that can be shipped: calibrated, in half precision, with a card."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from safetensors.torch import save_file

from refseg.checkpoints.checkpoint import Checkpoint
from refseg.checkpoints.io import load_checkpoint, save_checkpoint
from refseg.datasets import class_of
from refseg.evaluation.calibrate import calibrate, familiarity_report
from refseg.evaluation.evaluate import evaluate_samples
from refseg.evaluation.report.report import Report, percent
from refseg.files.atomic import write_atomically
from refseg.networks.network import Network
from refseg.progress import Advance, Progress, no_progress
from refseg.recipes.recipe import Recipe
from refseg.samples import Sample
from refseg.text.tokenizer import Tokenizer
from refseg.text.vocabulary import Vocabulary
from refseg.training.data.sources import Source
from refseg.training.initial_weights import WORDS
from refseg.training.object_pretraining import OBJECT_PRETRAINING

CARD = """# {name}

{knows}. On another kind of image an answer means nothing{warns}.

* **Network** {network}, {parameters:.2f} M parameters, float16. {idea}. It knows {words} words, and reads at most
  {max_words} in a row.
* **Data** {data}.
* **Supervision** {supervision}.{initial}
* **Trained with** `refseg train {recipe}`; `recipe.yaml` beside this file says everything.
* **Calibrated** {calibrated}.
* **Called unfamiliar** {unfamiliar}.
* **Licence** {licence}.

Validation ({images:,} {kind}, {count:,} expressions, protocol {protocol}, percent; they chose the thresholds
above, so for a figure to quote see the test split in the project's docs/results.md):

{table}
"""


def export_weights(
    run: Path, recipe: Recipe, source: Source, device: str = "cpu", progress: Progress = no_progress
) -> Path:
    """Calibrates the best weights of a run on validation data and writes them, with a card, to RUN/weights.

    Data without a single no-target expression leave the network's own rule: a mask wherever it sees one.
    """
    samples, fitted_on = source.calibration()
    checkpoint = load_checkpoint(run / "best", device)
    if any(not expression.targets for sample in samples for expression in sample.expressions):
        with progress(len(samples), of="images calibrated on") as advance:
            checkpoint = calibrate(checkpoint, samples, fitted_on, advance)
    about = {"dataset": recipe.data.dataset, "split": "validation"}
    with progress(len(samples), of="images evaluated") as advance:
        report = evaluate_samples(checkpoint, advancing(samples, advance), about=about)
    checkpoint.card = card(checkpoint, recipe, report)
    save_checkpoint(checkpoint, run / "weights", half=True)
    return run / "weights"


def advancing(samples: Iterable[Sample], advance: Advance) -> Iterator[Sample]:
    """Yields samples and shows that one more is being worked on."""
    for sample in samples:
        yield sample
        advance(1)


def export_encoder(run: Path, part: str, network: Network, tokenizer: Tokenizer) -> Path:
    """Writes what other networks start from (see `training.initial_weights`), in half precision.

    The file of a word encoder also says its words, since another network may know others.

    Args:
        run: folder of the run.
        part: "image_encoder" or "word_encoder".
        network: whose part is written.
        tokenizer: of the network.
    """
    path = run / f"{part}.safetensors"
    image = part == "image_encoder"
    weights = (network.image_encoder_weights() if image else network.get_submodule(part).state_dict()).items()
    about = {} if image or not isinstance(tokenizer, Vocabulary) else {WORDS: "\n".join(tokenizer.words)}
    with write_atomically(path) as partial:
        halves = {n: (t.half() if t.is_floating_point() else t).cpu().contiguous() for n, t in weights}
        save_file(halves, partial, about)
        partial.chmod(0o644)  # safetensors keeps it from other users
    return path


def card(checkpoint: Checkpoint, recipe: Recipe, report: Report) -> str:
    """The card of these weights, Markdown."""
    names = [
        name
        for name in ("oIoU", "mIoU", "Prec@0.5", "Prec@0.7", "Prec@0.9", "N-acc", "T-acc")
        if name in report.metrics[report.first]
    ]
    table = [
        " | ".join(names),
        " | ".join("---:" for _ in names),
        " | ".join(percent(report.metrics[report.first][n]) for n in names),
    ]
    unfamiliar = familiarity_report(checkpoint) if checkpoint.familiarity else {}
    trained_on, network, fitted = checkpoint.trained_on, checkpoint.network, checkpoint.calibration
    count = sum(p.numel() for n, p in network.named_parameters() if not n.startswith(network.training_only))
    return CARD.format(
        name=recipe.name,
        network=recipe.network,
        idea=network.idea,
        supervision=network.supervision + told_beforehand(recipe),
        initial="".join(f" The {part} started from {source}." for part, source in recipe.initial.items()),
        warns=", and carries a warning" if checkpoint.familiarity else "",
        knows=checkpoint.knows[:1].upper() + checkpoint.knows[1:],
        parameters=count / 1e6,
        words=len(checkpoint.tokenizer),
        max_words=checkpoint.tokenizer.max_words,
        data=", ".join(f"{name} {value}" for name, value in trained_on.items() if name != "validation"),
        licence=class_of(recipe.data.dataset).licence,
        recipe=recipe.name,
        calibrated=f"on {fitted.fitted_on}: temperature {fitted.temperature:.3f}, exists above "
        f"{fitted.exists_threshold:.3f}"
        if fitted.fitted_on
        else "not: every validation expression has a referent",
        unfamiliar=", ".join(f"{name} {100 * share:.0f} %" for name, share in unfamiliar.items())
        or "nothing: these weights do not tell familiar images",
        images=report.about["images"],
        kind="annotated frames" if network.frames > 1 else "images",
        count=report.about["expressions"],
        protocol=report.first,
        table="\n".join(f"| {line} |" for line in table),
    )


def told_beforehand(recipe: Recipe) -> str:
    """What stages without language were told."""
    for stage in recipe.stages:
        if stage.objective == OBJECT_PRETRAINING:
            *others, last = class_of((stage.data or recipe.data).dataset).object_classes
            return f"; before it, of each place in an image the {', '.join(others)} and {last} of the object there"
    return ""
