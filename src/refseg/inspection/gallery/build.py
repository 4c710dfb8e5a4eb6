"""Galleries in one call: systems, and a data set or images of one's own, to a `Gallery`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg import datasets
from refseg.counting import counted
from refseg.datasets.dataset import Dataset
from refseg.errors import InvalidInput, choose_one, option
from refseg.hardware import check_device_name
from refseg.inference.questions import questions
from refseg.inspection.gallery import selection
from refseg.inspection.gallery.compose import collect_answers, draw_gallery, read_samples
from refseg.inspection.gallery.selection import DISAGREEMENT, GAIN, RANDOM, SORTS, WORST, FoundExpression, Place
from refseg.inspection.gallery.sheet import PICTURE_SIDE, Gallery
from refseg.inspection.gallery.shown_samples import MiddleFrames, Photograph, list_ids
from refseg.inspection.gallery.systems import GroundTruth, StoredAnswers, System, SystemAnswer, Weights
from refseg.preprocessing.images import read_image
from refseg.progress import Advance, Progress, no_progress
from refseg.samples import Clip, Sample

if TYPE_CHECKING:
    from refseg.inference.crf import DenseCRF

DEFAULT_LINES, MAX_LINES, MAX_SYSTEMS = 12, 100, 16
MIN_SIDE, MAX_SIDE = 32, 1024  # pixels of a picture, at least and at most
OnMessage = Callable[[str], None]


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
    side: int = PICTURE_SIDE,
    split: str | None = None,
    device: str = "auto",
    crf: DenseCRF | None = None,
    progress: Progress = no_progress,
    on_message: OnMessage = lambda line: None,
    **settings: Any,
) -> Gallery:
    """Shows the answers of several systems to the same expressions, beside the ground truth where it is known.

    Args:
        systems: weights as `evaluate` takes them, `systems.StoredAnswers` masks, or any `systems.System`.
        dataset: name of a data set, or an opened one; of videos the middle annotated frame is shown. If neither it nor
            images are given, that of the evaluation whose masks are stored.
        images: in its place: paths, globs, folders, or a table, as `inference.questions.questions` takes them.
        expressions: of a data set, ids or texts of those to show; of images, what is asked about each.
        labels: of the systems; from their places if empty.
        number: of lines; 12 if not given, and of images and named expressions all.
        sort: one of `selection.SORTS`. All but "random" ask about every expression, and show one of each image before
            any has a second; own images are shown in their order where it is "random".
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
    labels = make_labels(opened, labels)
    if dataset is None and images is None:
        dataset, split, settings = _read_data(opened, split, settings)
    if (dataset is None) == (images is None):
        raise InvalidInput("name a data set to show expressions of, or give images and what to find in them")
    _check_request(len(opened), images is not None, number, sort, side)
    samples, clips, about = (
        _open_data(dataset, split, settings) if dataset is not None else _open_images(images, expressions)
    )
    for system in opened:
        system.open(clips)
    if images is not None:
        shown = _select_of_images(opened, samples, number, sort, about, on_message)
    else:
        shown = _select_of_data(opened, samples, expressions, number, sort, seed, progress, on_message)
    places = [one.place for one in shown.found]
    if shown.chosen is None:
        samples, places = read_samples(shown.read or samples, places)
        answers = collect_answers(opened, samples, places, progress)
    else:
        judged = opened if sort == DISAGREEMENT else [*opened, GroundTruth()]
        answers = collect_answers(judged, samples, places, progress)
        places = _sort_places(shown.found, answers, sort, shown.chosen)
        answers = {place: answers[place][: len(opened)] for place in places}
    return draw_gallery(samples, places, answers, labels, f"{about}{shown.note}.", side=side)


@dataclass(frozen=True)
class _Selection:
    """Which expressions are asked about, and shown.

    Attributes:
        found: those that are asked about, in their order.
        chosen: how many of them are chosen by their answers; None for all of them.
        note: how they were chosen.
        read: their samples by number, if they have been read.
    """

    found: Sequence[FoundExpression]
    chosen: int | None
    note: str
    read: Mapping[int, Sample] | None = None


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


