"""Evaluation in one call: weights, or masks of any program, and a data set to a report."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg import __version__, datasets
from refseg.checkpoints.config_file import check_weights
from refseg.datasets.dataset import Dataset
from refseg.errors import InvalidInput, MissingFile, another_out, for_caller, option
from refseg.evaluation.clip_scoring import check_clips
from refseg.evaluation.earlier_results import EarlierResults, check_precision, find_earlier, tell_earlier
from refseg.evaluation.partial_rows import MemoryRows, PartialRows
from refseg.evaluation.report.provenance import dataset_facts, dataset_name, weights_facts
from refseg.evaluation.rows import ImageAnswers
from refseg.evaluation.scoring import STANDARD, with_standard
from refseg.files.atomic import check_writable
from refseg.files.lock import only_writer
from refseg.hardware import check_device_name, check_precision_name, choose_device, describe_hardware, versions
from refseg.inference.crf import DenseCRF, library
from refseg.inference.prefetch import count_threads
from refseg.progress import Progress, no_progress
from refseg.protocols import build_for
from refseg.protocols.video_protocol import Scoring
from refseg.samples import Clip, Sample

if TYPE_CHECKING:
    from refseg.checkpoints.checkpoint import Checkpoint
    from refseg.distributed import Ranks
    from refseg.evaluation.report.report import Report

MASKS = "masks"  # folder of the masks of videos
NOT_REPORTED = ("protocol", "images", "masks", "precision", "version")  # of a run: elsewhere in the report


def evaluate(
    weights: "str | Path | Checkpoint",
    dataset: str | Sequence[Any],
    *,
    split: str | None = None,
    protocols: Iterable[str | Scoring] = (),
    out: str | Path | None = None,
    device: str = "auto",
    precision: str = "f32",
    batch_images: int = 8,
    workers: int | None = None,
    masks: bool = False,
    crf: DenseCRF | None = None,
    shortcuts: bool = False,
    progress: Progress = no_progress,
    on_message: Callable[[str], None] = lambda line: None,
    command: str | None = None,
    **settings: Any,
) -> "Report | None":
    """Evaluates weights on a data set of images or videos.

    With `out` each answer is on disk at once, and the same call resumes where it was stopped. Under torchrun the images
    are divided among the processes; the first one writes and returns the report, the others return None.

    A folder that holds the same evaluation under other protocols gets the report of both; results of other weights,
    data or settings are never replaced.

    Args:
        weights: checkpoint folder, name of bundled weights, hub id, or a checkpoint, which stays on its device.
        dataset: name of a data set, or an opened one, of samples or of clips.
        split: split of the data set of this name, "test" if not given; of an opened one a name for the report.
        protocols: names or protocols, the first one leads; those of the data set if empty. `standard` is always added.
        out: folder for rows and reports.
        device: device of the network: "cpu", "cuda", or "auto" for a GPU if there is one.
        precision: of the network's arithmetic: "f32", "bf16" or "auto"; a checkpoint keeps its own.
        batch_images: number of images that the network gets at once.
        workers: threads that decode and count; processors, at most 8, if not given.
        masks: whether to write the masks into `out`: run-length coded, of videos a folder of PNG.
        crf: refines the masks after the network.
        shortcuts: whether to score answers that need no language as well; of images only.
        progress: shows progress, as `refseg.commands.progress.progress`.
        on_message: receives lines for the user.
        command: command line to note in the report.
        settings: other settings of the data set: root, split_by, count, ...

    Raises:
        MissingFile: if weights or files of the data set are missing.
        InvalidInput: for unknown names and settings, or what does not fit each other.
        UnwritableOutput: if `out` cannot be written, or holds results of another evaluation.
    """
    if crf is not None:
        library()  # or an error before the weights are read
    out = Path(out) if out is not None else None
    if masks and out is None:
        raise InvalidInput(f"{option('masks', True)} needs a place for them; give {option('out', 'results')}")
    check_device_name(device)
    check_precision_name(precision)
    if isinstance(weights, str | Path):
        check_weights(weights, precision)
    data = _open(dataset, split, protocols, settings)
    if shortcuts and data.of_clips:
        raise InvalidInput(f"{option('shortcuts', True)} is for images, and {data.name} holds videos; leave it out")
    if out:
        check_writable(out)
    facts = {**data.facts, "weights": weights_facts(weights), "crf": crf.model_dump() if crf else None}
    earlier = find_earlier(out, facts) if out else None
    scoring = _with_earlier(data, earlier)
    if data.of_clips:
        check_clips(data.samples, scoring)

    from refseg.checkpoints.checkpoint import Checkpoint  # torch, of which what is wrong above has no need
    from refseg.checkpoints.io import load_checkpoint
    from refseg.distributed import ranks
    from refseg.evaluation.report.report import build_report
    from refseg.evaluation.report.write import mask_predictor, write
    from refseg.evaluation.shortcut_baselines import score_shortcuts

    device = choose_device(device)
    with ExitStack() as stack:
        mine = stack.enter_context(ranks())
        if mine.world > 1 and out is None:
            raise InvalidInput(f"many processes need a place for all of their rows; give {option('out', 'results')}")
        if out and mine.rank == 0:
            stack.enter_context(only_writer(out))
        mine.wait_for_all()  # none writes if the first may not
        if isinstance(weights, Checkpoint):
            checkpoint = weights
        else:
            checkpoint = load_checkpoint(weights, mine.device(device), precision)
        if out and earlier:
            check_precision(earlier, checkpoint.precision, out)
        if checkpoint.network.needs_annotations:
            _check_annotated(data)
        run = {
            **facts,
            "protocol": [one.name for one in scoring],
            "images": len(data.samples),
            "masks": masks,
            "precision": checkpoint.precision,
            "version": __version__,
        }
        rows = PartialRows(out, run, mine.rank, mine.world) if out else MemoryRows()
        folder = _masks_folder(rows) if isinstance(rows, PartialRows) and masks and data.of_clips else None
        left = rows.mine(len(data.samples))
        begin = time.perf_counter()
        if out and earlier and mine.rank == 0:
            tell_earlier(earlier, [one.name for one in data.protocols], out, on_message)
        if rows.done and mine.rank == 0:
            on_message(f"goes on: {len(rows.done):,} of {len(data.samples):,} {data.kind} answered")
        advance = stack.enter_context(progress(len(left) * (2 if shortcuts else 1), mine.rank, data.kind))
        for image in _answers(
            checkpoint, data, scoring, left, crf, masks, folder, batch_images, count_threads(workers)
        ):
            rows.write(image)
            advance(1)
        mine.wait_for_all()  # all have written before the first reads
        if mine.rank:
            return None
        answers = rows.answers()
        about = {
            "answers": run["weights"]["name"],
            **{name: value for name, value in run.items() if name not in NOT_REPORTED and value is not None},
            **data.selection,
            **_circumstances(checkpoint, mine, batch_images, device, command),
        }
        report = build_report(answers, scoring, about, checkpoint)
        if earlier:
            report.shortcuts = earlier.shortcuts
        if shortcuts:
            report.shortcuts = score_shortcuts(checkpoint, data.samples, STANDARD, advance)
        if not rows.done:  # of what an earlier process answered they are not known
            report.about["seconds"] = round(time.perf_counter() - begin, 1)
        if out:
            write(out, report, answers, data.samples, mask_predictor(checkpoint, crf), folder)
            rows.remove()
    return report


def score_masks(
    masks: str | Path,
    dataset: str | Sequence[Any],
    *,
    split: str | None = None,
    protocols: Iterable[str | Scoring] = (),
    out: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = no_progress,
    on_message: Callable[[str], None] = lambda line: None,
    command: str | None = None,
    **settings: Any,
) -> "Report":
    """Scores masks that any program wrote, named by the ids of their expressions.

    Args:
        masks: folder of ID.png, or JSON Lines of run lengths with id; of videos EXPRESSION/FRAME.png, or
            anno_K/VIDEO/FRAME.png with labels.
        dataset: name of a data set, or an opened one, of samples or of clips.
        split: split of the data set of this name, "test" if not given; of an opened one a name for the report.
        protocols: names or protocols, the first one leads; those of the data set if empty. `standard` is always added.
        out: folder for rows and reports.
        workers: threads that decode and count; processors, at most 8, if not given.
        progress: shows progress, as `refseg.commands.progress.progress`.
        on_message: receives warnings for the user.
        command: command line to note in the report.
        settings: other settings of the data set: root, split_by, count, ...

    Raises:
        MissingFile: if masks or files of the data set are missing.
        InvalidInput: for unknown names and settings, and masks that are missing, damaged or of another size.
        UnwritableOutput: if `out` cannot be written.
    """
    out, masks = Path(out) if out is not None else None, Path(masks)
    if not masks.exists():
        raise MissingFile(f"{masks} is missing; give a folder of ID.png, or JSON Lines of run lengths")
    data = _open(dataset, split, protocols, settings)
    earlier = None
    if out:
        check_writable(out)
        earlier = find_earlier(out, {**data.facts, "answers": str(masks)})
    scoring = _with_earlier(data, earlier)

    from refseg.evaluation import stored_masks, stored_video_masks
    from refseg.evaluation.report.report import build_report
    from refseg.evaluation.report.write import write

    with only_writer(out) if out else nullcontext():
        if out and earlier:
            tell_earlier(earlier, [one.name for one in data.protocols], out, on_message)
        if data.of_clips:
            check_clips(data.samples, scoring)
            stored = stored_video_masks.open_folders(masks, data.samples)
            cautions = stored_video_masks.compare_frames(stored, data.samples)
        else:
            stored = stored_masks.open_masks(masks)
            cautions = stored_masks.compare_samples(stored, data.samples)
        for line in cautions:
            on_message(line)
        answers = []
        score = stored_video_masks.score_videos if data.of_clips else stored_masks.score_samples
        with progress(len(data.samples), 0, data.kind) as advance:
            for image in score(stored, data.samples, scoring, count_threads(workers)):
                answers.append(image)
                advance(1)
        for line in (cut := stored.cautions()):
            on_message(line)
        about = {
            "answers": str(masks),
            **data.facts,
            **data.selection,
            **({"command": command} if command else {}),
            "date": _today(),
            "versions": versions(),
        }
        report = build_report(answers, scoring, about)
        report.cautions += [f"{line[0].upper()}{line[1:]}." for line in cautions + cut]
        if out:
            read_masks = stored_video_masks.read_frame_masks if data.of_clips else stored_masks.read_sample_masks
            write(out, report, answers, data.samples, partial(read_masks, stored))
    return report


def evaluate_samples(
    checkpoint: "Checkpoint",
    samples: Iterable[Sample],
    protocols: Iterable[Scoring] = (STANDARD,),
    about: Mapping[str, Any] | None = None,
) -> "Report":
    """Evaluates a checkpoint on samples in this process alone, whatever torchrun says; nothing is written.

    Args:
        checkpoint: network with its tokenizer and preprocessing.
        samples: images or annotated frames.
        protocols: protocols of images; `standard` is always added.
        about: facts for the report, such as "dataset" and "split"; the counts are added.
    """
    from refseg.evaluation.answers import answer
    from refseg.evaluation.report.report import build_report

    protocols = with_standard(protocols)
    return build_report(list(answer(checkpoint, samples, protocols)), protocols, about or {}, checkpoint)


@dataclass(frozen=True)
class _Data:
    """A data set that is evaluated on.

    Attributes:
        name: name of the data set.
        samples: samples, or clips.
        of_clips: whether it holds clips.
        protocols: protocols, `standard` among them.
        facts: name, settings and what else makes figures comparable.
        selection: which of its files was read, as a fact for the report; {} where there is no choice.
    """

    name: str
    samples: Sequence[Any]
    of_clips: bool
    protocols: list[Any]
    facts: dict[str, Any]
    selection: dict[str, str]

    @property
    def kind(self) -> str:
        """Name of its items."""
        return "videos" if self.of_clips else "images"


def _open(
    dataset: str | Sequence[Any], split: str | None, protocols: Iterable[str | Scoring], settings: dict[str, Any]
) -> _Data:
    if isinstance(dataset, str):
        name, of_clips = dataset, datasets.class_of(dataset).of_clips
        settings = {"split": split or "test", **settings}
        scoring = _protocols(protocols, name, of_clips)
        samples = datasets.build(dataset, **settings)
    else:
        if settings:
            raise InvalidInput(f"{', '.join(settings)}: settings of a data set that is open; give its name with them")
        name, samples = dataset_name(dataset), dataset
        opened = dataset if isinstance(dataset, Dataset) else None  # otherwise a list of samples or clips
        of_clips = opened.of_clips if opened else len(dataset) > 0 and isinstance(dataset[0], Clip)
        settings = {"split": split or (opened.split if opened else "all")}
        scoring = _protocols(protocols, name, of_clips)
    selection = samples.selection if isinstance(samples, Dataset) else ""
    facts = dataset_facts(samples, name, settings)
    return _Data(name, samples, of_clips, scoring, facts, {"selection": selection} if selection else {})


def _check_annotated(data: _Data) -> None:
    """Raises InvalidInput unless a data set annotates all objects of its images."""
    if data.of_clips or (len(data.samples) and data.samples[0].annotated_objects() is None):
        raise InvalidInput(
            f"these weights choose among all objects that a data set annotates, and {data.name} has none with their "
            f"classes; folders in the refer layout have them, drawn scenes too; or take another finder, for example "
            f"{for_caller('--set finder=coco80', 'reader:finder=coco80')}"
        )


def _protocols(protocols: Iterable[str | Scoring], dataset: str, of_clips: bool) -> list[Any]:
    """The protocols, or the data set's own ones, and `standard`."""
    chosen = [protocols] if isinstance(protocols, str) else list(dict.fromkeys(protocols))
    built: list[Scoring] = []
    for one in chosen:
        built += build_for(dataset, [one], of_clips) if isinstance(one, str) else [one]
    return with_standard(built or build_for(dataset, [], of_clips))


