"""Answers to chosen expressions, and the gallery that shows them."""

from collections.abc import Mapping, Sequence

from refseg.array_types import Mask
from refseg.evaluation.report.worst_examples import ANSWER, TRUTH
from refseg.inspection.gallery.drawing import draw_mask, scale_image
from refseg.inspection.gallery.lines import Cell, GalleryLine
from refseg.inspection.gallery.selection import Place
from refseg.inspection.gallery.sheet import MAX_SHEET_PIXELS, PICTURE_SIDE, Gallery
from refseg.inspection.gallery.shown_samples import (
    Photograph,
    encode_ignored,
    get_id,
    leave_out,
    rle_iou,
    select_expressions,
)
from refseg.inspection.gallery.systems import GroundTruth, System, SystemAnswer
from refseg.masks.rle import decode_rle, parse_rle
from refseg.progress import Progress, no_progress
from refseg.samples import Sample

IMAGE_COLUMN, TRUTH_COLUMN = "image", "ground truth"
MAX_TIED_DIFFERENCE = 0.0005  # difference of IoUs that are printed alike


def collect_answers(
    systems: Sequence[System], samples: Sequence[Sample], places: Sequence[Place], progress: Progress = no_progress
) -> dict[Place, list[SystemAnswer]]:
    """Returns the answers of each system to the expressions at these places, with one network in memory at a time."""
    chosen: dict[int, list[int]] = {}
    for k, index in places:
        chosen.setdefault(k, []).append(index)
    answers: dict[Place, list[SystemAnswer]] = {place: [] for place in places}
    with progress(len(chosen) * len(systems), of="images") as advance:
        for system in systems:
            asked = (select_expressions(samples[k], some) for k, some in chosen.items())
            for (k, some), found in zip(chosen.items(), system.answer(asked), strict=True):
                for index, answer in zip(some, found, strict=True):
                    answers[k, index].append(answer)
                advance(1, system.place)
    return answers


def read_samples(
    samples: Sequence[Sample] | Mapping[int, Sample], places: Sequence[Place]
) -> tuple[list[Sample], list[Place]]:
    """Returns the samples at these places, each read once and in their order, and the places among them."""
    numbers = sorted({k for k, _ in places})
    return [samples[k] for k in numbers], [(numbers.index(k), index) for k, index in places]


def draw_gallery(
    samples: Sequence[Sample],
    places: Sequence[Place],
    answers: Mapping[Place, Sequence[SystemAnswer]],
    labels: Sequence[str],
    note: str,
    title: str = "Answers side by side",
    side: int = PICTURE_SIDE,
) -> Gallery:
    """Draws the expressions at these places with their answers, one of each label."""
    samples, held = read_samples(samples, places)
    truths = collect_answers([GroundTruth()], samples, held)
    is_known = any(truths[place][0].rle for place in held)
    columns = [IMAGE_COLUMN, *([TRUTH_COLUMN] if is_known else []), *labels]
    side = min(side, int((MAX_SHEET_PIXELS / (len(places) * len(columns))) ** 0.5))
    lines = [
        _line(samples[k], index, truths[k, index][0] if is_known else None, answers[place], side)
        for place, (k, index) in zip(places, held, strict=True)
    ]
    notes = [note]
    if is_known:
        best = ", the best of a line in bold" if len(labels) > 1 else ""
        notes.append(f"IoU in percent under protocol standard{best}.")
    notes.append("Blue: ground truth; orange: answers." if is_known else "Orange: answers.")
    return Gallery(title, " ".join(notes), tuple(columns), tuple(lines))


def _line(
    sample: Sample, index: int, truth: SystemAnswer | None, answers: Sequence[SystemAnswer], side: int
) -> GalleryLine:
    """Returns the pictures of an expression; `truth` is None if none is shown, and holds no mask if it is not known."""
    image = scale_image(sample.image, side)
    cells, meant = [Cell(image)], _mask(truth) if truth is not None and truth.rle else None
    if meant is not None:
        cells.append(Cell(draw_mask(image, meant, TRUTH), "" if meant.any() else "nothing is meant"))
    elif truth is not None:
        cells.append(Cell(image, "not known"))
    ignored = encode_ignored(sample, index)
    known = None if truth is None else truth.rle
    ious = [rle_iou(leave_out(one.rle, ignored), known) if known else None for one in answers]
    values = sorted((value for value in ious if value), reverse=True)
    is_first = len(values) > 1 and values[0] - values[1] >= MAX_TIED_DIFFERENCE or len(values) == 1 < len(answers)
    for one, value in zip(answers, ious, strict=True):
        mask = _mask(one)
        caption = _caption(mask, meant, value) + (" (unfamiliar image)" if one.unfamiliar else "")
        cells.append(Cell(draw_mask(image, mask, ANSWER), caption, is_first and value == values[0]))
    about = sample.path.name if isinstance(sample, Photograph) else get_id(sample, index)
    return GalleryLine(sample.expressions[index].text, about, tuple(cells), tuple(ious))


def _caption(mask: Mask, meant: Mask | None, value: float | None) -> str:
    if meant is None or value is None:
        return f"{100 * mask.mean():.1f} % of the image" if mask.any() else "nothing"
    if not meant.any():
        return "wrong: nothing is meant" if mask.any() else "right: nothing"
    return f"IoU {100 * value:.1f}" if mask.any() else "IoU 0.0: nothing"


def _mask(answer: SystemAnswer) -> Mask:
    return decode_rle(parse_rle(answer.rle))