def make_labels(systems: Sequence[System], labels: Sequence[str] = ()) -> list[str]:
    """Returns a label for each system: those given, or the shortest ends of their places that differ.

    Raises:
        InvalidInput: if it is another number of labels, or a system is there twice.
    """
    places = [system.place for system in systems]
    if labels:
        if len(labels) != len(places):
            raise InvalidInput(
                f"{counted(len(labels), 'label')} for {counted(len(places), 'column')}; give one for each of: "
                f"{', '.join(places)}"
            )
        return list(labels)
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise InvalidInput(f"{twice} is given twice; leave one out, or name every column by {option('label')}")
    parts = [[part for part in place.replace("\\", "/").split("/") if part] or [place] for place in places]
    for count in range(1, max(map(len, parts)) + 1):
        short = ["/".join(some[-count:]) for some in parts]
        if len(set(short)) == len(short):
            return short
    return places


def _check_request(systems: int, is_own: bool, number: int | None, sort: str, side: int) -> None:
    if sort not in SORTS:
        raise InvalidInput(f"unknown order {sort!r}; {choose_one(sort, SORTS)}")
    if number is not None and not 1 <= number <= MAX_LINES:
        raise InvalidInput(f"{counted(number, 'expression')} cannot be shown; a gallery has 1 to {MAX_LINES}")
    if not MIN_SIDE <= side <= MAX_SIDE:
        raise InvalidInput(f"a picture of {side} pixels is not drawn; give {MIN_SIDE} to {MAX_SIDE}")
    if sort in (DISAGREEMENT, GAIN) and systems < 2:
        raise InvalidInput(f"{sort} is of two answers or more; name another system, or sort by {WORST}")
    if sort in (WORST, GAIN) and is_own:
        raise InvalidInput(f"{sort} needs the ground truth, and of these images none is known; sort by {DISAGREEMENT}")


def _read_data(
    systems: Sequence[System], split: str | None, settings: dict[str, Any]
) -> tuple[str | None, str | None, dict[str, Any]]:
    """Returns the name of the data that stored answers say they are of; split and settings, where none are given."""
    noted = next(filter(None, (system.read_data() for system in systems if isinstance(system, StoredAnswers))), {})
    name, of_report = noted.pop("dataset", None), noted.pop("split", None)
    return name, split or of_report, {**noted, **settings}


def _open_data(
    dataset: str | Sequence[Any], split: str | None, settings: dict[str, Any]
) -> tuple[Sequence[Sample], Sequence[Clip] | None, str]:
    """Returns the samples, the clips that they are frames of, and what they are."""
    if isinstance(dataset, str):
        split = split or "test"
        opened, about = datasets.build(dataset, **{"split": split, **settings}), f"{dataset}, split {split}"
    else:
        if settings:
            raise InvalidInput(f"{', '.join(settings)}: settings of a data set that is open; give its name with them")
        split = split or (dataset.split if isinstance(dataset, Dataset) else None)
        opened, about = dataset, f"split {split}" if split else "samples"
    if not len(opened):
        raise InvalidInput(f"{about} holds nothing to show")
    if isinstance(opened[0], Clip):
        return MiddleFrames(opened), opened, f"{about}, the middle annotated frame of each video"
    return opened, None, about


def _open_images(images: Any, expressions: Sequence[str]) -> tuple[Sequence[Sample], None, str]:
    asked: dict[Path, dict[str, None]] = {}
    for question in questions(images, list(expressions) or None):
        asked.setdefault(question.path(), {})[question.expression] = None
    for path in asked:
        if not path.exists():
            read_image(path)  # which says so
    count = sum(map(len, asked.values()))
    about = f"{counted(count, 'expression')} about {counted(len(asked), 'image')}"
    return [Photograph(path, list(texts)) for path, texts in asked.items()], None, about


