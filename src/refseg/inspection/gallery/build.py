"""Galleries in one call: systems, and a data set or images of one's own, to a `Gallery`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg import datasets
from refseg.array_types import Mask
from refseg.counting import counted
from refseg.datasets.dataset import Dataset
from refseg.errors import InvalidInput, choose_one, option
from refseg.evaluation.report.worst_examples import ANSWER, TRUTH
from refseg.hardware import check_device_name
from refseg.inference.questions import questions
from refseg.inspection.gallery import choice
from refseg.inspection.gallery.asked import MiddleFrames, Photograph, id_of, ids_of, iou, truth_of, with_expressions
from refseg.inspection.gallery.choice import DISAGREEMENT, GAIN, RANDOM, SORTS, Place
from refseg.inspection.gallery.drawing import marked, scaled
from refseg.inspection.gallery.lines import Cell, Line
from refseg.inspection.gallery.sheet import MAX_PIXELS, SIDE, Gallery
from refseg.inspection.gallery.systems import Answer, Stored, System, Weights
from refseg.masks.rle import decode_rle, encode_rle, parse_rle
from refseg.preprocessing.images import read_image
from refseg.progress import Progress, no_progress
from refseg.samples import Clip, Sample

if TYPE_CHECKING:
    from refseg.inference.crf import DenseCRF

NUMBER, MAX_LINES, MAX_SYSTEMS = 12, 100, 16
IMAGE, GROUND_TRUTH = "image", "ground truth"
Told = Callable[[str], None]


def build_gallery(
    systems: Sequence[Any],
    dataset: str | Sequence[Any] | None = None,
    *,
    images: Any = None,
    expressions: Sequence[str] = (),
    labels: Sequence[str] = (),
    number: int | None = None,
    sort: str = RANDOM,
    seed: int = 0,
    side: int = SIDE,
    split: str | None = None,
    device: str = "auto",
    crf: DenseCRF | None = None,
    progress: Progress = no_progress,
    on_message: Told = lambda line: None,
    **settings: Any,
) -> Gallery:
    """Shows the answers of several systems to the same expressions, beside the ground truth where it is known.

    Args:
        systems: weights as `evaluate` takes them, `systems.Stored` masks, or any `systems.System`.
        dataset: name of a data set, or an opened one; of videos the middle annotated frame is shown.
        images: in its place: paths, globs, folders, or a table, as `inference.questions.questions` takes them.
        expressions: of a data set, ids or texts of those to show; of images, what is asked about each.
        labels: of the systems; from their places if empty.
        number: of lines; 12 if not given, and of images and named expressions all.
        sort: one of `choice.SORTS`; all but "random" ask about every expression, and show at most one an image
            while there are other images.
        seed: another seed, other random expressions.
        side: pixels of the longer side of a picture.
        split: of the data set of this name, "test" if not given.
        device: of the networks.
        crf: refines the masks of the networks.
        progress: shows progress, as `refseg.commands.progress.progress`.
        on_message: receives lines for the user.
        settings: other settings of the data set: root, split_by, count, ...

    Raises:
        MissingFile: if weights, masks or images are missing.
        InvalidInput: for what cannot be read, and what does not fit each other.
    """
    opened = open_systems(systems, device, crf)
    labels = labels_of(opened, labels)
    _check(opened, dataset, images, expressions, number, sort, side)
    samples, clips, about = _samples(dataset, images, expressions, split, settings)
    for system in opened:
        system.open(clips)
    shown = _own(opened, samples, number, sort, about, on_message) if images is not None else None
    shown = shown or _of_data(opened, samples, expressions, number, sort, seed, on_message)
    answers = ask(opened, samples, shown.places, progress)
    places = shown.places if shown.chosen is None else _sorted(samples, shown.places, answers, sort, shown.chosen)
    return draw(samples, places, answers, labels, f"{about}{shown.note}.", side=side)


@dataclass(frozen=True)
class _Shown:
    """Which expressions are asked about, and shown.

    Attributes:
        places: those that are asked about, in their order.
        chosen: how many of them are chosen by their answers; None for all of them.
        note: how they were chosen.
    """

    places: list[Place]
    chosen: int | None
    note: str


def open_systems(systems: Sequence[Any], device: str, crf: DenseCRF | None = None) -> list[System]:
    """Returns the systems of weights, and those that are systems already.

    Raises:
        MissingFile, InvalidInput: if there are no such weights, or too many systems.
    """
    check_device_name(device)
    if not 1 <= len(systems) <= MAX_SYSTEMS:
        raise InvalidInput(
            f"a gallery has the answers of 1 to {MAX_SYSTEMS} systems, and {len(systems)} are given; name weights or "
            f"masks, for example {option('weights', 'selector')}"
        )
    return [one if isinstance(one, System) else Weights(one, device, crf) for one in systems]


def labels_of(systems: Sequence[System], labels: Sequence[str] = ()) -> list[str]:
    """Returns a label for each system: those given, or the shortest ends of their places that differ.

    Raises:
        InvalidInput: if it is another number of labels, or a system is there twice.
    """
    places = [system.place for system in systems]
    if labels:
        if len(labels) != len(places):
            raise InvalidInput(
                f"{counted(len(labels), 'label')} for {counted(len(places), 'system')}; give one for each of: "
                f"{', '.join(places)}"
            )
        return list(labels)
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise InvalidInput(f"{twice} is given twice; leave one out, or give {option('label', twice)} to each")
    parts = [[part for part in place.replace("\\", "/").split("/") if part] or [place] for place in places]
    for count in range(1, max(map(len, parts)) + 1):
        short = ["/".join(some[-count:]) for some in parts]
        if len(set(short)) == len(short):
            return short
    return places


def ask(
    systems: Sequence[System], samples: Sequence[Sample], places: Sequence[Place], progress: Progress = no_progress
) -> dict[Place, list[Answer]]:
    """Returns the answers of each system to the expressions at these places, one network in memory at a time."""
    chosen: dict[int, list[int]] = {}
    for k, index in places:
        chosen.setdefault(k, []).append(index)
    answers: dict[Place, list[Answer]] = {place: [] for place in places}
    with progress(len(chosen) * len(systems), of="images") as advance:
        for system in systems:
            asked = (with_expressions(samples[k], some) for k, some in chosen.items())
            for (k, some), found in zip(chosen.items(), system.answer(asked), strict=True):
                for index, answer in zip(some, found, strict=True):
                    answers[k, index].append(answer)
                advance(1)
    return answers


def draw(
    samples: Sequence[Sample],
    places: Sequence[Place],
    answers: dict[Place, list[Answer]],
    labels: Sequence[str],
    note: str,
    title: str = "Answers side by side",
    side: int = SIDE,
) -> Gallery:
    """Draws the expressions at these places with their answers."""
    truths = {(k, index): truth_of(samples[k], index) for k, index in places}
    is_known = any(truth is not None for truth in truths.values())
    columns = [IMAGE, *([GROUND_TRUTH] if is_known else []), *labels]
    side = min(side, int((MAX_PIXELS / (len(places) * len(columns))) ** 0.5))
    lines = [_line(samples[place[0]], place[1], truths[place], answers[place], is_known, side) for place in places]
    told = [note]
    if is_known:
        best = ", the best of a line in bold" if len(labels) > 1 else ""
        told.append(f"IoU in percent under protocol standard{best}.")
    told.append("Blue: ground truth; orange: answers." if is_known else "Orange: answers.")
    return Gallery(title, " ".join(told), tuple(columns), tuple(lines))


@dataclass(frozen=True)
class _Judged:
    """An answer beside its truth."""

    mask: Mask
    iou: float | None
    unfamiliar: bool

    def caption(self, truth: Mask | None) -> str:
        found = bool(self.mask.any())
        if self.iou is None or truth is None:
            text = f"{100 * self.mask.mean():.1f} % of the image" if found else "nothing"
        elif not truth.any():
            text = "wrong: nothing is meant" if found else "right: nothing"
        else:
            text = f"IoU {100 * self.iou:.1f}" if found else "IoU 0.0: nothing"
        return f"{text} (unfamiliar image)" if self.unfamiliar else text


def _line(sample: Sample, index: int, truth: Mask | None, answers: Sequence[Answer], is_known: bool, side: int) -> Line:
    image = scaled(sample.image, side)
    code = encode_rle(truth) if truth is not None else None
    judged = [
        _Judged(decode_rle(parse_rle(one.rle)), None if code is None else iou(one.rle, code), one.unfamiliar)
        for one in answers
    ]
    cells = [Cell(image)]
    if is_known:
        meant = truth is not None and bool(truth.any())
        told = "not known" if truth is None else "" if meant else "nothing is meant"
        cells.append(Cell(image if truth is None else marked(image, truth, TRUTH), told))
    ious = [one.iou for one in judged]
    values = sorted((value for value in ious if value), reverse=True)
    best = values[0] if values and len(ious) > 1 and (len(values) < 2 or values[0] - values[1] >= 0.0005) else None
    for one in judged:
        cells.append(Cell(marked(image, one.mask, ANSWER), one.caption(truth), best is not None and one.iou == best))
    about = sample.image_id if isinstance(sample, Photograph) else id_of(sample, index)
    return Line(sample.expressions[index].text, about, tuple(cells), tuple(ious))


def _check(
    systems: Sequence[System],
    dataset: Any,
    images: Any,
    expressions: Sequence[str],
    number: int | None,
    sort: str,
    side: int,
) -> None:
    if (dataset is None) == (images is None):
        raise InvalidInput("name a data set to show expressions of, or give images and what to find in them")
    if sort not in SORTS:
        raise InvalidInput(f"unknown order {sort!r}; {choose_one(sort, SORTS)}")
    if number is not None and not 1 <= number <= MAX_LINES:
        raise InvalidInput(f"{number} lines cannot be shown; a gallery has 1 to {MAX_LINES}")
    if not 32 <= side <= 1024:
        raise InvalidInput(f"a picture of {side} pixels is not drawn; give 32 to 1024")
    if sort in (DISAGREEMENT, GAIN) and len(systems) < 2:
        raise InvalidInput(f"{sort} is of two answers or more; name another system, or sort by worst")
    if sort in (choice.WORST, GAIN) and images is not None:
        raise InvalidInput(
            f"{sort} needs the ground truth, which images of one's own do not have; sort by disagreement"
        )


def _samples(
    dataset: str | Sequence[Any] | None,
    images: Any,
    expressions: Sequence[str],
    split: str | None,
    settings: dict[str, Any],
) -> tuple[Sequence[Sample], Sequence[Clip] | None, str]:
    """Returns the samples, the clips that they are frames of, and what they are."""
    if dataset is None:
        asked: dict[Path, dict[str, None]] = {}
        for question in questions(images, list(expressions) or None):
            asked.setdefault(question.path(), {})[question.expression] = None
        for path in asked:
            if not path.exists():
                read_image(path)  # which says so
        count = sum(map(len, asked.values()))
        about = f"{counted(count, 'expression')} about {counted(len(asked), 'image')}"
        return [Photograph(path, list(texts)) for path, texts in asked.items()], None, about
    if isinstance(dataset, str):
        opened = datasets.build(dataset, **{"split": split or "test", **settings})
        about = f"{dataset}, split {split or 'test'}"
    else:
        if settings:
            raise InvalidInput(f"{', '.join(settings)}: settings of a data set that is open; give its name with them")
        opened = dataset
        about = f"split {split}" if split else f"split {dataset.split}" if isinstance(dataset, Dataset) else "samples"
    if not len(opened):
        raise InvalidInput(f"{about} holds nothing to show")
    if isinstance(opened[0], Clip):
        return MiddleFrames(opened), opened, f"{about}, the middle annotated frame of each video"
    return opened, None, about


def _own(
    systems: Sequence[System], samples: Sequence[Sample], number: int | None, sort: str, about: str, on_message: Told
) -> _Shown:
    """Returns the expressions about images of one's own."""
    for sample in samples:
        for id, expression in zip(ids_of(sample), sample.expressions, strict=True):
            if lacking := next((system.place for system in systems if not system.answers(id)), None):
                raise InvalidInput(
                    f"{lacking} has no answer to {expression.text!r} about {sample.image_id}; give the folder that "
                    "`refseg segment` wrote about these images, or weights"
                )
    places = [(k, index) for k, sample in enumerate(samples) for index in range(len(sample.expressions))]
    most = number or MAX_LINES
    if sort != RANDOM:
        return _Shown(places, most, f", {min(most, len(places))} of them, {SORTS[sort]}")
    if len(places) > most:
        on_message(f"{about}, of which the first {most} are shown")
        return _Shown(places[:most], None, f", the first {most} of them")
    return _Shown(places, None, "")


