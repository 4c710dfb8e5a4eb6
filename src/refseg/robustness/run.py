"""Robustness in one call: weights and a data set to figures about changed sentences and pictures."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg import datasets
from refseg.checkpoints.config_file import check_weights
from refseg.counting import counted
from refseg.datasets.dataset import Dataset
from refseg.errors import InvalidInput, UnwritableOutput, another_out, choose_one, for_caller, option, shown
from refseg.evaluation.report.provenance import dataset_facts, dataset_name, weights_facts
from refseg.evaluation.stored_masks import open_masks
from refseg.files.atomic import all_or_nothing, check_writable
from refseg.files.lock import only_writer
from refseg.hardware import check_device_name, check_precision_name, choose_device, describe_hardware, versions
from refseg.inference.prefetch import count_threads
from refseg.progress import Progress, no_progress
from refseg.robustness import PROTOCOL
from refseg.robustness.answer_lines import AnswerLines, MemoryLines
from refseg.robustness.answers import PictureAnswers, count_image
from refseg.robustness.asked import AskedPicture, Plan, ask_about
from refseg.robustness.examples import draw_examples, find_worst
from refseg.robustness.measures import Measured, measure
from refseg.robustness.page import write_page
from refseg.robustness.pictures import PICTURE_KINDS, SEVERITIES
from refseg.robustness.report import REPORT, RobustnessReport, find_cautions
from refseg.robustness.sentences import SENTENCE_KINDS
from refseg.robustness.systems import NetworkSystem, PerfectSystem, StoredSystem, System
from refseg.samples import Clip

if TYPE_CHECKING:
    from refseg.checkpoints.checkpoint import Checkpoint

DEFAULT_SEVERITIES = (1, 3, 5)
ANSWERS_FOLDER = "answers"
GROUPS = {"sentences": tuple(SENTENCE_KINDS), "pictures": tuple(PICTURE_KINDS)}
"""Names that stand for several kinds."""
TRUE_OBJECTS = "reader:finder=annotations"


def measure_robustness(
    weights: "str | Path | Checkpoint | Sequence[str | Path | Checkpoint]" = (),
    dataset: str | Sequence[Any] = "drawn_scenes",
    *,
    split: str | None = None,
    kinds: str | Sequence[str] = (),
    severities: Sequence[int] = DEFAULT_SEVERITIES,
    seed: int = 0,
    masks: Sequence[str | Path] = (),
    baselines: bool = False,
    out: str | Path | None = None,
    examples: int = 2,
    device: str = "auto",
    precision: str = "f32",
    batch_images: int = 8,
    workers: int | None = None,
    progress: Progress = no_progress,
    on_message: Callable[[str], None] = lambda line: None,
    command: str | None = None,
    **settings: Any,
) -> RobustnessReport:
    """Asks weights the expressions of a data set again, in other words and about changed pictures.

    With `out` each image is on disk at once, and the same call resumes where it was stopped; further weights are added
    by a call that names all of them.

    Args:
        weights: one or several: checkpoint folders, names of bundled weights, hub ids, checkpoints.
        dataset: name of a data set of images, or an opened one.
        split: split of the data set of this name, "test" if not given; of an opened one a name for the report.
        kinds: of SENTENCE_KINDS and PICTURE_KINDS, or "sentences" and "pictures"; all if empty.
        severities: of the changed pictures, of 1 to 5.
        seed: of the changed sentences; published figures use 0.
        masks: answers of other programs to exported questions (`export_robustness`): folders of ID.png, or JSON Lines
            of run lengths.
        baselines: whether to add the right answers, those of the first weights without language, and a reader of
            sentences that knows the true objects where the data set has them.
        out: folder for answers, robustness.json and robustness.html.
        examples: number of worst answers that the page shows of each kind and system.
        device: device of the networks: "cpu", "cuda", or "auto" for a GPU if there is one.
        precision: of the networks' arithmetic: "f32", "bf16" or "auto"; a checkpoint keeps its own.
        batch_images: number of pictures that a network gets at once.
        workers: threads that draw and resize pictures; processors, at most 8, if not given.
        progress: shows progress, as `refseg.commands.progress.progress`.
        on_message: receives lines for the user.
        command: command line to note in the report.
        settings: other settings of the data set: root, split_by, count, ...

    Raises:
        MissingFile: if weights, masks or files of the data set are missing.
        InvalidInput: for unknown names and settings, or what does not fit each other.
        UnwritableOutput: if `out` cannot be written, or holds results about other questions.
    """
    one = isinstance(weights, str | Path) or not isinstance(weights, Sequence)
    given: list[Any] = [weights] if one else list(weights)  # type: ignore[arg-type]
    out = Path(out) if out is not None else None
    plan = choose_plan(kinds, severities, seed)
    check_device_name(device)
    check_precision_name(precision)
    if not given and not masks:
        raise InvalidInput(f"name what is asked: weights, or {option('masks', Path('answers'))}")
    for each in given:
        if isinstance(each, str | Path):
            check_weights(each, precision)
    samples, facts = _open(dataset, split, settings)
    data = {
        "protocol": PROTOCOL,
        "data": facts,
        "sentences": list(plan.sentences),
        "pictures": list(plan.pictures),
        "severities": list(plan.severities),
        "seed": plan.seed,
    }
    if out:
        check_writable(out)
        _check_earlier(out, data)
    device = choose_device(device)
    threads = count_threads(workers)
    named = list(_weights_systems(given, samples, device, precision, batch_images, threads, baselines))
    named += [_stored_system(Path(place)) for place in masks]
    names = [one.name for one in named]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InvalidInput(f"{', '.join(sorted(twice))} given twice; give each system once")

    begin = time.perf_counter()
    systems: dict[str, Measured] = {}
    drawn, goes_on = [], False
    with ExitStack() as stack:
        if out:
            stack.enter_context(only_writer(out))
        for one_named in named:
            system = one_named.load()
            run = {**data, "system": one_named.facts, "precision": one_named.precision(system)}
            lines = AnswerLines(_folder(out, one_named), run) if out else MemoryLines()
            if len(lines.done):
                goes_on = True
                on_message(f"{one_named.name}: {counted(len(lines.done), 'image', len(samples))} answered before")
            left = [k for k in range(len(samples)) if k not in lines.done]
            with progress(len(samples), 0, f"images, {one_named.name}", len(lines.done)) as advance:
                for line in _answer(system, samples, left, plan):
                    lines.write(line)
                    advance(1)
            systems[one_named.name] = measure(lines.images(), plan)
            if out and examples and not one_named.is_baseline:
                worst = find_worst(lines.images(), examples)
                drawn += draw_examples(one_named.name, system, worst, samples, plan)
        about = {
            "protocol": _quoted(plan),
            **facts,
            "kinds": [*plan.sentences, *plan.pictures],
            "severities": list(plan.severities),
            "sentence_seed": plan.seed,
            "systems": [{"name": one.name, **one.facts} for one in named],
            **({"command": command} if command else {}),
            "date": datetime.now(UTC).date().isoformat(),
            "hardware": describe_hardware(device),
            "versions": versions(),
            **({} if goes_on else {"seconds": round(time.perf_counter() - begin, 1)}),
        }
        report = RobustnessReport(
            about,
            find_cautions(systems),
            systems,
            drawn,
            {kind: SENTENCE_KINDS[kind].about for kind in plan.sentences},
            {kind: PICTURE_KINDS[kind].about for kind in plan.pictures},
            data,
            frozenset(one.name for one in named if one.is_baseline),
        )
        if out:
            with all_or_nothing(out) as folder:
                report.write(folder)
                write_page(report, folder)
    return report


def export_robustness(
    dataset: str | Sequence[Any],
    folder: str | Path,
    *,
    split: str | None = None,
    kinds: str | Sequence[str] = (),
    severities: Sequence[int] = DEFAULT_SEVERITIES,
    seed: int = 0,
    progress: Progress = no_progress,
    **settings: Any,
) -> dict[str, int]:
    """Writes all questions whose answer is known into a new folder, in the form of data set `jsonl`.

    Arguments are those of `measure_robustness`.

    Returns:
        The numbers of pictures, of questions, and of those that are left out because their answer is not known.

    Raises:
        MissingFile, InvalidInput: as of `measure_robustness`.
        UnwritableOutput: if the folder cannot be written, or is not empty.
    """
    from refseg.robustness.export import export_questions

    plan = choose_plan(kinds, severities, seed)
    check_writable(Path(folder))
    samples, facts = _open(dataset, split, settings)
    about = {
        "protocol": _quoted(plan),
        **facts,
        "kinds": [*plan.sentences, *plan.pictures],
        "severities": list(plan.severities),
        "sentence_seed": plan.seed,
    }
    return export_questions(samples, plan, Path(folder), about, str(facts.get("split", "all")), progress)


def choose_plan(kinds: str | Iterable[str] = (), severities: Iterable[int] = DEFAULT_SEVERITIES, seed: int = 0) -> Plan:
    """Returns the plan of kinds, or of groups of them, and severities.

    Raises:
        InvalidInput: for unknown kinds and severities.
    """
    chosen: list[str] = []
    known = (*SENTENCE_KINDS, *PICTURE_KINDS)
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in known and kind not in GROUPS:
            raise InvalidInput(f"unknown kind of change {shown(kind)}; {choose_one(kind, (*GROUPS, *known))}")
        chosen += GROUPS.get(kind, (kind,))
    for severity in (severities := tuple(severities)):
        if severity not in SEVERITIES:
            raise InvalidInput(f"severity {severity} is not allowed; severities are 1 (mild) to 5 (severe)")
    chosen = chosen or list(known)
    pictures = tuple(kind for kind in PICTURE_KINDS if kind in chosen)
    if pictures and not severities:
        raise InvalidInput("changed pictures need a severity; give some of 1 to 5")
    return Plan(
        tuple(kind for kind in SENTENCE_KINDS if kind in chosen), pictures, tuple(sorted(set(severities))), seed
    )


def _quoted(plan: Plan) -> str:
    """Returns the protocol's name, and what is not as published figures have it."""
    whole = choose_plan()
    parts = []
    if (plan.sentences, plan.pictures) != (whole.sentences, whole.pictures):
        parts.append("some kinds")
    if plan.severities != whole.severities:
        parts.append(f"severities {', '.join(map(str, plan.severities))}")
    if plan.seed != whole.seed:
        parts.append(f"seed {plan.seed}")
    return f"{PROTOCOL} ({'; '.join(parts)})" if parts else PROTOCOL