def _select_of_images(
    systems: Sequence[System],
    samples: Sequence[Sample],
    number: int | None,
    sort: str,
    about: str,
    on_message: OnMessage,
) -> _Selection:
    """Returns the expressions about images of one's own."""
    for sample in samples:
        for id, expression in zip(list_ids(sample), sample.expressions, strict=True):
            if lacking := next((system.place for system in systems if not system.has_answer(id)), None):
                raise InvalidInput(
                    f"{lacking} has no answer to {expression.text!r} about {sample.image_id}; give the folder that "
                    "`refseg segment` wrote about these images, or weights"
                )
    found, most = selection.list_expressions(samples), number or MAX_LINES
    if sort != RANDOM:
        return _Selection(found, most, f", of which {selection.describe_selection(most, len(found), sort)}")
    if len(found) > most:
        on_message(f"{about}, of which the first {most} are shown")
        return _Selection(found[:most], None, f", the first {most} of them")
    return _Selection(found, None, "")


def _select_of_data(
    systems: Sequence[System],
    samples: Sequence[Sample],
    expressions: Sequence[str],
    number: int | None,
    sort: str,
    seed: int,
    progress: Progress,
    on_message: OnMessage,
) -> _Selection:
    """Returns expressions of a data set that all systems answer."""
    most = number or (MAX_LINES if expressions else DEFAULT_LINES)
    is_random = sort == RANDOM and not expressions
    if is_random and all(system.has_all for system in systems):  # no need to look through all of the data set
        read = {k: samples[k] for k in selection.pick_samples(range(len(samples)), most, seed)}
        shown = _select_random({k: range(len(one.expressions)) for k, one in read.items()}, len(samples), seed)
        return replace(shown, read=read)
    with progress(len(samples), of="images of the data set") as advance:
        passed = _report_progress(samples, advance)
        found = selection.find_named(passed, expressions) if expressions else selection.list_expressions(passed)
    _check_found(found)
    known = [one for one in found if all(system.has_answer(one.id) for system in systems)]
    _tell_lacking(systems, len(known), len(found), on_message)
    if is_random:
        by_sample: dict[int, list[int]] = {}
        for k, index in (one.place for one in known):
            by_sample.setdefault(k, []).append(index)
        chosen = selection.pick_samples(list(by_sample), most, seed)
        return _select_random({k: by_sample[k] for k in chosen}, len(by_sample), seed)
    if sort == RANDOM:
        return _Selection(known[:most], None, "")
    return _Selection(known, most, f": {selection.describe_selection(most, len(known), sort)}")


def _select_random(expressions: Mapping[int, Sequence[int]], every: int, seed: int) -> _Selection:
    """Returns one of the expressions of each of these samples, which are some of `every`."""
    found = [
        FoundExpression((k, selection.pick_expression(some, k, seed)), "", True)
        for k, some in expressions.items()
        if some
    ]
    _check_found(found)
    return _Selection(found, None, f": {counted(len(found), 'image', every)}, {SORTS[RANDOM]} (seed {seed})")


def _check_found(found: Sequence[FoundExpression]) -> None:
    if not found:
        raise InvalidInput("these images have no expressions, so there is nothing to show; take another split")


def _report_progress(samples: Iterable[Sample], advance: Advance) -> Iterator[Sample]:
    for sample in samples:
        yield sample
        advance(1)


def _tell_lacking(systems: Sequence[System], known: int, every: int, on_message: OnMessage) -> None:
    if known == every:
        return
    places = ", ".join(system.place for system in systems if isinstance(system, StoredAnswers))
    if not known:
        raise InvalidInput(
            f"{places}: no mask is of these expressions; masks are named by ids, which `refseg data ids` prints; give "
            "the data set and the split that they are of"
        )
    on_message(f"masks of {counted(known, 'expression', every)} are there ({places}); the others are left out")


def _sort_places(
    found: Sequence[FoundExpression], answers: Mapping[Place, Sequence[SystemAnswer]], sort: str, number: int
) -> list[Place]:
    """Returns the places in front; but for disagreement, the last answer of each is the ground truth."""
    scores = []
    for one in found:
        codes = [answer.rle for answer in answers[one.place]]
        if sort == DISAGREEMENT:
            scores.append(selection.score_expression(sort, one, codes, None))
        elif codes[-1]:
            scores.append(selection.score_expression(sort, one, codes[:-1], codes[-1]))
    if not scores:
        raise InvalidInput(f"{sort} needs the ground truth, which is not known here; sort by {DISAGREEMENT}")
    return selection.choose_highest(scores, number)