def _with_earlier(data: _Data, earlier: EarlierResults | None) -> list[Any]:
    """Returns the protocols of an evaluation and those of its earlier results.

    Raises:
        InvalidInput: if one of the latter is not known.
    """
    names = {one.name for one in data.protocols}
    others = [name for name in (earlier.protocols if earlier else ()) if name not in names]
    try:
        return data.protocols + (build_for(data.name, others, data.of_clips) if others else [])
    except InvalidInput as error:
        raise InvalidInput(f"the earlier results cannot be kept: {error}; give {another_out()}") from error


def _masks_folder(rows: PartialRows) -> Path:
    """The folder of the masks of clips; where it is missing, clips that are answered are to be answered again."""
    folder = rows.folder / MASKS
    if not folder.exists():
        rows.done.clear()  # their masks went with results that could not be written
    return folder


def _answers(
    checkpoint: "Checkpoint",
    data: _Data,
    protocols: Sequence[Any],
    numbers: Sequence[int],
    crf: DenseCRF | None,
    masks: bool,
    folder: Path | None,
    batch_images: int,
    threads: int,
) -> Iterator[ImageAnswers]:
    """The answers to these samples; masks of clips are written into the folder."""
    from refseg.evaluation import stored_video_masks
    from refseg.evaluation.answers import answer
    from refseg.evaluation.clip_answers import answer_clips

    samples = (data.samples[k] for k in numbers)
    if not data.of_clips:
        return answer(checkpoint, samples, protocols, crf, masks, numbers, batch_images, threads)
    save = stored_video_masks.saver(data.name, folder) if folder else None
    numbered = zip(numbers, samples, strict=True)
    return answer_clips(checkpoint, numbered, protocols, crf, save, batch_images, threads)


def _circumstances(
    checkpoint: "Checkpoint", mine: "Ranks", batch_images: int, device: str, command: str | None
) -> dict[str, Any]:
    return {
        "processes": mine.world,
        "batch_images": batch_images,
        "precision": checkpoint.precision,
        **({"command": command} if command else {}),
        "date": _today(),
        "hardware": describe_hardware(mine.device(device)),
        "versions": versions(),
    }


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