@dataclass(frozen=True)
class _NamedSystem:
    """A system that is opened when its turn comes.

    Attributes:
        name: for tables, unique.
        facts: what its answers depend on.
        load: opens it.
        is_baseline: whether it stands beside the systems that are asked for; it has no examples.
    """

    name: str
    facts: Mapping[str, Any]
    load: Callable[[], System]
    is_baseline: bool = False

    def precision(self, system: System) -> str:
        """Returns the precision of the system's arithmetic; "" for stored masks."""
        return system.checkpoint.precision if isinstance(system, NetworkSystem) else ""


def _weights_systems(
    weights: Sequence[Any],
    samples: Sequence[Any],
    device: str,
    precision: str,
    batch_images: int,
    threads: int,
    baselines: bool,
) -> Iterator[_NamedSystem]:
    def loader(one: Any, without_words: bool = False) -> Callable[[], System]:
        def load() -> System:
            from refseg.checkpoints.io import load_checkpoint

            checkpoint = load_checkpoint(one, device, precision) if isinstance(one, str | Path) else one
            if checkpoint.network.needs_annotations and not _has_annotations(samples):
                raise InvalidInput(
                    f"{checkpoint.name} chooses among all objects that a data set annotates, and this one has none "
                    "with their classes; folders in the refer layout have them, drawn scenes too; or take another "
                    f"finder, for example {for_caller('--set finder=coco80', 'reader:finder=coco80')}"
                )
            return NetworkSystem(checkpoint, batch_images, threads, without_words)

        return load

    for one in weights:
        facts = weights_facts(one)
        yield _NamedSystem(facts["name"], facts, loader(one))
    if baselines:
        yield _NamedSystem("the right answers", {"baseline": "the right answers"}, PerfectSystem, is_baseline=True)
    if baselines and weights:
        facts = weights_facts(weights[0])
        name = f"{facts['name']} without language"
        yield _NamedSystem(name, {**facts, "without_words": True}, loader(weights[0], without_words=True), True)
    if baselines and TRUE_OBJECTS not in map(str, weights) and _has_annotations(samples):
        yield _NamedSystem("reader of the true objects", weights_facts(TRUE_OBJECTS), loader(TRUE_OBJECTS), True)