def _of_data(
    systems: Sequence[System],
    samples: Sequence[Sample],
    expressions: Sequence[str],
    number: int | None,
    sort: str,
    seed: int,
    on_message: Told,
) -> _Shown:
    """Returns the expressions of a data set that all systems answer."""

    def is_answered(id: str) -> bool:
        return all(system.answers(id) for system in systems)

    if sort == RANDOM and not expressions:
        most = min(number or NUMBER, len(samples))
        places = choice.at_random(samples, most, seed, is_answered)
        _tell_lacking(systems, len(places), most, lambda line: None)
        return _Shown(places, None, f": {counted(len(places), 'image', len(samples))}, {SORTS[sort]} (seed {seed})")
    if expressions:
        every = choice.named(samples, expressions, MAX_LINES)
    else:
        every = [(k, index) for k, sample in enumerate(samples) for index in range(len(sample.expressions))]
    places = [(k, index) for k, index in every if is_answered(id_of(samples[k], index))]
    _tell_lacking(systems, len(places), len(every), on_message)
    if sort == RANDOM:
        return _Shown(places[: number or MAX_LINES], None, "")
    most = min(number or (MAX_LINES if expressions else NUMBER), len(places))
    return _Shown(places, most, f": {counted(most, 'expression', len(places))}, {SORTS[sort]}")


def _tell_lacking(systems: Sequence[System], known: int, all: int, on_message: Told) -> None:
    if known == all:
        return
    places = ", ".join(system.place for system in systems if isinstance(system, Stored))
    if not known:
        raise InvalidInput(
            f"{places} and this split have no expression in common; masks are named by ids, which `refseg data ids` "
            "prints; give the data set and the split that they are of"
        )
    on_message(f"masks of {counted(known, 'expression', all)} are there ({places}); the others are left out")


def _sorted(
    samples: Sequence[Sample], places: Iterable[Place], answers: dict[Place, list[Answer]], sort: str, number: int
) -> list[Place]:
    scores = []
    for place in places:
        truth = truth_of(samples[place[0]], place[1]) if sort != DISAGREEMENT else None
        if sort == DISAGREEMENT or truth is not None:
            code = encode_rle(truth) if truth is not None else None
            scores.append((choice.score(sort, [one.rle for one in answers[place]], code), place))
    if not scores:
        raise InvalidInput(f"{sort} needs the ground truth, which is not known here; sort by {DISAGREEMENT}")
    return choice.highest(scores, number)
