"""Answers to chosen expressions, and the gallery that shows them."""

from collections.abc import Mapping, Sequence

from refseg.array_types import Mask
from refseg.evaluation.report.worst_examples import ANSWER, TRUTH
from refseg.inspection.gallery.asked import Photograph, id_of, iou, with_expressions
from refseg.inspection.gallery.choice import Place
from refseg.inspection.gallery.drawing import marked, scaled
from refseg.inspection.gallery.lines import Cell, Line
from refseg.inspection.gallery.sheet import MAX_PIXELS, SIDE, Gallery
from refseg.inspection.gallery.systems import Answer, GroundTruth, System
from refseg.masks.rle import decode_rle, parse_rle
from refseg.progress import Progress, no_progress
from refseg.samples import Sample

IMAGE, GROUND_TRUTH = "image", "ground truth"
TIED = 0.0005  # difference of IoUs that are printed alike


def ask(
    systems: Sequence[System], samples: Sequence[Sample], places: Sequence[Place], progress: Progress = no_progress
) -> dict[Place, list[Answer]]:
    """Returns the answers of each system to the expressions at these places, with one network in memory at a time."""
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
                advance(1, system.place)
    return answers


def hold(samples: Sequence[Sample] | Mapping[int, Sample], places: Sequence[Place]) -> tuple[list[Sample], list[Place]]:
    """Returns the samples at these places, each read once and in their order, and the places among them."""
    numbers = sorted({k for k, _ in places})
    return [samples[k] for k in numbers], [(numbers.index(k), index) for k, index in places]


def draw(
    samples: Sequence[Sample],
    places: Sequence[Place],
    answers: Mapping[Place, Sequence[Answer]],
    labels: Sequence[str],
    note: str,
    title: str = "Answers side by side",
    side: int = SIDE,
) -> Gallery:
    """Draws the expressions at these places with their answers, one of each label."""
    samples, held = hold(samples, places)
    truths = ask([GroundTruth()], samples, held)
    is_known = any(truths[place][0].rle for place in held)
    columns = [IMAGE, *([GROUND_TRUTH] if is_known else []), *labels]
    side = min(side, int((MAX_PIXELS / (len(places) * len(columns))) ** 0.5))
    lines = [
        _line(samples[k], index, truths[k, index][0] if is_known else None, answers[place], side)
        for place, (k, index) in zip(places, held, strict=True)
    ]
    told = [note]
    if is_known:
        best = ", the best of a line in bold" if len(labels) > 1 else ""
        told.append(f"IoU in percent under protocol standard{best}.")
    told.append("Blue: ground truth; orange: answers." if is_known else "Orange: answers.")
    return Gallery(title, " ".join(told), tuple(columns), tuple(lines))


def _line(sample: Sample, index: int, truth: Answer | None, answers: Sequence[Answer], side: int) -> Line:
    """Returns the pictures of an expression; `truth` is None if none is shown, and holds no mask if it is not known."""
    image = scaled(sample.image, side)
    cells, meant = [Cell(image)], _mask(truth) if truth is not None and truth.rle else None
    if meant is not None:
        cells.append(Cell(marked(image, meant, TRUTH), "" if meant.any() else "nothing is meant"))
    elif truth is not None:
        cells.append(Cell(image, "not known"))
    ious = [None if truth is None or not truth.rle else iou(one.rle, truth.rle) for one in answers]
    values = sorted((value for value in ious if value), reverse=True)
    is_first = len(values) > 1 and values[0] - values[1] >= TIED or len(values) == 1 < len(answers)
    for one, value in zip(answers, ious, strict=True):
        mask = _mask(one)
        caption = _caption(mask, meant, value) + (" (unfamiliar image)" if one.unfamiliar else "")
        cells.append(Cell(marked(image, mask, ANSWER), caption, is_first and value == values[0]))
    about = sample.path.name if isinstance(sample, Photograph) else id_of(sample, index)
    return Line(sample.expressions[index].text, about, tuple(cells), tuple(ious))


def _caption(mask: Mask, meant: Mask | None, value: float | None) -> str:
    if meant is None or value is None:
        return f"{100 * mask.mean():.1f} % of the image" if mask.any() else "nothing"
    if not meant.any():
        return "wrong: nothing is meant" if mask.any() else "right: nothing"
    return f"IoU {100 * value:.1f}" if mask.any() else "IoU 0.0: nothing"


def _mask(answer: Answer) -> Mask:
    return decode_rle(parse_rle(answer.rle))