def _has_annotations(samples: Sequence[Any]) -> bool:
    return len(samples) > 0 and samples[0].annotated_objects() is not None


def _stored_system(place: Path) -> _NamedSystem:
    masks = open_masks(place)
    stamp = place.stat()
    facts = {"masks": str(place), "size": stamp.st_size, "time": stamp.st_mtime_ns}
    return _NamedSystem(str(place), facts, lambda: StoredSystem(masks))


def _open(
    dataset: str | Sequence[Any], split: str | None, settings: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Returns samples and facts of a data set of images."""
    if isinstance(dataset, str):
        settings = {"split": split or "test", **settings}
        samples: Sequence[Any] = datasets.build_images(dataset, **settings)
        name = dataset
    else:
        if settings:
            raise InvalidInput(f"{', '.join(settings)}: settings of a data set that is open; give its name with them")
        name, samples = dataset_name(dataset), dataset
        settings = {"split": split or (dataset.split if isinstance(dataset, Dataset) else "all")}
    if not len(samples):
        raise InvalidInput(f"{name} has no images in this split; take another")
    if isinstance(samples[0], Clip):
        raise InvalidInput(f"{name} holds videos, and robustness is asked about images; give a data set of images")
    facts = {**dataset_facts(samples, name, settings), "images": len(samples)}
    return samples, {key: value for key, value in facts.items() if value is not None}


def _answer(system: System, samples: Sequence[Any], left: Sequence[int], plan: Plan) -> Iterator[dict[str, Any]]:
    """Yields the line of each of these images."""

    def pictures() -> Iterator[AskedPicture]:
        for number in left:
            sample = samples[number]
            if sample.expressions:
                yield from ask_about(number, sample, plan)

    def number_of(answers: PictureAnswers) -> int:
        return answers.asked.number

    for _, answers in groupby(system.answer(pictures()), number_of):
        yield count_image(answers).to_json()


def _folder(out: Path, system: _NamedSystem) -> Path:
    """Returns the folder of a system's answers: its name in plain letters, and a digest of what it depends on."""
    import hashlib

    digest = hashlib.sha256(json.dumps(dict(system.facts), sort_keys=True).encode()).hexdigest()[:8]
    plain = re.sub(r"[^a-zA-Z0-9]+", "-", system.name).strip("-")[-40:] or "system"
    return out / ANSWERS_FOLDER / f"{plain}-{digest}"


def _check_earlier(out: Path, data: Mapping[str, Any]) -> None:
    """Raises UnwritableOutput if a folder holds a report about other questions, or another file of its name."""
    file = out / REPORT
    if not file.exists():
        return
    try:
        before = dict(json.loads(file.read_text(encoding="utf-8"))["questions"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UnwritableOutput(
            f"{file} is there and says not of which questions it is; give {another_out()}, or remove it first"
        ) from None
    for name, value in json.loads(json.dumps(dict(data))).items():
        if before.get(name) != value:
            raise UnwritableOutput(
                f"{out} holds a report about other {name} ({shown(before.get(name), 60)}, now {shown(value, 60)}); "
                f"give {another_out()}, or remove it first"
            )
